package gpu_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/gpu"
)

const ms = time.Millisecond

// At 0 ms one row finds the device idle and runs at once and alone; what comes while it runs, from whomever,
// is the next batch.
func TestRowsJoinWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = fixed(10 * ms)
		m := newModel(r, gpu.Options{}, gpu.Events{})
		defer closeModel(t, m)
		calls := []*gpu.Call{newCall(0, 1, gpu.Float32), newCall(1, 5, gpu.Float32), newCall(6, 5, gpu.Uint8), newCall(11, 5, gpu.Float32)}
		var wg sync.WaitGroup
		for i, c := range calls {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * ms)
				predict(t, m, c)
			})
		}
		wg.Wait()
		if got, want := r.batches, []int{1, 15}; !slices.Equal(got, want) {
			t.Errorf("batches: got %v, want %v", got, want)
		}
		for i, c := range calls {
			checkOK(t, c)
			want := gpu.Result{Outcome: gpu.OK, Wait: time.Duration(10-i) * ms, Run: 10 * ms, Batch: 15}
			if i == 0 {
				want.Wait, want.Batch = 0, 1
			}
			if got := c.Results[0]; got != want {
				t.Errorf("call %d: got %+v, want %+v", i, got, want)
			}
		}
	})
}

func TestBatchBounds(t *testing.T) {
	row := 3*4 + 8 + 8 // bytes of a row's inputs and output
	for _, tt := range []struct {
		name string
		o    gpu.Options
		rows int
		want []int
	}{
		{"default", gpu.Options{}, 600, []int{256, 256, 88}},
		{"rows", gpu.Options{MaxRows: 4}, 10, []int{4, 4, 2}},
		{"bytes", gpu.Options{MaxBytes: 3*row + 1}, 7, []int{3, 3, 1}},
		{"bytes of less than a row", gpu.Options{MaxBytes: 1}, 2, []int{1, 1}},
		{"run", gpu.Options{MaxRun: 5 * ms, Profile: []gpu.Point{{1, 2 * ms}, {3, 4 * ms}}}, 10, []int{4, 4, 2}},
		{"run of less than a row", gpu.Options{MaxRun: ms, Profile: []gpu.Point{{1, 2 * ms}}}, 2, []int{1, 1}},
		{"run without a profile", gpu.Options{MaxRun: ms}, 10, []int{10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReference()
			m := newModel(r, tt.o, gpu.Events{})
			defer closeModel(t, m)
			c := newCall(0, tt.rows, gpu.Float32)
			predict(t, m, c)
			checkOK(t, c)
			if !slices.Equal(r.batches, tt.want) {
				t.Errorf("batches: got %v, want %v", r.batches, tt.want)
			}
		})
	}
}

