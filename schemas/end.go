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
	column := Numbers(int(rec.NumRows()), func(int) uint8 { return uint8(status) })
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
	old, err := Column[*array.Uint8](rec, StatusColumn)
	return Numbers(int(rec.NumRows()), func(row int) uint8 {
		switch {
		case len(ends) > 0 && ends[0].Row == row:
			status := ends[0].Status
			ends = ends[1:]
			return uint8(status)
		case err == nil:
			return old.Value(row)
		}
		return uint8(Open)
	})
}

func endText(rec arrow.Record, name string, ends []Ending, text func(Ending) string) arrow.Array {
	old, err := Column[*array.String](rec, name)
	return Texts(int(rec.NumRows()), func(row int) (string, bool) {
		switch {
		case len(ends) > 0 && ends[0].Row == row:
			t := text(ends[0])
			ends = ends[1:]
			return t, t != ""
		case err == nil && old.IsValid(row):
			return old.Value(row), true
		}
		return "", false
	})
}
