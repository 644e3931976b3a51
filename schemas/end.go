package schemas

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// An Ending gives a row its final status. Code, Column and Message are its reason; Code is empty where
// there is nothing to say.
type Ending struct {
	Row                   int
	Status                Status
	Code, Column, Message string
}

// PastDeadline ends a row whose hard deadline has passed: degraded where a model has answered it already,
// else expired.
func PastDeadline(rec arrow.Record, row int) Ending {
	e := Ending{Row: row, Status: Expired, Code: DeadlineReason, Message: "the hard deadline passed before a model answered"}
	if model, err := Column[*array.String](rec, Model); err == nil && model.IsValid(row) {
		e.Status, e.Message = Degraded, "the hard deadline passed; this is the last model's answer"
	}
	return e
}

// End gives rows their final status. ends is sorted by row. It borrows rec and returns an owned record.
func End(rec arrow.Record, ends []Ending) arrow.Record {
	if len(ends) == 0 {
		rec.Retain()
		return rec
	}
	status := endStatus(rec, ends)
	defer status.Release()
	columns := []Named{{StatusColumn, status}}
	if explained(ends) {
		for _, r := range []struct {
			name string
			text func(Ending) string
		}{
			{ReasonCode, func(e Ending) string { return e.Code }},
			{ReasonColumn, func(e Ending) string { return e.Column }},
			{ReasonMessage, func(e Ending) string { return e.Message }},
		} {
			column := endText(rec, r.name, ends, r.text)
			defer column.Release()
			columns = append(columns, Named{r.name, column})
		}
	}
	return With(rec, columns...)
}

// EndAll gives every row the same status and no reason. It borrows rec and returns an owned record.
func EndAll(rec arrow.Record, status Status) arrow.Record {
	b := array.NewUint8Builder(Allocator)
	defer b.Release()
	b.Reserve(int(rec.NumRows()))
	for range rec.NumRows() {
		b.UnsafeAppend(uint8(status))
	}
	column := b.NewArray()
	defer column.Release()
	return With(rec, Named{StatusColumn, column})
}

func explained(ends []Ending) bool {
	for _, e := range ends {
		if e.Code != "" {
			return true
		}
	}
	return false
}

func endStatus(rec arrow.Record, ends []Ending) arrow.Array {
	b := array.NewUint8Builder(Allocator)
	defer b.Release()
	old, err := Column[*array.Uint8](rec, StatusColumn)
	if err == nil {
		b.AppendValues(old.Uint8Values(), nil)
	} else {
		b.AppendValues(make([]uint8, rec.NumRows()), nil)
	}
	column := b.NewUint8Array()
	for _, e := range ends { // the array is ours alone until it is returned
		column.Uint8Values()[e.Row] = uint8(e.Status)
	}
	return column
}

func endText(rec arrow.Record, name string, ends []Ending, text func(Ending) string) arrow.Array {
	b := array.NewStringBuilder(Allocator)
	defer b.Release()
	old, err := Column[*array.String](rec, name)
	for row := range int(rec.NumRows()) {
		switch {
		case len(ends) > 0 && ends[0].Row == row:
			if t := text(ends[0]); t != "" {
				b.Append(t)
			} else {
				b.AppendNull()
			}
			ends = ends[1:]
		case err == nil && old.IsValid(row):
			b.Append(old.Value(row))
		default:
			b.AppendNull()
		}
	}
	return b.NewArray()
}
