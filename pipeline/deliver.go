package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"golang.org/x/sync/errgroup"

	"weir/schemas"
)

// delivery is one batch on its way through a segment.
type delivery struct {
	*owner
	ctx       context.Context
	routes    *errgroup.Group // writes to predictions, next and dead
	decisions *errgroup.Group // writes to decisions, which may linger
	redo      bool            // predictions are stored already: only decisions are written
	places    []place         // of its rows in the owner's line; nil without one
}

// Deliver implements Owner. It writes answered rows while later stages still run: waiting for the end
// would be one write fewer, but an easy query would wait for a hard one. In order, it waits for those of its
// own key.
func (o *owner) Deliver(ctx context.Context, in Delivery) (err error) {
	routed := sync.OnceFunc(in.Routed)
	defer routed()
	if o.line != nil {
		defer func() {
			if err != nil {
				o.line.fail(err)
			}
		}()
	}
	fresh, redo, err := o.split(in.Rows)
	if err != nil {
		return Permanent(err)
	}
	defer fresh.Release()
	if redo != nil {
		defer redo.Release()
	}
	o.marks.begin(in.Next, o.positions())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &delivery{owner: o, ctx: ctx, routes: &errgroup.Group{}, decisions: &errgroup.Group{}}
	again := *d
	again.redo = true
	if o.line != nil {
		if d.places, err = o.line.enter(ctx, in.After, in.Next, fresh); err != nil {
			return err
		}
	}
	err = d.run(fresh)
	if err == nil && redo != nil {
		err = again.run(redo)
	}
	if err != nil {
		cancel() // what is still being written will be written again
	}
	if e := d.routes.Wait(); err == nil {
		err = e
	}
	routed()
	if e := d.decisions.Wait(); err == nil {
		err = e
	}
	return err
}

// run takes the rows of b through every stage. Rows that end leave at once; it returns when the last one
// has left, not when it is durable.
func (d *delivery) run(b arrow.Record) error {
	b.Retain()
	stages := d.segment.Stages
	rest, err := d.part(b, false) // rows that the decoder rejected: no stage sees them
	for i := 0; err == nil && rest.NumRows() > 0 && i < len(stages); i++ {
		if rest, err = d.part(d.expire(rest), false); err != nil || rest.NumRows() == 0 {
			break
		}
		var out arrow.Record
		out, err = d.apply(stages[i], rest)
		rest.Release()
		if err != nil {
			return err
		}
		rest, err = d.part(out, i == len(stages)-1)
	}
	if err != nil {
		return err
	}
	defer rest.Release()
	switch {
	case rest.NumRows() == 0:
		return nil
	case d.outputs[next] != nil:
		return d.goOn(rest)
	default:
		return d.leave(schemas.EndAll(rest, schemas.Answered), true)
	}
}

// part lets the final rows of b leave and returns the open ones; last says that no stage follows. It consumes b.
func (d *delivery) part(b arrow.Record, last bool) (arrow.Record, error) {
	status, err := schemas.Column[*array.Uint8](b, schemas.StatusColumn)
	if err != nil {
		b.Release()
		return nil, Permanent(err)
	}
	final, open := ended(status.Uint8Values())
	if len(final) == 0 {
		return b, nil
	}
	defer b.Release()
	narrow := keep(b, d.segment.KeepEnded) // first, so that the columns which end here are not copied
	defer narrow.Release()
	if err := d.leave(schemas.Take(narrow, final), last && len(open) == 0); err != nil {
		return nil, err
	}
	if len(open) == 0 {
		return schemas.Empty(noColumns), nil // a slice without rows would cost as much as one with them
	}
	return schemas.Take(b, open), nil
}

var noColumns = arrow.NewSchema(nil, nil)

// ended gives the rows that are final and those that are open. Where none is final, both are nil.
func ended(status []uint8) (final, open []int) {
	if !slices.ContainsFunc(status, func(s uint8) bool { return schemas.Status(s).Final() }) {
		return nil, nil
	}
	rows := make([]int, len(status))
	n := 0
	for i, s := range status {
		if schemas.Status(s).Final() {
			rows[n] = i
			n++
		}
	}
	open = rows[n:n]
	for i, s := range status {
		if !schemas.Status(s).Final() {
			open = append(open, i)
		}
	}
	return rows[:n:n], open
}

// expire ends the open rows whose hard deadline has passed: degraded where a model has answered already,
// expired otherwise. It consumes b.
func (d *delivery) expire(b arrow.Record) arrow.Record {
	deadline, err := schemas.Column[*array.Timestamp](b, schemas.Deadline)
	if err != nil || deadline.NullN() == deadline.Len() {
		return b
	}
	now := d.now().UnixMicro()
	var ends []schemas.Ending
	for i := range deadline.Len() {
		if deadline.IsValid(i) && int64(deadline.Value(i)) <= now {
			ends = append(ends, schemas.PastDeadline(b, i))
		}
	}
	if len(ends) == 0 {
		return b
	}
	defer b.Release()
	return schemas.End(b, ends)
}

// identity gives the offsets and rows of a batch.
func identity(b arrow.Record) ([]int64, []int32, error) {
	offsets, err := schemas.Column[*array.Int64](b, schemas.Offset)
	if err != nil {
		return nil, nil, fmt.Errorf("pipeline: not a batch of queries: %w", err)
	}
	rows, err := schemas.Column[*array.Int32](b, schemas.Row)
	if err != nil {
		return nil, nil, fmt.Errorf("pipeline: not a batch of queries: %w", err)
	}
	return offsets.Int64Values(), rows.Int32Values(), nil
}
