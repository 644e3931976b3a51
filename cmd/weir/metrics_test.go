package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/pipeline"
)

// lags lists the partitions whose lag is shown.
func (m *metrics) lags(t *testing.T) (shown []string) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if name := f.GetName(); name == "weir_lag_rows" || name == "weir_lag_seconds" {
			for _, s := range f.GetMetric() {
				shown = append(shown, fmt.Sprintf("%s %s/%s", name, s.GetLabel()[1].GetValue(), s.GetLabel()[0].GetValue()))
			}
		}
	}
	return shown
}

// The lag of a partition that went to another member is that member's to tell: here it would stand still.
func TestLagOfLostPartitions(t *testing.T) {
	m := newMetrics()
	a := &app{log: slog.New(slog.DiscardHandler)}
	ev := a.sourceEvents(pipeline.Unit{Name: "main", In: "shop.queries"}, a.brokerEvents(m), m, &admin{waiting: map[string]bool{}})
	ev.Lag("shop.queries", 0, 5, 1)
	ev.Lag("shop.queries", 1, 7, 1)
	ev.Lag("shop.heavy", 1, 9, 1) // of another unit
	ev.Rebalanced(2, []int32{0})
	ev.Lag("shop.queries", 0, 4, 1)
	want := []string{"weir_lag_rows shop.heavy/1", "weir_lag_rows shop.queries/0", "weir_lag_seconds shop.heavy/1", "weir_lag_seconds shop.queries/0"}
	got := m.lags(t)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A worker that only reads, and whose broker is gone, says so.
func TestSourceTellsOfTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		m := newMetrics()
		a := &app{log: slog.New(slog.NewTextHandler(&log, nil))}
		ev := a.sourceEvents(pipeline.Unit{Name: "main", In: "shop.queries"}, a.brokerEvents(m), m, &admin{})
		for range 20 {
			ev.Retry(errors.New("connection refused"))
			time.Sleep(200 * time.Millisecond)
		}
		if n := strings.Count(log.String(), "connection refused"); n < 2 || n > 4 {
			t.Errorf("four seconds without a broker: got %d lines, want one a second after the first:\n%s", n, log.String())
		}
	})
}
