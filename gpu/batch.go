package gpu

import (
	"context"
	"fmt"
	"math/bits"
	"time"
)

// A batch is an instance and the rows that it runs at a time: ranges of rows of one or several calls. It is used again
// and again, so that running costs no allocation.
//
// A batch of one contiguous range goes to the device where it lies, if its numbers have the model's types;
// everything else is copied, and widened by the same copy, into buffers that the batch keeps.
type batch struct {
	m      *Model
	rt     Runtime
	handed chan struct{} // gets a value when the instance is handed to its goroutine

	parts []part
	rows  int

	in, out         []Tensor // all rows, in the model's types
	inBuf, outBuf   []Tensor // where they lie unless they are a caller's
	someIn, someOut []Tensor // the rows of one run
}

// A part is rows from to to of a job. The first of them is row at of the batch.
type part struct {
	job          *job
	from, to, at int
}

func newBatch(m *Model, rt Runtime) *batch {
	ins, outs := len(m.sig.Inputs), len(m.sig.Outputs)
	return &batch{m: m, rt: rt, handed: make(chan struct{}, 1),
		in: make([]Tensor, ins), inBuf: make([]Tensor, ins), someIn: make([]Tensor, ins),
		out: make([]Tensor, outs), outBuf: make([]Tensor, outs), someOut: make([]Tensor, outs)}
}

// reset forgets the rows, and with them the callers' memory.
func (b *batch) reset() {
	clear(b.parts)
	b.parts, b.rows = b.parts[:0], 0
	for _, ts := range [][]Tensor{b.in, b.out, b.someIn, b.someOut} {
		clear(ts)
	}
}

// takeFrom takes rows of j until the batch has limit rows, and ends those whose deadline has passed. It
// returns how many it ended. The Model's lock is held.
func (b *batch) takeFrom(j *job, limit int, now time.Time) (expired int) {
	c, micros := j.call, now.UnixMicro()
	for b.rows < limit && j.next < c.Rows {
		from := j.next
		for j.next < c.Rows && b.rows+j.next-from < limit && !c.expired(j.next, micros) {
			j.next++
		}
		if n := j.next - from; n > 0 {
			b.parts = append(b.parts, part{j, from, j.next, b.rows})
			b.rows += n
		}
		for j.next < c.Rows && c.expired(j.next, micros) {
			c.Results[j.next] = Result{Outcome: Expired, Wait: now.Sub(j.since)}
			j.next++
			expired++
		}
	}
	return expired
}

func (c *Call) expired(row int, micros int64) bool {
	return c.Deadlines != nil && c.Deadlines[row] != 0 && c.Deadlines[row] <= micros
}

// run answers every row of the batch.
//
// A run that fails is repeated once while one of its rows is within its deadline. What fails again is split
// in halves, each of them run once, down to single rows: a row that makes the model fail ends alone, and all
// others are answered. A batch of n rows with k such rows costs at most 2 + 2k⌈log₂n⌉ runs, and never more
// than 2n; a row takes part in at most 2 + ⌈log₂n⌉.
func (b *batch) run(ctx context.Context) {
	if b.rows == 0 {
		return
	}
	b.gather()
	err := b.try(ctx, 0, b.rows)
	if err != nil && b.alive(0, b.rows) {
		tell(b.m.ev.Retry, b.m.name, b.rows)
		err = b.try(ctx, 0, b.rows)
	}
	if err != nil {
		b.split(ctx, 0, b.rows, err)
	}
}

// split answers rows lo to hi, which have failed together with err.
func (b *batch) split(ctx context.Context, lo, hi int, err error) {
	if hi-lo == 1 || !b.alive(lo, hi) {
		b.fail(lo, hi, err)
		return
	}
	mid := lo + (hi-lo)/2
	for _, half := range [2][2]int{{lo, mid}, {mid, hi}} {
		if err := b.try(ctx, half[0], half[1]); err != nil {
			b.split(ctx, half[0], half[1], err)
		}
	}
}

