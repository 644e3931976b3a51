package inference

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/gpu"
	"weir/schemas"
)

var tensorTypes = map[arrow.Type]gpu.Type{
	arrow.INT8: gpu.Int8, arrow.INT16: gpu.Int16, arrow.INT32: gpu.Int32, arrow.INT64: gpu.Int64,
	arrow.UINT8: gpu.Uint8, arrow.UINT16: gpu.Uint16, arrow.UINT32: gpu.Uint32, arrow.UINT64: gpu.Uint64,
	arrow.FLOAT32: gpu.Float32, arrow.FLOAT64: gpu.Float64,
}

var arrowTypes = map[gpu.Type]arrow.DataType{
	gpu.Int8: arrow.PrimitiveTypes.Int8, gpu.Int16: arrow.PrimitiveTypes.Int16,
	gpu.Int32: arrow.PrimitiveTypes.Int32, gpu.Int64: arrow.PrimitiveTypes.Int64,
	gpu.Uint8: arrow.PrimitiveTypes.Uint8, gpu.Uint16: arrow.PrimitiveTypes.Uint16,
	gpu.Uint32: arrow.PrimitiveTypes.Uint32, gpu.Uint64: arrow.PrimitiveTypes.Uint64,
	gpu.Float32: arrow.PrimitiveTypes.Float32, gpu.Float64: arrow.PrimitiveTypes.Float64,
}

// tensor is a view of a column as a model input: rows of numbers that Arrow holds side by side. The
// batcher widens them to the model's type with the one copy that it makes anyway.
func tensor(in arrow.Record, p port) (gpu.Tensor, error) {
	column, err := schemas.Column[arrow.Array](in, p.column)
	if err != nil {
		return gpu.Tensor{}, fmt.Errorf("input %s: %w", p.Name, err)
	}
	values, perRow := column, 1
	first, rows := values.Data().Offset(), values.Len()
	if list, ok := values.(*array.FixedSizeList); ok {
		perRow = int(list.DataType().(*arrow.FixedSizeListType).Len())
		first *= perRow
		values = list.ListValues()
		first += values.Data().Offset()
	}
	typ, ok := tensorTypes[values.DataType().ID()]
	if !ok || !gpu.Widens(typ, p.Type) {
		return gpu.Tensor{}, fmt.Errorf("input %s takes %s, which column %q of %s does not widen to without loss; cast it first",
			p.Name, p.Type, p.column, typeName(column, values))
	}
	if want := elements(p.Shape); perRow != want {
		return gpu.Tensor{}, fmt.Errorf("input %s takes %d numbers a row (shape %v), column %q has %d", p.Name, want, p.Shape, p.column, perRow)
	}
	if err := noNulls(column, p.column); err != nil {
		return gpu.Tensor{}, err
	}
	size := typ.Size()
	var data []byte
	if rows > 0 {
		data = values.Data().Buffers()[1].Bytes()[first*size : (first+rows*perRow)*size]
	}
	return gpu.Tensor{Type: typ, Shape: p.Shape, Data: data}, nil
}

// typeName is a column's type as a spec would name it.
func typeName(column, values arrow.Array) string {
	if list, ok := column.DataType().(*arrow.FixedSizeListType); ok {
		return fmt.Sprintf("fixed_list<%s>[%d]", values.DataType(), list.Len())
	}
	return column.DataType().String()
}

// noNulls fails on a null, since models know none. Deliver halves the batch until the row fails alone.
func noNulls(column arrow.Array, name string) error {
	if column.NullN() > 0 {
		return fmt.Errorf("column %q is null, which no model takes; fill or forbid it in the schema", name)
	}
	return nil
}

// elements is how many numbers a row of that shape has.
func elements(shape []int64) int {
	n := 1
	for _, d := range shape {
		n *= int(d)
	}
	return n
}