// Two free instances share a call where two halves end sooner than the whole, and not where they do not.
func TestInstancesShare(t *testing.T) {
	for _, tt := range []struct {
		name    string
		profile []gpu.Point
		want    []int
	}{
		{"time grows with rows", []gpu.Point{{1, ms}, {64, 64 * ms}}, []int{32, 32}},
		{"time does not", []gpu.Point{{1, ms}, {64, ms}}, []int{64}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newReference(), newReference()
				a.takes, b.takes = fixed(ms), fixed(ms)
				m := gpu.NewModel("ref", "v1", []gpu.Runtime{a, b}, gpu.Options{Profile: tt.profile}, gpu.Events{})
				defer closeModel(t, m)
				c := newCall(0, 64, gpu.Float32)
				predict(t, m, c)
				checkOK(t, c)
				if got := slices.Concat(a.batches, b.batches); !slices.Equal(got, tt.want) {
					t.Errorf("batches: got %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// Rows whose deadline passed in the queue end expired and never reach the device; their neighbours do.
func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = fixed(10 * ms)
		expired := 0
		m := newModel(r, gpu.Options{}, gpu.Events{Expired: func(_ string, rows int) { expired += rows }})
		defer closeModel(t, m)
		soon, late := time.Now().Add(5*ms).UnixMicro(), time.Now().Add(50*ms).UnixMicro()
		mixed, gone := newCall(10, 6, gpu.Float32), newCall(20, 2, gpu.Float32)
		mixed.Deadlines = []int64{soon, 0, soon, soon, late, soon}
		gone.Deadlines = []int64{soon, soon}
		var wg sync.WaitGroup
		wg.Go(func() { predict(t, m, newCall(0, 1, gpu.Float32)) })
		synctest.Wait()
		wg.Go(func() { predict(t, m, mixed) })
		wg.Go(func() { predict(t, m, gone) })
		wg.Wait()
		for i, r := range slices.Concat(mixed.Results, gone.Results) {
			want := gpu.Result{Outcome: gpu.Expired, Wait: 10 * ms}
			if i == 1 || i == 4 {
				want = gpu.Result{Outcome: gpu.OK, Wait: 10 * ms, Run: 10 * ms, Batch: 2}
			}
			if r != want {
				t.Errorf("row %d: got %+v, want %+v", i, r, want)
			}
		}
		checkRow(t, mixed, 1)
		checkRow(t, mixed, 4)
		if want := map[int64]int{0: 1, 11: 1, 14: 1}; len(r.runs) != len(want) {
			t.Errorf("rows on the device: got %v, want %v", r.runs, want)
		}
		if expired != 6 {
			t.Errorf("expired events: got %d rows, want 6", expired)
		}
	})
}

// A caller beyond the queue's bound waits outside, leaves when its context ends, and enters in its turn.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = fixed(10 * ms)
		most := 0
		m := newModel(r, gpu.Options{QueueRows: 10, MaxRows: 8}, gpu.Events{Queue: func(_ string, rows int) { most = max(most, rows) }})
		defer closeModel(t, m)
		var wg sync.WaitGroup
		calls := []*gpu.Call{newCall(0, 1, gpu.Float32), newCall(1, 8, gpu.Float32), newCall(9, 8, gpu.Float32), newCall(17, 2, gpu.Float32)}
		for i, c := range calls {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i == 2 {
					ctx, cancel = context.WithTimeout(ctx, 5*ms)
					defer cancel()
				}
				time.Sleep(time.Duration(i) * time.Microsecond)
				err := m.Predict(ctx, c)
				if i == 2 {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the call outside: got %v, want %v", err, context.DeadlineExceeded)
					}
				} else if err != nil {
					t.Errorf("call %d: %v", i, err)
				}
			})
		}
		time.Sleep(5 * ms) // the third call has waited for room until now; the fourth comes after it
		synctest.Wait()
		if got := calls[2].Results[0].Outcome; got != gpu.Unfinished {
			t.Errorf("the call outside: got %s, want unfinished", got)
		}
		wg.Wait()
		if most != 10 {
			t.Errorf("most rows queued: got %d, want 10", most)
		}
		if want := []int{1, 8, 2}; !slices.Equal(r.batches, want) {
			t.Errorf("batches: got %v, want %v", r.batches, want)
		}
		large := newCall(0, 30, gpu.Float32) // larger than the bound: enters the empty queue
		predict(t, m, large)
		checkOK(t, large)
	})
}

