package features

import (
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"weir/schemas"
)

// rebuild makes a column of the same rows, nulls and tensor length as c, with numbers of type t that fill
// writes. The caller owns the result.
func rebuild[T number](c column, t arrow.DataType, fill func(out []T)) arrow.Array {
	var zero T
	numbers := memory.NewResizableBuffer(schemas.Allocator)
	defer numbers.Release()
	numbers.Resize(c.len() * int(unsafe.Sizeof(zero)))
	fill(arrow.GetData[T](numbers.Bytes()))
	valid := validity(c.whole)
	if valid != nil {
		defer valid.Release()
	}
	if _, tensor := c.whole.(*array.FixedSizeList); !tensor {
		data := array.NewData(t, c.whole.Len(), []*memory.Buffer{valid, numbers}, nil, c.whole.NullN(), 0)
		defer data.Release()
		return array.MakeFromData(data)
	}
	values := array.NewData(t, c.len(), []*memory.Buffer{nil, numbers}, nil, 0, 0)
	defer values.Release()
	data := array.NewData(arrow.FixedSizeListOf(int32(c.perRow), t), c.whole.Len(), []*memory.Buffer{valid},
		[]arrow.ArrayData{values}, c.whole.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// validity is a's null bitmap from its first row on, nil if no row is null.
func validity(a arrow.Array) *memory.Buffer {
	if a.NullN() == 0 {
		return nil
	}
	b := memory.NewResizableBuffer(schemas.Allocator)
	b.Resize(int(bitutil.BytesForBits(int64(a.Len()))))
	clear(b.Bytes())
	for i := range a.Len() {
		if a.IsValid(i) {
			bitutil.SetBit(b.Bytes(), i)
		}
	}
	return b
}
