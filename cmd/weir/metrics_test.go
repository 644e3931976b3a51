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
	ev := a.sourceEvents(pipeline.Unit{Name: "main", In: "shop.queries"}, "", a.brokerEvents(m), m, &admin{waiting: map[string]bool{}})
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
		ev := a.sourceEvents(pipeline.Unit{Name: "main", In: "shop.queries"}, "", a.brokerEvents(m), m, &admin{})
		for range 20 {
			ev.Retry(errors.New("connection refused"))
			time.Sleep(200 * time.Millisecond)
		}
		if n := strings.Count(log.String(), "connection refused"); n < 2 || n > 4 {
			t.Errorf("four seconds without a broker: got %d lines, want one a second after the first:\n%s", n, log.String())
		}
	})
}

// How long a group shared its partitions anew is told once for each time, and not for a worker's first share.
func TestRebalanceTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics()
		a := &app{log: slog.New(slog.DiscardHandler)}
		ev := a.sourceEvents(pipeline.Unit{Name: "main", In: "shop.queries"}, "", a.brokerEvents(m), m, &admin{waiting: map[string]bool{}})
		ev.Rebalanced(1, []int32{0, 1})
		time.Sleep(time.Hour)
		ev.Rebalancing(1)
		time.Sleep(2 * time.Second)
		ev.Rebalanced(2, []int32{0})
		ev.Rebalanced(3, []int32{0}) // a generation that nobody had told us had ended
		count, sum := m.histogramOf(t, "weir_rebalance_seconds")
		if count != 1 || sum != 2 {
			t.Errorf("got %d rebalances of %v s in all, want 1 of 2 s", count, sum)
		}
	})
}

// histogramOf is how many values a histogram without siblings has, and their sum.
func (m *metrics) histogramOf(t *testing.T, name string) (count uint64, sum float64) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			h := f.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	t.Fatalf("no %s", name)
	return 0, 0
}
