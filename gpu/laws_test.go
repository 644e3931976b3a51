package gpu_test

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"weir/gpu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever meets in a queue, every row gets exactly the answer that it would get alone: calls of all sizes
// and both types, from several callers, with poison and expired rows, on one or several instances.
func TestModelLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var refs []*reference
		var rts []gpu.Runtime
		for range rapid.IntRange(1, 3).Draw(t, "instances") {
			refs = append(refs, newReference())
			rts = append(rts, refs[len(refs)-1])
		}
		o := gpu.Options{
			MaxRows:   rapid.IntRange(1, 40).Draw(t, "max rows"),
			QueueRows: rapid.IntRange(1, 60).Draw(t, "queue rows"),
			Profile:   []gpu.Point{{Rows: 1, Run: ms}, {Rows: 2, Run: 2 * ms}},
		}
		m := gpu.NewModel("ref", "v1", rts, o, gpu.Events{})
		calls := rapid.SliceOfN(rapid.Custom(drawCall), 1, 12).Draw(t, "calls")
		var wg sync.WaitGroup
		for caller := range 3 {
			wg.Go(func() {
				for i := caller; i < len(calls); i += 3 {
					number(calls[i], 100*i)
					predict(t, m, calls[i].Call)
				}
			})
		}
		wg.Wait()
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		runs := make(map[int64]int)
		for _, r := range refs {
			for id, n := range r.runs {
				runs[id] += n
			}
			for _, rows := range r.batches {
				if rows > o.MaxRows {
					t.Errorf("a batch of %d rows, the bound is %d", rows, o.MaxRows)
				}
			}
		}
		for _, c := range calls {
			c.check(t, runs)
		}
	})
}

// A fated call knows how each of its rows must end.
type fated struct {
	*gpu.Call
	want []gpu.Outcome
}

func drawCall(t *rapid.T) fated {
	types := []gpu.Type{gpu.Float32, gpu.Uint8}
	c := newCall(0, rapid.IntRange(1, 50).Draw(t, "rows"), rapid.SampledFrom(types).Draw(t, "type"))
	f := fated{c, make([]gpu.Outcome, c.Rows)}
	if rapid.Bool().Draw(t, "deadlines") {
		c.Deadlines = make([]int64, c.Rows)
	}
	for i := range c.Rows {
		f.want[i] = gpu.OK
		fate := rapid.IntRange(0, 19).Draw(t, "fate")
		switch {
		case fate < 3 && c.Deadlines != nil:
			f.want[i] = gpu.Expired
			c.Deadlines[i] = time.Now().Add(-time.Second).UnixMicro()
		case fate == 3 && c.In[0].Type == gpu.Float32:
			f.want[i] = gpu.Failed
			spoil(c, i, rapid.SampledFrom([]float32{failing, panics, rowsLost}).Draw(t, "how"))
		case fate > 15 && c.Deadlines != nil:
			c.Deadlines[i] = time.Now().Add(time.Hour).UnixMicro()
		}
	}
	return f
}

// number gives the rows ids of their own, with the features that go with them.
func number(f fated, first int) {
	fresh := newCall(first, f.Rows, f.In[0].Type)
	copy(f.In[1].Data, fresh.In[1].Data)
	row := len(f.In[0].Data) / f.Rows
	for i, want := range f.want {
		if want != gpu.Failed {
			copy(f.In[0].Data[i*row:(i+1)*row], fresh.In[0].Data[i*row:])
		}
	}
}

func (f fated) check(t *rapid.T, runs map[int64]int) {
	for i, r := range f.Results {
		id := gpu.Int64s(f.In[1])[i]
		if r.Outcome != f.want[i] || (r.Err != nil) != (r.Outcome == gpu.Failed) {
			t.Errorf("row with id %d: got %s (%v), want %s", id, r.Outcome, r.Err, f.want[i])
		}
		if (runs[id] == 0) != (r.Outcome == gpu.Expired) {
			t.Errorf("row with id %d ended %s after %d runs", id, r.Outcome, runs[id])
		}
		if r.Outcome == gpu.OK {
			checkRow(t, f.Call, i)
		}
	}
}
