package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/schemas"
)

// A Segment runs stages over the rows of one topic and routes each to predictions or to the next segment.
// Its fields are set once, before Open.
type Segment struct {
	Name    string
	Stages  []NamedStage
	Outputs Outputs
	// Objective is the time from a row's stamp after which its answer is marked late.
	Objective time.Duration
	// KeepEnded and KeepNext say which user columns still travel with rows that end here and with rows
	// that go on to the next segment. nil keeps all. Weir's own columns always travel.
	KeepEnded, KeepNext func(column string) bool
	// InOrder writes the predictions of each key of a partition in the order of its queries. The segment is then
	// the only one: it has no Next, and Predictions opens an OrderedWriter.
	InOrder bool
	// Now is the clock, time.Now by default.
	Now    func() time.Time
	Events Events
}

// Open opens the segment's outputs for a partition and gives its Owner. It fits Source.Run.
func (s *Segment) Open(ctx context.Context, p Partition) (Owner, error) {
	from, err := decodeMark(p.Mark)
	if err != nil {
		// Metadata of another program is no reason to stop: without a mark the writers look further back.
		from = positions{}
	}
	if from[next] == nil && from[predictions] != nil {
		from[next] = Position{Unwritten} // the pipeline was not cut here
	}
	if end := p.End; end != nil {
		// Asked once: the marks go by what the sinks went by.
		asked := sync.OnceValues(func() (int64, error) { return end(ctx) })
		p.End = func(context.Context) (int64, error) { return asked() }
	}
	o := &owner{segment: s, now: s.Now}
	if o.now == nil {
		o.now = time.Now
	}
	sinks := [outputCount]Sink{s.Outputs.Predictions, s.Outputs.Next, s.Outputs.Dead, s.Outputs.Decisions}
	for i, sink := range sinks {
		if sink == nil {
			continue
		}
		w, err := sink.Open(ctx, p, from[i])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("pipeline: open %s of segment %s, %s/%d: %w", outputNames[i], s.Name, p.Topic, p.ID, err), o.Close())
		}
		o.outputs[i] = w
		if from[i] = from[i].within(w.Position()); slices.Equal(from[i], Position{Unwritten}) {
			from[i] = w.Position()
		}
	}
	if s.InOrder {
		if err := o.keepOrder(); err != nil {
			return nil, errors.Join(err, o.Close())
		}
	}
	if p.End != nil {
		// Only now: until they were fenced off, earlier owners could read on and write.
		end, err := p.End(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("pipeline: open segment %s, %s/%d: %w", s.Name, p.Topic, p.ID, err), o.Close())
		}
		o.marks.inherit(end, from)
	}
	return o, nil
}

// keepOrder makes the owner's line.
func (o *owner) keepOrder() error {
	_, ordered := o.outputs[predictions].(OrderedWriter)
	switch {
	case o.outputs[next] != nil:
		return Permanent(fmt.Errorf("pipeline: segment %s keeps order and cannot pass rows on: the answers that stay would overtake them", o.segment.Name))
	case !ordered:
		return Permanent(fmt.Errorf("pipeline: segment %s keeps order, which its predictions' writer cannot", o.segment.Name))
	}
	o.line = newLine()
	return nil
}

// Check runs a batch of zero rows through the stages, so that a missing or mistyped column is found at
// the start. It borrows in and returns what the next segment will see.
func (s *Segment) Check(ctx context.Context, in arrow.Record) (arrow.Record, error) {
	in.Retain()
	for _, st := range s.Stages {
		out, err := st.Stage.Process(ctx, in)
		in.Release()
		if err != nil {
			return nil, fmt.Errorf("%s: stage %s: %w", st.Pos, st.Name, err)
		}
		in = out
	}
	return in, nil
}

const (
	predictions = iota
	next
	dead
	decisions
)

var outputNames = [outputCount]string{"predictions", "next", "dead", "decisions"}

// owner is one partition of a segment while it is owned.
type owner struct {
	segment *Segment
	now     func() time.Time
	outputs [outputCount]Writer // nil where the segment has no such output
	marks   marks
	line    *line // nil where order does not matter
}

// Mark implements Owner.
func (o *owner) Mark(next int64) []byte {
	return o.marks.before(next, o.positions()).encode()
}

func (o *owner) positions() positions {
	var p positions
	for i, w := range o.outputs {
		if w != nil {
			p[i] = w.Position()
		}
	}
	return p
}

// Close implements Owner.
func (o *owner) Close() error {
	var errs []error
	for _, w := range o.outputs {
		if w != nil {
			errs = append(errs, w.Close())
		}
	}
	return errors.Join(errs...)
}

// finished says whether an earlier owner stored the row in a routing output, and whether the decision that
// belongs to its prediction is there too.
func (o *owner) finished(offset int64, row int32) (routed, decided bool) {
	has := func(output int) bool {
		return o.outputs[output] != nil && o.outputs[output].Done().Has(offset, row)
	}
	if has(next) {
		return true, true // its decision is the next segment's
	}
	if !has(predictions) {
		return false, false
	}
	epoch := o.outputs[predictions].Done().Epoch(offset, row)
	if o.outputs[decisions] == nil || epoch == OtherSegment {
		return true, true
	}
	decided = has(decisions) && o.outputs[decisions].Done().Epoch(offset, row) == epoch
	if !decided && epoch == OtherVersion {
		// A decision made up for now would tell of an answer that nobody got.
		o.segment.Events.dropped(o.segment.Name, outputNames[decisions], 1)
		return true, true
	}
	return true, decided
}

// split gives the rows that are new here, and those whose prediction is stored but whose decision was
// lost: they run again, for the decision alone. Rows that are stored whole are in neither. redo is nil where
// there are none: a batch without rows still costs its columns.
func (o *owner) split(b arrow.Record) (fresh, redo arrow.Record, err error) {
	offsets, rows, err := identity(b)
	if err != nil {
		return nil, nil, err
	}
	var redoRows []int
	freshRows := make([]int, 0, len(offsets))
	for i := range offsets {
		switch routed, decided := o.finished(offsets[i], rows[i]); {
		case !routed:
			freshRows = append(freshRows, i)
		case !decided:
			redoRows = append(redoRows, i)
		}
	}
	if len(freshRows) == len(offsets) {
		b.Retain()
		return b, nil, nil
	}
	if len(redoRows) > 0 {
		redo = schemas.Take(b, redoRows)
	}
	return schemas.Take(b, freshRows), redo, nil
}
