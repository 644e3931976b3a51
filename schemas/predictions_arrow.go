package schemas

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// arrowPredictions writes the fields of a JSON prediction as columns: what does not apply to a row is null.
// The carried headers are a column, too: a record has one set of its own, but many rows.
type arrowPredictions struct{ opt PredictionOptions }

// predictionFields are the columns that are built anew; label, confidence, scores, model, model_version and
// the carried columns are the batch's own, under the nulls of rows that were not answered.
var predictionFields = arrow.NewSchema([]arrow.Field{
	field("status", arrow.BinaryTypes.String), field("late", arrow.FixedWidthTypes.Boolean),
	field("reason", reasonType), field("gates", arrow.ListOf(gateType)), field("source", sourceType),
	field("ref", arrow.BinaryTypes.String), field("trace", traceType),
}, nil)

// Encode implements Encoder.
func (p arrowPredictions) Encode(rec arrow.Record) ([]Message, error) {
	a, err := answersOf(rec)
	if err != nil {
		return nil, fmt.Errorf("predictions: %w", err)
	}
	out, err := p.build(rec, &a)
	if err != nil {
		return nil, fmt.Errorf("predictions: %w", err)
	}
	defer out.Release()
	return new(streams).encodeSplit(out, func([]byte) []Header { return []Header{{ContentType, []byte(ArrowStream)}} })
}

func (p arrowPredictions) build(rec arrow.Record, a *answers) (arrow.Record, error) {
	b := array.NewRecordBuilder(Allocator, predictionFields)
	defer b.Release()
	n := int(rec.NumRows())
	for row := range n {
		p.appendRow(b, a, row)
	}
	base := b.NewRecord()
	defer base.Release()
	cols := []Named{{"query_id", a.queryID}}
	for i, f := range predictionFields.Fields() {
		cols = append(cols, Named{f.Name, base.Column(i)})
	}
	answered := func(row int) bool { return Status(a.status.Value(row)).answered() }
	for _, name := range [...]string{Label, Confidence, Scores, Model, ModelVersion} {
		if i := index(rec, name); i >= 0 {
			col := masked(rec.Column(i), answered)
			defer col.Release()
			cols = append(cols, Named{name[1:], col})
		}
	}
	for _, c := range []struct {
		as, prefix string
		names      []string
	}{{"columns", "", p.opt.Columns}, {"headers", HeaderPrefix, p.opt.Headers}} {
		carried, err := carry(rec, c.prefix, c.names)
		if err != nil {
			return nil, err
		}
		if carried != nil {
			defer carried.Release()
			cols = append(cols, Named{c.as, carried})
		}
	}
	empty := array.NewRecord(arrow.NewSchema(nil, nil), nil, int64(n))
	defer empty.Release()
	return With(empty, cols...), nil
}

// carry is the struct of the columns that have these names behind the prefix, nil without any.
func carry(rec arrow.Record, prefix string, names []string) (arrow.Array, error) {
	var children []arrow.Array
	var present []string
	for _, name := range names {
		if i := index(rec, prefix+name); i >= 0 {
			children, present = append(children, rec.Column(i)), append(present, name)
		}
	}
	if len(children) == 0 {
		return nil, nil
	}
	return array.NewStructArray(children, present)
}

func (p arrowPredictions) appendRow(b *array.RecordBuilder, a *answers, row int) {
	at := func(i int) nested { return nested{b.Field(i)} }
	status := Status(a.status.Value(row))
	at(0).str(status.String())
	at(1).bool(a.late != nil && a.late.IsValid(row) && a.late.Value(row))
	if _, ok := text(a.code, row); ok {
		reason := at(2).open()
		reason.at(0).text(a.code, row)
		reason.at(1).text(a.column, row)
		reason.at(2).text(a.message, row)
	} else {
		at(2).AppendNull()
	}
	at(3).gates(a.gates, row)
	at(4).source(p.opt.Topic, a, row)
	at(5).str(string(appendRef(nil, a, row)))
	if status == Rejected {
		at(6).AppendNull()
		return
	}
	at(6).open().trace(a, row)
}

// trace appends the fields of an open trace.
func (n nested) trace(a *answers, row int) {
	if a.stamp == nil || a.stamp.IsNull(row) {
		n.at(0).AppendNull()
	} else {
		n.at(0).Builder.(*array.TimestampBuilder).Append(a.stamp.Value(row))
	}
	n.at(1).millis(a.total, row)
	stages := n.at(2).open()
	for i := range a.ran {
		r := &a.ran[i]
		if r.model == nil || r.model.IsNull(row) {
			continue
		}
		item := stages.items().open()
		item.at(0).str(r.name)
		item.at(1).millis(r.wait, row)
		item.at(2).millis(r.run, row)
		if r.batch == nil || r.batch.IsNull(row) {
			item.at(3).AppendNull()
		} else {
			item.at(3).int32(r.batch.Value(row))
		}
	}
}

// masked is a with null in all rows that keep refuses; the values are shared.
func masked(a arrow.Array, keep func(row int) bool) arrow.Array {
	if a.DataType().ID() == arrow.NULL {
		a.Retain()
		return a
	}
	data := a.Data()
	valid := zeroBuffer(int(bitutil.BytesForBits(int64(data.Offset() + a.Len()))))
	nulls := 0
	for row := range a.Len() {
		if a.IsNull(row) || !keep(row) {
			nulls++
			continue
		}
		bitutil.SetBit(valid.Bytes(), data.Offset()+row)
	}
	defer valid.Release()
	buffers := append([]*memory.Buffer{valid}, data.Buffers()[1:]...)
	out := array.NewData(a.DataType(), a.Len(), buffers, data.Children(), nulls, data.Offset())
	defer out.Release()
	return array.MakeFromData(out)
}
