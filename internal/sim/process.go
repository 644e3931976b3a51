package sim

import (
	"context"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/pipeline"
	"weir/schemas"
)

// process runs one segment, from its group's committed place, until it dies or has nothing left to do.
type process struct {
	world     *World
	log       *Log
	faults    Faults
	segment   string
	group     string
	in        string
	outs      []string // predictions, next ("" for the last segment), decisions
	threshold int64

	generation int
	epoch      int32
	taken      bool

	mu     sync.Mutex
	frozen chan struct{} // closed when it wakes
}

// takeOver fences the predecessors: an epoch, a marker in every output, and a second epoch to write with.
func (p *process) takeOver(ctx context.Context) error {
	if p.taken {
		return nil
	}
	first, err := p.log.raise(p.group, 0)
	if err != nil {
		return err
	}
	for _, topic := range p.outs {
		if err := p.step(ctx); err != nil {
			return err
		}
		if topic != "" && !p.faults.NoMarkers {
			if err := p.log.append(topic, p.group, record{epoch: first, marker: true}); err != nil {
				return err
			}
		}
	}
	if p.faults.TrustSelf {
		first = 0
	}
	// A process is frozen anywhere, and here it matters: it has an epoch and is about to ask for another.
	if p.world.intn(3) == 0 {
		pause(time.Duration(p.world.intn(150)) * time.Millisecond)
	}
	if err := p.step(ctx); err != nil {
		return err
	}
	p.epoch, err = p.log.raise(p.group, first)
	p.taken = err == nil
	return err
}

// step is a moment at which a process may be frozen or dead.
func (p *process) step(ctx context.Context) error {
	pause(p.world.delay())
	p.mu.Lock()
	frozen := p.frozen
	p.mu.Unlock()
	if frozen != nil {
		<-frozen // a frozen process does not even notice that it is to die
	}
	return ctx.Err()
}

func (p *process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = make(chan struct{})
}

func (p *process) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
	p.frozen = nil
}

// run opens the segment and delivers until ctx ends, a write is refused, or the input ends.
func (p *process) run(ctx context.Context) {
	generation, offset, mark := p.log.join(p.group)
	p.generation = generation
	owner, err := p.open().Open(ctx, pipeline.Partition{Topic: p.in, Begin: offset, Mark: mark,
		End: func(context.Context) (int64, error) { return p.log.end(p.in), nil }})
	if err != nil {
		return
	}
	defer owner.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &flights{prefix: offset}
	var deliveries, commits sync.WaitGroup
	commits.Go(func() { p.commitLoop(ctx, owner, f, cancel) })
	after := int64(0)
	for next := offset; ctx.Err() == nil; {
		if p.world.done(p) {
			break
		}
		rows, to := p.take(next)
		if to == next {
			pause(time.Millisecond)
			continue
		}
		next = to
		if rows == nil {
			f.begin(to)
			f.finish(to)
			continue
		}
		f.begin(to)
		d := pipeline.Delivery{Rows: rows, Next: to, After: after, Routed: func() {}}
		after = to
		deliveries.Go(func() {
			defer rows.Release()
			err := owner.Deliver(ctx, d)
			if err != nil {
				cancel() // fenced off, or dead
				return
			}
			f.finish(to)
		})
		if err := p.step(ctx); err != nil {
			break
		}
	}
	deliveries.Wait()
	cancel()
	commits.Wait()
}

func (p *process) open() *pipeline.Segment {
	s := &pipeline.Segment{Name: p.segment, Objective: time.Second, Outputs: pipeline.Outputs{
		Predictions: &sink{p, p.outs[0]}, Decisions: &sink{p, p.outs[2]}}}
	if p.segment == "light" {
		s.Stages = []pipeline.NamedStage{{Name: "gate", Stage: gate(p.threshold)}}
	}
	if p.outs[1] != "" {
		s.Outputs.Next = &sink{p, p.outs[1]}
	}
	if p.world.InOrder {
		s.InOrder = !p.faults.NoOrder
		s.Stages = append(s.Stages, pipeline.NamedStage{Name: "slow", Stage: slow{p.world}})
	}
	return s
}