// When its context ends, a call leaves the queue at once, but waits for the run that uses its buffers.
func TestContextEnds(t *testing.T) {
	for _, tt := range []struct {
		name                string
		ahead, rows         int // rows of a call before it, and of its own
		timeout, want       time.Duration
		unfinished, batches int
		err                 error
	}{
		{"leading a run", 0, 9, 2 * ms, 10 * ms, 5, 1, context.DeadlineExceeded},
		{"queued", 1, 3, 5 * ms, 5 * ms, 3, 1, context.DeadlineExceeded},
		{"partly in a run", 1, 6, 15 * ms, 20 * ms, 2, 2, context.DeadlineExceeded},
		{"wholly in a run", 1, 4, 15 * ms, 20 * ms, 0, 2, nil},
		{"ended before", 0, 1, 0, 0, 1, 0, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReference()
				r.takes = fixed(10 * ms)
				m := newModel(r, gpu.Options{MaxRows: 4}, gpu.Events{})
				var wg sync.WaitGroup
				defer closeModel(t, m)
				wg.Go(func() { predict(t, m, newCall(0, tt.ahead, gpu.Float32)) })
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				start, c := time.Now(), newCall(1, tt.rows, gpu.Float32)
				if err := m.Predict(ctx, c); !errors.Is(err, tt.err) || time.Since(start) != tt.want {
					t.Errorf("got %v after %v, want %v after %v", err, time.Since(start), tt.err, tt.want)
				}
				wg.Wait()
				unfinished := 0
				for _, r := range c.Results {
					if r.Outcome == gpu.Unfinished {
						unfinished++
					}
				}
				if unfinished != tt.unfinished || len(r.batches) != tt.batches {
					t.Errorf("got %d rows unfinished and runs of %v rows, want %d and %d", unfinished, r.batches, tt.unfinished, tt.batches)
				}
				predict(t, m, c) // the rest was not hurt, and a Call may be used again
				checkOK(t, c)
			})
		})
	}
}

// A call that was used before tells nothing of that time when its context ends.
func TestResultsAreCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = fixed(10 * ms)
		m := newModel(r, gpu.Options{}, gpu.Events{})
		defer closeModel(t, m)
		c := newCall(0, 1, gpu.Float32)
		predict(t, m, c)
		var wg sync.WaitGroup
		wg.Go(func() { predict(t, m, newCall(1, 1, gpu.Float32)) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), ms)
		defer cancel()
		if err := m.Predict(ctx, c); err == nil || c.Results[0].Outcome != gpu.Unfinished {
			t.Errorf("got %v and %+v, want an unfinished row", err, c.Results[0])
		}
		wg.Wait()
	})
}

// Queue tells the rows that wait, as batches take them, as calls come and as they leave.
func TestQueueEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = fixed(10 * ms)
		var got []int
		m := newModel(r, gpu.Options{MaxRows: 4, QueueRows: 8}, gpu.Events{Queue: func(_ string, rows int) {
			if len(got) == 0 || got[len(got)-1] != rows {
				got = append(got, rows)
			}
		}})
		defer closeModel(t, m)
		var wg sync.WaitGroup
		for _, rows := range []int{10, 2, 5} { // 6 + 2 queued; the last call waits outside
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if rows == 2 {
					ctx, cancel = context.WithTimeout(ctx, 5*ms)
					defer cancel()
				}
				if err := m.Predict(ctx, newCall(0, rows, gpu.Float32)); (err != nil) != (rows == 2) {
					t.Errorf("%d rows: %v", rows, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if want := []int{10, 6, 8, 6, 7, 3, 0}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if want := []int{4, 4, 4, 3}; !slices.Equal(r.batches, want) {
			t.Errorf("batches: got %v, want %v", r.batches, want)
		}
	})
}

// When a call leaves the queue, one that waits outside takes its place at once.
func TestRoomIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = fixed(10 * ms)
		var queued atomic.Int64
		m := newModel(r, gpu.Options{QueueRows: 5}, gpu.Events{Queue: func(_ string, rows int) { queued.Store(int64(rows)) }})
		defer closeModel(t, m)
		var wg sync.WaitGroup
		wg.Go(func() { predict(t, m, newCall(0, 1, gpu.Float32)) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if err := m.Predict(ctx, newCall(1, 3, gpu.Float32)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		wg.Go(func() { predict(t, m, newCall(4, 4, gpu.Float32)) })
		synctest.Wait()
		if got := queued.Load(); got != 3 {
			t.Errorf("before: got %d rows queued, want 3", got)
		}
		cancel()
		synctest.Wait()
		if got := queued.Load(); got != 4 {
			t.Errorf("after: got %d rows queued, want 4", got)
		}
		wg.Wait()
	})
}

// Close waits for a run that a caller leads.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = fixed(10 * ms)
		m := newModel(r, gpu.Options{}, gpu.Events{})
		c := newCall(0, 1, gpu.Float32)
		var wg sync.WaitGroup
		wg.Go(func() { predict(t, m, c) })
		synctest.Wait()
		start := time.Now()
		closeModel(t, m)
		if took := time.Since(start); took != 10*ms {
			t.Errorf("closed after %v, want 10ms", took)
		}
		wg.Wait()
		checkOK(t, c)
	})
}

