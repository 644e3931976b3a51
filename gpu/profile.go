package gpu

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"
)

// A Point of a profile: how long a batch of so many rows runs.
type Point struct {
	Rows int
	Run  time.Duration
}

// runTime estimates how long a batch runs: by the line between the two points around it, and beyond the
// last point by the line through the last two. Without points it is 0.
func runTime(profile []Point, rows int) time.Duration {
	switch n := len(profile); {
	case n == 0:
		return 0
	case rows <= profile[0].Rows:
		return profile[0].Run
	case n == 1:
		return profile[0].Run * time.Duration(rows) / time.Duration(profile[0].Rows)
	}
	i := sort.Search(len(profile), func(i int) bool { return profile[i].Rows >= rows })
	i = min(i, len(profile)-1)
	a, b := profile[i-1], profile[i]
	slope := float64(b.Run-a.Run) / float64(b.Rows-a.Rows)
	return a.Run + time.Duration(slope*float64(rows-a.Rows))
}

// rowsWithin is the largest batch, of at most limit rows and at least one, that runs within bound.
func rowsWithin(profile []Point, bound time.Duration, limit int) int {
	if bound <= 0 || len(profile) == 0 {
		return limit
	}
	tooLong := func(i int) bool { return runTime(profile, i+1) > bound }
	return max(sort.Search(limit, tooLong), 1)
}

// warm runs batches of zeros through fresh instances, so that the first query pays for no lazy set-up, and
// measures how long they take on the first instance. It keeps to the budget: sizes that would not fit into
// the rest of it are left out, but the first always runs.
func warm(ctx context.Context, rts []Runtime, rows []int, budget time.Duration, now func() time.Time) ([]Point, error) {
	start := now()
	var profile []Point
	for i, n := range rows {
		once := runTime(profile, n) * time.Duration(len(rts))
		if len(profile) > 0 && now().Add(once).After(start.Add(budget)) {
			break
		}
		share := start.Add(budget * time.Duration(i+1) / time.Duration(len(rows)))
		run, err := measure(ctx, rts, n, share, now)
		if err != nil {
			return nil, fmt.Errorf("a batch of %d rows of zeros: %w", n, err)
		}
		if len(profile) > 0 { // noise must not make a larger batch look quicker
			run = max(run, profile[len(profile)-1].Run)
		}
		profile = append(profile, Point{n, run})
	}
	return profile, nil
}

// measure runs a batch of n rows on each instance, and on the first of them then up to five times more while
// they fit before until. It returns the median of these five, or the time of the only run.
func measure(ctx context.Context, rts []Runtime, n int, until time.Time, now func() time.Time) (time.Duration, error) {
	sig := rts[0].Signature()
	in, out := newTensors(sig.Inputs, n), newTensors(sig.Outputs, n)
	timed := func(rt Runtime) (time.Duration, error) {
		start := now()
		err := safely(ctx, rt, n, in, out)
		return now().Sub(start), err
	}
	for _, rt := range rts[1:] {
		if _, err := timed(rt); err != nil {
			return 0, err
		}
	}
	first, err := timed(rts[0])
	var times []time.Duration
	for err == nil && len(times) < 5 && !now().Add(first).After(until) {
		var d time.Duration
		d, err = timed(rts[0])
		times = append(times, d)
	}
	if err != nil || len(times) == 0 {
		return first, err
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func newTensors(ports []Port, rows int) []Tensor {
	ts := make([]Tensor, len(ports))
	for i, p := range ports {
		ts[i] = NewTensor(p.Type, p.Shape, rows)
	}
	return ts
}
