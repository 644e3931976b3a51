package gpu_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"weir/gpu"
)

// The numbers that a reference model fails on, each in its own way, when they stand first in a row.
const (
	failing  = -1
	panics   = -2
	rowsLost = -3
)

// A reference is a model in plain Go: total = x[0] + x[1] + x[2] + 10·id. It takes a given time, fails on
// the rows that ask for it, and keeps a record of what reached it.
type reference struct {
	takes   func(rows int) time.Duration // nil: no time. Only in a bubble, where time is virtual
	fails   int                          // so many runs fail whatever they hold
	verbose bool

	mu      sync.Mutex
	busy    bool
	closed  bool
	batches []int
	runs    map[int64]int // by id
	in, out []*byte       // where the tensors of the last run lay
}

func newReference() *reference { return &reference{verbose: true, runs: make(map[int64]int)} }

func (r *reference) Signature() gpu.Signature {
	return gpu.Signature{
		Inputs:  []gpu.Port{{Name: "x", Type: gpu.Float32, Shape: []int64{3}}, {Name: "id", Type: gpu.Int64}},
		Outputs: []gpu.Port{{Name: "total", Type: gpu.Float64}},
	}
}

func (r *reference) Predict(_ context.Context, rows int, in, out []gpu.Tensor) error {
	x, id, total := gpu.Float32s(in[0]), gpu.Int64s(in[1]), gpu.Float64s(out[0])
	if len(x) != 3*rows || len(id) != rows || len(total) != rows {
		panic("a tensor does not hold the rows of the batch")
	}
	fail, done := r.enter(rows, id, in, out)
	defer done()
	if r.takes != nil {
		time.Sleep(r.takes(rows))
	}
	if fail {
		return errors.New("out of order")
	}
	for i := range rows {
		switch x[3*i] {
		case failing:
			return errors.New("cannot compute")
		case panics:
			panic("deep trouble")
		case rowsLost:
			return &gpu.RowsError{Output: "total", Want: rows, Got: rows - 1}
		}
		total[i] = float64(x[3*i]) + float64(x[3*i+1]) + float64(x[3*i+2]) + 10*float64(id[i])
	}
	return nil
}

// enter records a run and checks that it is the only one.
func (r *reference) enter(rows int, id []int64, in, out []gpu.Tensor) (fail bool, done func()) {
	if !r.verbose {
		return false, func() {}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy || r.closed {
		panic("run beside another run, or after Close")
	}
	r.busy = true
	r.batches = append(r.batches, rows)
	for _, id := range id {
		r.runs[id]++
	}
	r.in, r.out = []*byte{&in[0].Data[0], &in[1].Data[0]}, []*byte{&out[0].Data[0]}
	fail = r.fails > 0
	r.fails--
	return fail, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy = false
	}
}

func (r *reference) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

// newCall makes rows with the ids from first on: x = [id mod 7, 1, 2], as float32 or as uint8.
func newCall(first, rows int, x gpu.Type) *gpu.Call {
	c := &gpu.Call{
		Rows:    rows,
		In:      []gpu.Tensor{gpu.NewTensor(x, []int64{3}, rows), gpu.NewTensor(gpu.Int64, nil, rows)},
		Out:     []gpu.Tensor{gpu.NewTensor(gpu.Float64, nil, rows)},
		Results: make([]gpu.Result, rows),
	}
	for i := range rows {
		id := first + i
		gpu.Int64s(c.In[1])[i] = int64(id)
		if x == gpu.Uint8 {
			copy(c.In[0].Data[3*i:], []byte{byte(id % 7), 1, 2})
		} else {
			copy(gpu.Float32s(c.In[0])[3*i:], []float32{float32(id % 7), 1, 2})
		}
	}
	return c
}

// spoil makes a row one that the model fails on.
func spoil(c *gpu.Call, row int, how float32) { gpu.Float32s(c.In[0])[3*row] = how }

// checkRow compares an OK row with what the model must say.
func checkRow(t failer, c *gpu.Call, row int) {
	t.Helper()
	id := gpu.Int64s(c.In[1])[row]
	if got, want := gpu.Float64s(c.Out[0])[row], float64(id%7+3+10*id); got != want {
		t.Errorf("row with id %d: got %v, want %v", id, got, want)
	}
}

func checkOK(t testing.TB, c *gpu.Call) {
	t.Helper()
	for i, r := range c.Results {
		if r.Outcome != gpu.OK || r.Err != nil {
			t.Errorf("row %d: got %s (%v), want ok", i, r.Outcome, r.Err)
			continue
		}
		checkRow(t, c, i)
	}
}

// failer is what a testing.T and a rapid.T have in common here.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Context() context.Context
}

func predict(t failer, m *gpu.Model, c *gpu.Call) {
	t.Helper()
	if err := m.Predict(t.Context(), c); err != nil {
		t.Errorf("predict: %v", err)
	}
}

// fixed says that a run takes d, whatever its rows.
func fixed(d time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return d }
}

func newModel(r *reference, o gpu.Options, ev gpu.Events) *gpu.Model {
	return gpu.NewModel("ref", "v1", []gpu.Runtime{r}, o, ev)
}

func closeModel(t testing.TB, m *gpu.Model) {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
