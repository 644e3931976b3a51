package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// leave starts the writes of rows that have ended and returns; Deliver waits for them. With last, no rows are
// left behind: then it writes the predictions itself, as nobody else needs the goroutine. It consumes ended.
func (d *delivery) leave(ended arrow.Record, last bool) error {
	defer ended.Release()
	narrow := keep(ended, d.segment.KeepEnded)
	if d.line != nil && !d.redo {
		return d.leaveInOrder(narrow, last)
	}
	defer narrow.Release()
	rows, err := d.close(narrow)
	if err != nil {
		return Permanent(err)
	}
	defer rows.Release()
	switch {
	case d.redo:
	case last:
		if err := d.writeEnded(rows); err != nil {
			d.routes.Go(func() error { return err })
		}
	default:
		rows.Retain()
		d.routes.Go(func() error {
			defer rows.Release()
			return d.writeEnded(rows)
		})
	}
	return nil
}

// close stamps rows that have ended and starts the write of their decisions. It borrows ended.
func (d *delivery) close(ended arrow.Record) (arrow.Record, error) {
	rows, err := d.stamp(ended)
	if err != nil {
		return nil, err
	}
	schemas.Settle(rows) // the outputs read it side by side
	if d.outputs[decisions] != nil {
		few := schemas.ForDecisions(rows)
		d.decisions.Go(func() error {
			defer few.Release()
			return d.writeShrinking(decisions, few)
		})
	}
	return rows, nil
}

// writeEnded stores dead letters first: a row in dead but not in predictions gets its prediction later and
// no second dead letter; the other way round its bytes would be lost.
func (d *delivery) writeEnded(rows arrow.Record) error {
	if w := d.outputs[dead]; w != nil {
		if letters := withRaw(rows, w.Done()); letters != nil {
			defer letters.Release()
			if err := d.writeShrinking(dead, letters); err != nil {
				return err
			}
		}
	}
	if err := d.writePredictions(rows); err != nil {
		return err
	}
	d.report(rows)
	return nil
}

func (d *delivery) writePredictions(rows arrow.Record) error {
	if d.line != nil {
		return d.writeInOrder(rows)
	}
	return d.writeShrinking(predictions, rows)
}

// goOn starts the write of open rows to the next segment. Rows that are too large for its topic end here.
// It borrows open.
func (d *delivery) goOn(open arrow.Record) error {
	if d.redo {
		// An earlier owner answered these rows; on the versions of this one they would go on. A decision made
		// up for them would tell of an answer that nobody got.
		d.segment.Events.dropped(d.segment.Name, outputNames[decisions], int(open.NumRows()))
		return nil
	}
	rows := keep(open, d.segment.KeepNext)
	d.routes.Go(func() error {
		defer rows.Release()
		large, err := d.write(next, rows)
		if err != nil || large == nil {
			return err
		}
		shrunk := tooLarge(schemas.Take(rows, large.Rows), large, next)
		defer shrunk.Release()
		ended, err := d.stamp(shrunk)
		if err != nil {
			return err
		}
		defer ended.Release()
		if d.outputs[decisions] != nil {
			if err := d.writeShrinking(decisions, ended); err != nil {
				return err
			}
		}
		return d.writeEnded(ended)
	})
	return nil
}

// write stores rows in an output and returns the rows that it can never take.
func (d *delivery) write(output int, rows arrow.Record) (*TooLargeError, error) {
	start := d.now()
	err := d.outputs[output].Write(d.ctx, rows)
	var large *TooLargeError
	stored := int(rows.NumRows())
	if errors.As(err, &large) {
		err, stored = nil, stored-len(large.Rows)
	}
	if err != nil {
		return nil, d.writeError(output, err)
	}
	d.segment.Events.written(d.segment.Name, outputNames[output], stored, d.now().Sub(start))
	return large, nil
}

func (d *delivery) writeError(output int, err error) error {
	return fmt.Errorf("pipeline: segment %s, %s: %w", d.segment.Name, outputNames[output], err)
}

// writeShrinking stores rows in an output. What is too large becomes smaller twice: first without all but
// identity and reason (dead letters: with the first bytes only), then also without the user's own key and
// most of their id, which is a few hundred bytes and fits any topic. Nothing may vanish for its size.
func (d *delivery) writeShrinking(output int, rows arrow.Record) error {
	large, err := d.write(output, rows)
	if err != nil || large == nil {
		return err
	}
	shrinks := []func(arrow.Record) arrow.Record{bare, anonymous}
	if output == dead {
		shrinks[0] = schemas.CutRaw
	}
	for _, shrink := range shrinks {
		taken := schemas.Take(rows, large.Rows)
		ended := tooLarge(shrink(taken), large, output)
		taken.Release()
		defer ended.Release()
		rows = ended
		if large, err = d.write(output, rows); err != nil || large == nil {
			return err
		}
	}
	if output == predictions {
		return Permanent(fmt.Errorf("pipeline: the predictions topic takes not even %d bare rows (%s); raise its max.message.bytes", len(large.Rows), large.Limit))
	}
	d.segment.Events.dropped(d.segment.Name, outputNames[output], len(large.Rows))
	return nil
}