// slow takes its time and answers nothing.
type slow struct{ world *World }

// Process implements pipeline.Stage.
func (s slow) Process(_ context.Context, in arrow.Record) (arrow.Record, error) {
	if in.NumRows() > 0 {
		pause(s.world.delay())
	}
	in.Retain()
	return in, nil
}

// gate answers what is below the threshold.
type gate int64

// Process implements pipeline.Stage.
func (g gate) Process(_ context.Context, in arrow.Record) (arrow.Record, error) {
	var ends []schemas.Ending
	for i, x := range column[*array.Int64](in, "x").Int64Values() {
		if x < int64(g) {
			ends = append(ends, schemas.Ending{Row: i, Status: schemas.Answered})
		}
	}
	return schemas.End(in, ends), nil
}

// take is what waits from an offset on, up to a random number of records. Markers are no rows.
func (p *process) take(from int64) (arrow.Record, int64) {
	records := p.log.read(p.in, from)
	if len(records) == 0 {
		return nil, from
	}
	records = records[:1+p.world.intn(min(len(records), 8))]
	var rows []Row
	for _, r := range records {
		rows = append(rows, r.rows...)
	}
	to := from + int64(len(records))
	if len(rows) == 0 {
		return nil, to
	}
	return batch(rows), to
}

// commitLoop commits what is finished until ctx ends; a process that ends in order commits once more. One that
// learns that its generation has passed ends.
func (p *process) commitLoop(ctx context.Context, owner pipeline.Owner, f *flights, leave func()) {
	for ctx.Err() == nil {
		pause(time.Duration(1+p.world.intn(10)) * time.Millisecond)
		next := f.finished()
		if p.faults.CommitEarly {
			next = f.begun()
		}
		mark := owner.Mark(next)
		if p.step(ctx) == nil && !p.log.commit(p.group, p.generation, next, mark) {
			leave()
		}
	}
}

// flights finds the longest finished prefix.
type flights struct {
	mu     sync.Mutex
	open   []flight
	prefix int64
	last   int64
}

type flight struct {
	next int64
	done bool
}

func (f *flights) begin(next int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open, f.last = append(f.open, flight{next: next}), next
}

func (f *flights) finish(next int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.open {
		if f.open[i].next == next {
			f.open[i].done = true
		}
	}
	for len(f.open) > 0 && f.open[0].done {
		f.prefix, f.open = f.open[0].next, f.open[1:]
	}
}

func (f *flights) finished() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.prefix
}

func (f *flights) begun() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(f.last, f.prefix)
}

var rowSchema = arrow.NewSchema([]arrow.Field{
	{Name: "x", Type: arrow.PrimitiveTypes.Int64},
	{Name: schemas.Offset, Type: arrow.PrimitiveTypes.Int64},
	{Name: schemas.Row, Type: arrow.PrimitiveTypes.Int32},
	{Name: schemas.Key, Type: arrow.BinaryTypes.Binary},
	{Name: schemas.Stamp, Type: arrow.FixedWidthTypes.Timestamp_us},
	{Name: schemas.StatusColumn, Type: arrow.PrimitiveTypes.Uint8},
}, nil)

func batch(rows []Row) arrow.Record {
	b := array.NewRecordBuilder(schemas.Allocator, rowSchema)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.Int64Builder).Append(r.X)
		b.Field(1).(*array.Int64Builder).Append(r.Offset)
		b.Field(2).(*array.Int32Builder).Append(0)
		b.Field(3).(*array.BinaryBuilder).Append([]byte{byte(r.key())})
		b.Field(4).(*array.TimestampBuilder).Append(0)
		b.Field(5).(*array.Uint8Builder).Append(0)
	}
	return b.NewRecord()
}
