package schemas

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// DecisionOptions say how decisions look.
type DecisionOptions struct {
	// Topic of the queries, for a decision's source.
	Topic string
	// Schema is the pipeline's: its single values are kept by value, its tensors lie at the source.
	Schema Schema
}

// decisions encodes what was decided for each query, for learning and replay. Its schema depends on the
// options alone, whatever columns a batch has, so that all records of the topic concatenate. A label is
// text even where the model has no names for its indexes.
type decisions struct {
	opt     DecisionOptions
	schema  *arrow.Schema
	tensors []string
	small   []Field
}

// Places of the fields in a decision.
const (
	decisionQueryID = iota
	decisionSource
	decisionStamp
	decisionStatus
	decisionLate
	decisionEpoch
	decisionTensors
	decisionSelected
	decisionShown
	decisionRan
	decisionGates
	decisionAudit
	decisionFeatures // last, and absent where the schema has tensors only
)

// NewDecisions returns the encoder of the decisions topic: an Arrow stream a batch.
func NewDecisions(opt DecisionOptions) Encoder {
	d := &decisions{opt: opt}
	text, flag := arrow.BinaryTypes.String, arrow.FixedWidthTypes.Boolean
	fields := []arrow.Field{
		decisionQueryID:  field("query_id", text),
		decisionSource:   field("source", sourceType),
		decisionStamp:    field("stamp", arrow.FixedWidthTypes.Timestamp_us),
		decisionStatus:   field("status", text),
		decisionLate:     field("late", flag),
		decisionEpoch:    field("epoch", arrow.PrimitiveTypes.Int32),
		decisionTensors:  field("tensors", arrow.ListOf(text)),
		decisionSelected: field("selected", text),
		decisionShown:    field("shown", text),
		decisionRan:      field("ran", arrow.ListOf(ranType)),
		decisionGates:    field("gates", arrow.ListOf(gateType)),
		decisionAudit:    field("audit", flag),
	}
	var features []arrow.Field
	for _, f := range opt.Schema.Fields {
		if f.Type.Tensor() {
			d.tensors = append(d.tensors, f.Name)
			continue
		}
		d.small = append(d.small, f)
		features = append(features, field(f.Name, f.Type.Arrow()))
	}
	if len(features) > 0 {
		fields = append(fields, field("features", arrow.StructOf(features...)))
	}
	d.schema = arrow.NewSchema(fields, nil)
	return d
}

// Encode implements Encoder.
func (d *decisions) Encode(rec arrow.Record) ([]Message, error) {
	a, err := answersOf(rec)
	if err != nil {
		return nil, fmt.Errorf("decisions: %w", err)
	}
	out, err := d.build(rec, &a)
	if err != nil {
		return nil, fmt.Errorf("decisions: %w", err)
	}
	defer out.Release()
	return encodeSplit(out, func([]byte) []Header { return []Header{{ContentType, []byte(ArrowStream)}} })
}

func (d *decisions) build(rec arrow.Record, a *answers) (arrow.Record, error) {
	b := array.NewRecordBuilder(Allocator, arrow.NewSchema(d.schema.Fields()[:decisionFeatures], nil))
	defer b.Release()
	n := int(rec.NumRows())
	b.Reserve(n)
	for row := range n {
		d.appendRow(b, a, row)
	}
	base := b.NewRecord()
	if len(d.small) == 0 {
		return base, nil
	}
	defer base.Release()
	features, err := d.features(rec)
	if err != nil {
		return nil, err
	}
	defer features.Release()
	return With(base, Named{"features", features}), nil
}

func (d *decisions) appendRow(b *array.RecordBuilder, a *answers, row int) {
	at := func(i int) nested { return nested{b.Field(i)} }
	at(decisionQueryID).str(a.queryID.Value(row))
	at(decisionSource).source(d.opt.Topic, a, row)
	if a.stamp == nil || a.stamp.IsNull(row) {
		b.Field(decisionStamp).AppendNull()
	} else {
		b.Field(decisionStamp).(*array.TimestampBuilder).Append(a.stamp.Value(row))
	}
	at(decisionStatus).str(Status(a.status.Value(row)).String())
	at(decisionLate).bool(a.late != nil && a.late.IsValid(row) && a.late.Value(row))
	at(decisionEpoch).int32(a.epochOf(row))
	names := at(decisionTensors).open().items()
	for _, t := range d.tensors {
		names.str(t)
	}
	at(decisionSelected).text(a.model, row)
	at(decisionShown).text(a.model, row)
	d.appendRan(at(decisionRan), a, row)
	at(decisionGates).gates(a.gates, row)
	at(decisionAudit).bool(false)
}

func (d *decisions) appendRan(list nested, a *answers, row int) {
	list.open()
	for i := range a.ran {
		r := &a.ran[i]
		if r.model == nil || r.model.IsNull(row) {
			continue
		}
		item := list.items().open()
		item.at(0).text(r.model, row)
		item.at(1).text(r.version, row)
		item.at(2).double(1)
		item.at(3).label(r.label, row)
		item.at(4).scores(r.scores.row(row))
	}
}

// features is the struct of the single values; its arrays are the batch's own.
func (d *decisions) features(rec arrow.Record) (arrow.Array, error) {
	n := int(rec.NumRows())
	children := make([]arrow.Array, 0, len(d.small))
	defer func() {
		for _, c := range children {
			c.Release()
		}
	}()
	names := make([]string, 0, len(d.small))
	for _, f := range d.small {
		names = append(names, f.Name)
		i := index(rec, f.Name)
		if i < 0 { // a column that no later segment needs was left behind at a cut
			children = append(children, Nulls(f.Type.Arrow(), n))
			continue
		}
		col := rec.Column(i)
		if !arrow.TypeEqual(col.DataType(), f.Type.Arrow()) { // a stage replaced it
			children = append(children, Nulls(f.Type.Arrow(), n))
			continue
		}
		col.Retain()
		children = append(children, col)
	}
	return array.NewStructArray(children, names)
}