// try runs rows lo to hi and answers them if the run succeeds.
func (b *batch) try(ctx context.Context, lo, hi int) error {
	for i, t := range b.in {
		b.someIn[i] = t.Slice(lo, hi)
	}
	for i, t := range b.out {
		b.someOut[i] = t.Slice(lo, hi)
	}
	start := b.m.opt.Now()
	err := safely(ctx, b.rt, hi-lo, b.someIn, b.someOut)
	run := b.m.opt.Now().Sub(start)
	wait := b.finish(lo, hi, start, Result{Outcome: OK, Run: run, Batch: int32(hi - lo)})
	if err == nil {
		b.scatter(lo, hi)
	} else {
		err = fmt.Errorf("gpu: %s: %w", b.m.name, err)
	}
	if f := b.m.ev.Batch; f != nil {
		f(b.m.name, hi-lo, wait, run)
	}
	return err
}

// finish gives rows lo to hi a result. It returns how long the oldest of them had waited at start.
func (b *batch) finish(lo, hi int, start time.Time, r Result) (longest time.Duration) {
	b.each(lo, hi, func(p part) {
		r.Wait = start.Sub(p.job.since)
		longest = max(longest, r.Wait)
		for row := p.from; row < p.to; row++ {
			p.job.call.Results[row] = r
		}
	})
	return longest
}

// fail ends rows lo to hi, whose last run gave them a result that says OK.
func (b *batch) fail(lo, hi int, err error) {
	b.each(lo, hi, func(p part) {
		for row := p.from; row < p.to; row++ {
			r := &p.job.call.Results[row]
			r.Outcome, r.Err = Failed, err
		}
	})
	tell(b.m.ev.Failed, b.m.name, hi-lo)
}

// alive says that one of rows lo to hi is within its deadline.
func (b *batch) alive(lo, hi int) (alive bool) {
	micros := b.m.opt.Now().UnixMicro()
	b.each(lo, hi, func(p part) {
		for row := p.from; row < p.to && !alive; row++ {
			alive = !p.job.call.expired(row, micros)
		}
	})
	return alive
}

// each calls f with the parts of rows lo to hi.
func (b *batch) each(lo, hi int, f func(part)) {
	for _, p := range b.parts {
		from, to := max(lo, p.at), min(hi, p.at+p.to-p.from)
		if from < to {
			f(part{p.job, p.from + from - p.at, p.from + to - p.at, from})
		}
	}
}

// gather makes in and out. The buffers are as large as the largest batch that needed them.
func (b *batch) gather() {
	one := len(b.parts) == 1
	first := b.parts[0]
	for i, port := range b.m.sig.Inputs {
		t := first.job.call.In[i]
		if one && t.Type == port.Type && t.aligned() {
			b.in[i] = t.Slice(first.from, first.to)
			b.in[i].Shape = port.Shape
			continue
		}
		b.in[i] = buffer(&b.inBuf[i], port, b.rows)
		for _, p := range b.parts {
			widen(b.in[i].Slice(p.at, p.at+p.to-p.from), p.job.call.In[i].Slice(p.from, p.to))
		}
	}
	for i, port := range b.m.sig.Outputs {
		t := first.job.call.Out[i]
		if one && t.aligned() {
			b.out[i] = t.Slice(first.from, first.to)
			b.out[i].Shape = port.Shape
			continue
		}
		b.out[i] = buffer(&b.outBuf[i], port, b.rows)
	}
}

// scatter copies outputs that lie in the batch's own buffers to their callers.
func (b *batch) scatter(lo, hi int) {
	for i, t := range b.out {
		if len(b.outBuf[i].Data) == 0 || &t.Data[0] != &b.outBuf[i].Data[0] {
			continue
		}
		b.each(lo, hi, func(p part) {
			copy(p.job.call.Out[i].Slice(p.from, p.to).Data, t.Slice(p.at, p.at+p.to-p.from).Data)
		})
	}
}

// buffer is the first rows of *t, which grows to hold them, by doubling: batches grow with the load.
func buffer(t *Tensor, port Port, rows int) Tensor {
	if len(t.Data) < rows*port.rowBytes() {
		*t = NewTensor(port.Type, port.Shape, 1<<bits.Len(uint(rows-1)))
	}
	return t.Slice(0, rows)
}

// safely turns a panic of a driver into an error: a model's fault must not end the process.
func safely(ctx context.Context, rt Runtime, rows int, in, out []Tensor) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the runtime panicked: %v", v)
		}
	}()
	return rt.Predict(ctx, rows, in, out)
}
