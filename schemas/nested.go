package schemas

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// The nested types of predictions and decisions in Arrow.
var (
	sourceType = arrow.StructOf(
		field("topic", arrow.BinaryTypes.String), field("partition", arrow.PrimitiveTypes.Int32),
		field("offset", arrow.PrimitiveTypes.Int64), field("row", arrow.PrimitiveTypes.Int32))
	gateType = arrow.StructOf(
		field("name", arrow.BinaryTypes.String), field("score", arrow.PrimitiveTypes.Float32),
		field("at_least", arrow.PrimitiveTypes.Float32), field("version", arrow.BinaryTypes.String))
	ranType = arrow.StructOf(
		field("model", arrow.BinaryTypes.String), field("version", arrow.BinaryTypes.String),
		field("probability", arrow.PrimitiveTypes.Float64), field("label", arrow.BinaryTypes.String),
		field("scores", arrow.ListOf(arrow.PrimitiveTypes.Float32)))
	reasonType = arrow.StructOf(
		field("code", arrow.BinaryTypes.String), field("column", arrow.BinaryTypes.String),
		field("message", arrow.BinaryTypes.String))
	traceType = arrow.StructOf(
		field("stamp", arrow.FixedWidthTypes.Timestamp_us), field("total_ms", arrow.PrimitiveTypes.Float64),
		field("stages", arrow.ListOf(arrow.StructOf(
			field("name", arrow.BinaryTypes.String), field("wait_ms", arrow.PrimitiveTypes.Float64),
			field("run_ms", arrow.PrimitiveTypes.Float64), field("batch", arrow.PrimitiveTypes.Int32)))))
)

func field(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

// nested wraps Arrow's builder of a list, struct or plain value; a chain of as casts for readers' sake.
type nested struct{ array.Builder }

func (n nested) at(i int) nested { return nested{n.Builder.(*array.StructBuilder).FieldBuilder(i)} }
func (n nested) items() nested   { return nested{n.Builder.(*array.ListBuilder).ValueBuilder()} }
func (n nested) open() nested {
	switch b := n.Builder.(type) {
	case *array.StructBuilder:
		b.Append(true)
	case *array.ListBuilder:
		b.Append(true)
	}
	return n
}
func (n nested) str(v string)    { n.Builder.(*array.StringBuilder).Append(v) }
func (n nested) int32(v int32)   { n.Builder.(*array.Int32Builder).Append(v) }
func (n nested) int64(v int64)   { n.Builder.(*array.Int64Builder).Append(v) }
func (n nested) bool(v bool)     { n.Builder.(*array.BooleanBuilder).Append(v) }
func (n nested) float(v float32) { n.Builder.(*array.Float32Builder).Append(v) }
func (n nested) double(v float64) {
	n.Builder.(*array.Float64Builder).Append(v)
}

func (n nested) text(a *array.String, row int) {
	if v, ok := text(a, row); ok {
		n.str(v)
		return
	}
	n.AppendNull()
}

func (n nested) maybeFloat(a *array.Float32, row int) {
	if a == nil || a.IsNull(row) {
		n.AppendNull()
		return
	}
	n.float(a.Value(row))
}

func (n nested) millis(a *array.Int64, row int) {
	if a == nil || a.IsNull(row) {
		n.AppendNull()
		return
	}
	n.double(float64(a.Value(row)) / 1000)
}

func (n nested) source(topic string, a *answers, row int) {
	n.open()
	n.at(0).str(topic)
	n.at(1).int32(a.partition.Value(row))
	n.at(2).int64(a.offset.Value(row))
	n.at(3).int32(a.row.Value(row))
}

// gates appends the gates that a row was asked at.
func (n nested) gates(gates []gateColumns, row int) {
	n.open()
	for _, g := range gates {
		if g.score == nil || g.score.IsNull(row) {
			continue
		}
		item := n.items().open()
		item.at(0).str(g.name)
		item.at(1).float(g.score.Value(row))
		item.at(2).maybeFloat(g.atLeast, row)
		item.at(3).text(g.version, row)
	}
}
