package loadgen

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Gaps are exponential: mean and standard deviation are 1/rate, the median is ln 2/rate, and counts in
// windows have the variance of their mean.
func TestPoissonDistribution(t *testing.T) {
	const rate, n, seed = 500.0, 200_000, 7
	t.Logf("seed %d", seed)
	p := NewPoisson(rate, seed)
	var last time.Duration
	gaps := make([]float64, n)
	windows := map[int]float64{}
	var end time.Duration
	for i := range gaps {
		at := p.Next()
		if at < last {
			t.Fatalf("arrival %d at %v is before the one at %v", i, at, last)
		}
		gaps[i] = (at - last).Seconds() * rate
		windows[int(at/(100*time.Millisecond))]++
		last, end = at, at
	}
	var sum, squares float64
	for _, g := range gaps {
		sum += g
		squares += g * g
	}
	mean := sum / n
	near(t, "mean gap", mean, 1, 0.01)
	near(t, "deviation of gaps", math.Sqrt(squares/n-mean*mean), 1, 0.015)
	slices.Sort(gaps)
	near(t, "median gap", gaps[n/2], math.Ln2, 0.01)

	whole := int(end / (100 * time.Millisecond))
	var ws, wq float64
	for w := range whole {
		ws += windows[w]
		wq += windows[w] * windows[w]
	}
	m := ws / float64(whole)
	near(t, "index of dispersion", (wq/float64(whole)-m*m)/m, 1, 0.1)
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: got %.4f, want %.4f ± %.4f", what, got, want, tolerance)
	}
}

func TestPoissonSeed(t *testing.T) {
	take := func(seed uint64) (out [50]time.Duration) {
		p := NewPoisson(100, seed)
		for i := range out {
			out[i] = p.Next()
		}
		return out
	}
	one, again, other := take(3), take(3), take(4)
	if one != again {
		t.Error("one seed gave two schedules")
	}
	if one == other {
		t.Error("two seeds gave one schedule")
	}
}

// A sender that blocks for a while does not shift the schedule: what fell due meanwhile is sent at once,
// with its own intended time.
func TestPaceIsOpenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := 0
		next := func() time.Duration { n++; return time.Duration(n) * 10 * time.Millisecond }
		var intended, sent []time.Duration
		err := Pace(t.Context(), start, next, 6, func(i int, at time.Time) error {
			intended = append(intended, at.Sub(start))
			sent = append(sent, time.Since(start))
			if i == 1 {
				time.Sleep(25 * time.Millisecond) // virtual: a sender that stalls
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ms := func(v ...int) (out []time.Duration) {
			for _, x := range v {
				out = append(out, time.Duration(x)*time.Millisecond)
			}
			return out
		}
		if want := ms(10, 20, 30, 40, 50, 60); !slices.Equal(intended, want) {
			t.Errorf("intended: got %v, want %v", intended, want)
		}
		if want := ms(10, 20, 45, 45, 50, 60); !slices.Equal(sent, want) {
			t.Errorf("sent: got %v, want %v", sent, want)
		}
	})
}

func TestPaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		every := func() func() time.Duration {
			n := 0
			return func() time.Duration { n++; return time.Duration(n) * time.Second }
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		sent := 0
		if err := Pace(ctx, time.Now(), every(), 0, func(int, time.Time) error { sent++; return nil }); err != nil || sent != 3 {
			t.Errorf("endless until cancelled: sent %d, err %v, want 3 and none", sent, err)
		}
		broken := errors.New("broken")
		err := Pace(t.Context(), time.Now(), every(), 0, func(i int, _ time.Time) error {
			if i == 2 {
				return broken
			}
			return nil
		})
		if !errors.Is(err, broken) {
			t.Errorf("got %v, want the sender's error", err)
		}
	})
}

func TestLatencies(t *testing.T) {
	l, more := NewLatencies(), NewLatencies()
	if l.Quantile(0.5) != 0 || l.Count() != 0 {
		t.Errorf("empty: got %v of %d", l.Quantile(0.5), l.Count())
	}
	for i := 1; i <= 1000; i++ {
		l.Record(time.Duration(i) * 10 * time.Microsecond)
	}
	for _, c := range []struct{ q, ms float64 }{{0.5, 5}, {0.99, 9.9}, {0.999, 9.99}, {1, 10}} {
		near(t, "quantile in ms", l.Quantile(c.q).Seconds()*1e3, c.ms, c.ms/500)
	}
	more.Record(time.Hour)
	more.Record(-time.Second)
	l.Merge(more)
	if got := l.Count(); got != 1002 {
		t.Errorf("merged: got %d latencies, want 1002", got)
	}
	if got := l.Quantile(1); got < 9*time.Minute {
		t.Errorf("an hour counts as the longest: got %v", got)
	}
	l.Reset()
	if l.Count() != 0 {
		t.Errorf("after Reset: got %d latencies", l.Count())
	}
}
