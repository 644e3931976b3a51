package gpu

import (
	"testing"
	"time"
)

func TestRunTime(t *testing.T) {
	p := []Point{{1, 10}, {4, 16}, {16, 64}}
	for _, tt := range []struct {
		profile []Point
		rows    int
		want    time.Duration
	}{
		{nil, 5, 0},
		{p, 1, 10},
		{p, 2, 12},
		{p, 4, 16},
		{p, 10, 40},
		{p, 16, 64},
		{p, 32, 128}, // the last line goes on
		{p[:1], 3, 30},
		{[]Point{{2, 10}}, 1, 10},
	} {
		if got := runTime(tt.profile, tt.rows); got != tt.want {
			t.Errorf("%v, %d rows: got %v, want %v", tt.profile, tt.rows, got, tt.want)
		}
	}
}

func TestRowsWithin(t *testing.T) {
	p := []Point{{1, 10}, {4, 16}, {16, 64}}
	for _, tt := range []struct {
		bound time.Duration
		limit int
		want  int
	}{
		{0, 256, 256},
		{64, 256, 16},
		{63, 256, 15},
		{1000, 256, 250},
		{10000, 256, 256},
		{1, 256, 1},
	} {
		if got := rowsWithin(p, tt.bound, tt.limit); got != tt.want {
			t.Errorf("bound %v, limit %d: got %d, want %d", tt.bound, tt.limit, got, tt.want)
		}
	}
}