// tooLarge ends rows as failed. A rejected row keeps its own reason, but in its dead letter, which says why
// its bytes are cut. It consumes rows.
func tooLarge(rows arrow.Record, large *TooLargeError, output int) arrow.Record {
	defer rows.Release()
	status, err := schemas.Column[*array.Uint8](rows, schemas.StatusColumn)
	var ends []schemas.Ending
	for i := range int(rows.NumRows()) {
		end := schemas.Ending{
			Row: i, Status: schemas.Failed, Code: schemas.TooLarge,
			Message: fmt.Sprintf("the record is larger than the %s topic takes: %s", outputNames[output], large.Limit),
		}
		if err == nil && schemas.Status(status.Value(i)) == schemas.Rejected {
			if output != dead {
				continue
			}
			end.Status = schemas.Rejected
		}
		ends = append(ends, end)
	}
	return schemas.End(rows, ends)
}

// bare keeps identity, times, key, status and reason.
func bare(rows arrow.Record) arrow.Record {
	return schemas.Select(rows, func(name string) bool {
		switch name {
		case schemas.Partition, schemas.Offset, schemas.Row, schemas.QueryID, schemas.Key, schemas.Stamp, schemas.Deadline,
			schemas.StatusColumn, schemas.ReasonCode, schemas.ReasonColumn, schemas.ReasonMessage, schemas.Late, schemas.Total, schemas.Raw:
			return true
		}
		return false
	})
}

// anonymous keeps what bare keeps, without key and raw bytes and with the beginning of the id; the source
// position still names the row.
func anonymous(rows arrow.Record) arrow.Record {
	few := schemas.Select(rows, func(name string) bool { return name != schemas.Key && name != schemas.Raw })
	defer few.Release()
	return schemas.CutQueryID(few)
}

func keep(rows arrow.Record, column func(string) bool) arrow.Record {
	if column == nil {
		rows.Retain()
		return rows
	}
	return schemas.Select(rows, func(name string) bool { return strings.HasPrefix(name, "_") || column(name) })
}

// stamp adds how long the rows took, whether that was too long, and the epoch of their predictions. A stamp in
// the future counts as now. It borrows rows.
func (d *delivery) stamp(rows arrow.Record) (arrow.Record, error) {
	stamps, err := schemas.Column[*array.Timestamp](rows, schemas.Stamp)
	if err != nil {
		return nil, err
	}
	deadlines, _ := schemas.Column[*array.Timestamp](rows, schemas.Deadline)
	now, objective := d.now().UnixMicro(), d.segment.Objective.Microseconds()
	took := func(i int) int64 { return max(now-int64(stamps.Value(i)), 0) }
	t := schemas.Numbers(stamps.Len(), took)
	l := schemas.Flags(stamps.Len(), func(i int) bool {
		return took(i) > objective || deadlines != nil && deadlines.IsValid(i) && now > int64(deadlines.Value(i))
	})
	defer l.Release()
	defer t.Release()
	e := d.epochs(rows)
	defer e.Release()
	return schemas.With(rows, schemas.Named{Name: schemas.Late, Array: l}, schemas.Named{Name: schemas.Total, Array: t},
		schemas.Named{Name: schemas.Epoch, Array: e}), nil
}

// epochs are those of the rows' predictions: that of this owner, or the one that an earlier owner wrote.
func (d *delivery) epochs(rows arrow.Record) arrow.Array {
	b := array.NewInt32Builder(schemas.Allocator)
	defer b.Release()
	w := d.outputs[predictions]
	offsets, row, err := identity(rows)
	for i := range int(rows.NumRows()) {
		if d.redo && err == nil {
			b.Append(w.Done().Epoch(offsets[i], row[i]))
		} else {
			b.Append(w.Epoch())
		}
	}
	return b.NewArray()
}

// report tells of every row that ended and is stored.
func (d *delivery) report(rows arrow.Record) {
	if d.segment.Events.Ended == nil {
		return
	}
	status, err1 := schemas.Column[*array.Uint8](rows, schemas.StatusColumn)
	late, err2 := schemas.Column[*array.Boolean](rows, schemas.Late)
	total, err3 := schemas.Column[*array.Int64](rows, schemas.Total)
	if errors.Join(err1, err2, err3) != nil {
		return
	}
	reason, _ := schemas.Column[*array.String](rows, schemas.ReasonCode)
	for i := range int(rows.NumRows()) {
		code := ""
		if reason != nil && reason.IsValid(i) {
			code = strings.Clone(reason.Value(i)) // a metric may keep it, Arrow's memory is used again
		}
		d.segment.Events.ended(d.segment.Name, schemas.Status(status.Value(i)), code,
			time.Duration(total.Value(i))*time.Microsecond, late.Value(i))
	}
}

// withRaw gives the rows whose original bytes belong in dead and are not there yet, nil if there are none.
func withRaw(rows arrow.Record, done RowSet) arrow.Record {
	raw, err := schemas.Column[*array.Binary](rows, schemas.Raw)
	if err != nil || raw.NullN() == raw.Len() {
		return nil
	}
	offsets, row, err := identity(rows)
	if err != nil {
		return nil
	}
	var letters []int
	for i := range raw.Len() {
		if raw.IsValid(i) && !done.Has(offsets[i], row[i]) {
			letters = append(letters, i)
		}
	}
	if len(letters) == 0 {
		return nil
	}
	return schemas.Take(rows, letters)
}
