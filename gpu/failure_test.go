package gpu_test

import (
	"errors"
	"math/bits"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/gpu"
)

// The rows that make the model fail end alone, whatever the fault, within the promised number of runs; all
// other rows of all other callers are answered.
func TestPoisonRows(t *testing.T) {
	for _, tt := range []struct {
		name   string
		how    float32
		want   string
		poison []int // rows of the joined batch of 3 × 20 rows
	}{
		{"error", failing, "gpu: ref: cannot compute", []int{33}},
		{"panic", panics, "gpu: ref: the runtime panicked: deep trouble", []int{0}},
		{"wrong rows", rowsLost, "output total has 0 rows, the input had 1", []int{59}},
		{"several", failing, "cannot compute", []int{3, 20, 21, 58}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReference()
				r.takes = fixed(ms)
				retried, failed := 0, 0
				m := newModel(r, gpu.Options{}, gpu.Events{
					Retry:  func(_ string, rows int) { retried += rows },
					Failed: func(_ string, rows int) { failed += rows },
				})
				defer closeModel(t, m)
				calls := []*gpu.Call{newCall(100, 20, gpu.Float32), newCall(200, 20, gpu.Float32), newCall(300, 20, gpu.Float32)}
				poison := make(map[int]bool)
				for _, row := range tt.poison {
					poison[row] = true
					spoil(calls[row/20], row%20, tt.how)
				}
				join(t, m, calls)
				for row := range 60 {
					c, i := calls[row/20], row%20
					res := c.Results[i]
					if !poison[row] {
						if res.Outcome != gpu.OK {
							t.Errorf("row %d: got %s (%v), want ok", row, res.Outcome, res.Err)
						}
						checkRow(t, c, i)
					} else if res.Outcome != gpu.Failed || !strings.Contains(res.Err.Error(), tt.want) || res.Batch != 1 {
						t.Errorf("row %d: got %+v, want failed alone with %q", row, res, tt.want)
					}
				}
				checkRuns(t, r, len(tt.poison))
				if retried != 60 || failed != len(tt.poison) {
					t.Errorf("got %d rows retried and %d failed, want 60 and %d", retried, failed, len(tt.poison))
				}
			})
		})
	}
}

// join sends a row ahead, so that the calls meet in one batch behind it.
func join(t *testing.T, m *gpu.Model, calls []*gpu.Call) {
	var wg sync.WaitGroup
	wg.Go(func() { predict(t, m, newCall(0, 1, gpu.Float32)) })
	synctest.Wait()
	for _, c := range calls {
		wg.Go(func() { predict(t, m, c) })
		synctest.Wait() // one after the other, so that row i of the batch is known
	}
	wg.Wait()
}

func checkRuns(t *testing.T, r *reference, poison int) {
	t.Helper()
	log := bits.Len(uint(60 - 1))
	if got, most := len(r.batches)-1, 2+2*poison*log; got > most || r.batches[1] != 60 {
		t.Errorf("got %d runs of %v rows, want at most %d, the first of 60", got, r.batches, most)
	}
	for id, runs := range r.runs {
		if most := 2 + log; runs > most {
			t.Errorf("row with id %d ran %d times, want at most %d", id, runs, most)
		}
	}
}

// A wrong row count is told by its type.
func TestRowsErrorIsTyped(t *testing.T) {
	m := newModel(newReference(), gpu.Options{}, gpu.Events{})
	defer closeModel(t, m)
	c := newCall(0, 1, gpu.Float32)
	spoil(c, 0, rowsLost)
	predict(t, m, c)
	var rows *gpu.RowsError
	if !errors.As(c.Results[0].Err, &rows) || rows.Want != 1 || rows.Got != 0 {
		t.Errorf("got %v, want a RowsError of 1 and 0 rows", c.Results[0].Err)
	}
}

// A fault that passes costs one more run and nothing else. A model that stays broken costs at most 2n runs.
func TestPassingAndLastingFaults(t *testing.T) {
	for _, tt := range []struct {
		fails, runs int
		want        gpu.Outcome
	}{
		{1, 2, gpu.OK},
		{2, 4, gpu.OK}, // both halves
		{1000, 16, gpu.Failed},
	} {
		r := newReference()
		r.fails = tt.fails
		m := newModel(r, gpu.Options{}, gpu.Events{})
		c := newCall(0, 8, gpu.Float32)
		predict(t, m, c)
		for i, res := range c.Results {
			if res.Outcome != tt.want || (res.Err != nil) != (tt.want == gpu.Failed) {
				t.Errorf("%d failing runs, row %d: got %+v, want %s", tt.fails, i, res, tt.want)
			}
		}
		if len(r.batches) != tt.runs {
			t.Errorf("%d failing runs: got %d runs, want %d", tt.fails, len(r.batches), tt.runs)
		}
		closeModel(t, m)
	}
}

// Once all rows of a failed run are past their deadline it is not repeated; they fail with its error.
func TestNoRetryPastDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = fixed(10 * ms)
		r.fails = 1
		m := newModel(r, gpu.Options{}, gpu.Events{})
		defer closeModel(t, m)
		c := newCall(0, 2, gpu.Float32)
		deadline := time.Now().Add(5 * ms).UnixMicro()
		c.Deadlines = []int64{deadline, deadline}
		predict(t, m, c)
		for i, res := range c.Results {
			if res.Outcome != gpu.Failed || res.Err == nil {
				t.Errorf("row %d: got %+v, want failed", i, res)
			}
		}
		if len(r.batches) != 1 {
			t.Errorf("got runs of %v rows, want one", r.batches)
		}
		r.fails = 1
		c.Deadlines[1] = 0 // a row without a deadline has time: both are repeated
		c.Deadlines[0] = time.Now().Add(5 * ms).UnixMicro()
		predict(t, m, c)
		checkOK(t, c)
	})
}