// Close answers what is in hand, refuses the rest and closes the runtime last.
func TestCloseUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = fixed(ms)
		m := newModel(r, gpu.Options{MaxRows: 4, QueueRows: 8}, gpu.Events{})
		var wg sync.WaitGroup
		answered, refused := make([]int, 8), make([]int, 8)
		for i := range 8 {
			wg.Go(func() {
				for {
					c := newCall(i, 3, gpu.Float32)
					switch err := m.Predict(t.Context(), c); {
					case errors.Is(err, gpu.ErrClosed):
						refused[i]++
						return
					case err != nil:
						t.Errorf("predict: %v", err)
						return
					}
					checkOK(t, c)
					answered[i]++
				}
			})
		}
		time.Sleep(20 * ms)
		closeModel(t, m)
		if !r.closed {
			t.Error("the runtime is not closed")
		}
		wg.Wait()
		for i := range 8 {
			if answered[i] < 1 || refused[i] != 1 {
				t.Errorf("caller %d: %d answered, %d refused", i, answered[i], refused[i])
			}
		}
		closeModel(t, m) // once more is no fault
	})
}

// One caller's contiguous rows go to the device where they lie; only what must be widened is copied.
func TestNoCopy(t *testing.T) {
	r := newReference()
	m := newModel(r, gpu.Options{MaxRows: 4}, gpu.Events{})
	defer closeModel(t, m)
	c := newCall(0, 7, gpu.Float32)
	predict(t, m, c)
	second := 4 // its first row
	if r.in[0] != &c.In[0].Data[second*12] || r.in[1] != &c.In[1].Data[second*8] || r.out[0] != &c.Out[0].Data[second*8] {
		t.Error("float32 rows were copied")
	}
	c = newCall(0, 3, gpu.Uint8)
	predict(t, m, c)
	if r.in[0] == &c.In[0].Data[0] || r.in[1] != &c.In[1].Data[0] || r.out[0] != &c.Out[0].Data[0] {
		t.Error("want uint8 rows copied and the rest not")
	}
}

func TestNoAllocation(t *testing.T) {
	r := newReference()
	r.verbose = false
	m := newModel(r, gpu.Options{}, gpu.Events{})
	defer closeModel(t, m)
	c := newCall(0, 256, gpu.Uint8)
	if n := testing.AllocsPerRun(100, func() { predict(t, m, c) }); n >= 1 {
		t.Errorf("allocations for a call of 256 rows: got %v, want 0", n)
	}
}

func TestCallsThatDoNotFit(t *testing.T) {
	m := newModel(newReference(), gpu.Options{}, gpu.Events{})
	defer closeModel(t, m)
	for _, tt := range []struct {
		want string
		edit func(*gpu.Call)
	}{
		{"3 results for 2 rows", func(c *gpu.Call) { c.Results = make([]gpu.Result, 3) }},
		{"1 deadlines for 2 rows", func(c *gpu.Call) { c.Deadlines = []int64{1} }},
		{"input count is 1, the model has 2", func(c *gpu.Call) { c.In = c.In[:1] }},
		{"input x float32[3] is given as float64", func(c *gpu.Call) { c.In[0].Type = gpu.Float64 }},
		{"input x float32[3] is given as rows of shape [2]", func(c *gpu.Call) { c.In[0].Shape = []int64{2} }},
		{"input x float32[3] is given 4 bytes, 2 rows take 24", func(c *gpu.Call) { c.In[0].Data = c.In[0].Data[:4] }},
		{"output total float64[] is given as float32", func(c *gpu.Call) { c.Out[0].Type = gpu.Float32 }},
	} {
		c := newCall(0, 2, gpu.Float32)
		tt.edit(c)
		if err := m.Predict(t.Context(), c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	predict(t, m, newCall(0, 0, gpu.Float32))
}
