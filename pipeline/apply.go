package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/schemas"
)

var errIdentity = errors.New("the stage did not return the rows that it was given, in their order")

// apply runs a stage over b. When the stage fails, apply tries halves, down to single rows, and ends the
// rows that fail alone: one poison row costs 2·log₂(n) extra calls, a stage that fails always 2n.
// It borrows b and returns an owned record; its only errors are a Permanent one and the context's.
func (d *delivery) apply(st NamedStage, b arrow.Record) (arrow.Record, error) {
	start := d.now()
	out, err := call(d.ctx, st.Stage, b)
	d.segment.Events.stage(d.segment.Name, st.Name, int(b.NumRows()), d.now().Sub(start))
	switch {
	case err == nil:
		return out, nil
	case IsPermanent(err):
		return nil, fmt.Errorf("stage %s: %w", st.Name, err)
	case d.ctx.Err() != nil:
		return nil, d.ctx.Err()
	case b.NumRows() == 1:
		d.segment.Events.failed(d.segment.Name, st.Name, err)
		return schemas.End(b, []schemas.Ending{{
			Row: 0, Status: schemas.Failed, Code: schemas.StageFailed,
			Message: fmt.Sprintf("stage %s: %v", st.Name, err),
		}}), nil
	}
	return d.applyHalves(st, b)
}

func (d *delivery) applyHalves(st NamedStage, b arrow.Record) (arrow.Record, error) {
	half := b.NumRows() / 2
	var outs []arrow.Record
	defer func() {
		for _, r := range outs {
			r.Release()
		}
	}()
	for _, at := range [2][2]int64{{0, half}, {half, b.NumRows()}} {
		part := b.NewSlice(at[0], at[1])
		out, err := d.apply(st, part)
		part.Release()
		if err != nil {
			return nil, err
		}
		outs = append(outs, out)
	}
	return schemas.Concat(outs)
}

// call runs a stage once. A panic is a bug in the stage's code; it becomes an error that carries the place,
// because nothing may stop for one row. The first law is checked here, always: it costs a comparison a row.
func call(ctx context.Context, stage Stage, in arrow.Record) (out arrow.Record, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	out, err = stage.Process(ctx, in)
	if err != nil {
		return nil, err
	}
	if !sameRows(in, out) {
		out.Release()
		return nil, errIdentity
	}
	return out, nil
}

// PanicError is a panic in a stage. The stack is for logs; the rows' reason carries only the message.
type PanicError struct {
	Value any
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

func sameRows(a, b arrow.Record) bool {
	offsetsA, rowsA, errA := identity(a)
	offsetsB, rowsB, errB := identity(b)
	return errA == nil && errB == nil && slices.Equal(offsetsA, offsetsB) && slices.Equal(rowsA, rowsB)
}
