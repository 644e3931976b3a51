package schemas

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// buffer is n bytes from the Allocator as an Arrow buffer. They are not zero: the caller writes them all.
func buffer(n int) *memory.Buffer {
	return memory.NewBufferWithAllocator(Allocator.dirty(n), Allocator)
}

// zeroBuffer is n zero bytes.
func zeroBuffer(n int) *memory.Buffer {
	return memory.NewBufferWithAllocator(Allocator.Allocate(n), Allocator)
}

// assemble makes an array of buffers and children and gives up the caller's references to them.
func assemble(dt arrow.DataType, n int, buffers []*memory.Buffer, children []arrow.Array, nulls int) arrow.Array {
	parts := make([]arrow.ArrayData, len(children))
	for i, c := range children {
		parts[i] = c.Data()
	}
	data := array.NewData(dt, n, buffers, parts, nulls, 0)
	for _, b := range buffers {
		if b != nil {
			b.Release()
		}
	}
	for _, c := range children {
		c.Release()
	}
	defer data.Release()
	return array.MakeFromData(data)
}

// Nulls is an array of n nulls. A caller that adds a column to rows which it does not concern uses it.
func Nulls(dt arrow.DataType, n int) arrow.Array {
	if dt.ID() == arrow.NULL {
		return array.NewNull(n)
	}
	valid := zeroBuffer(int(bitutil.BytesForBits(int64(n))))
	switch t := dt.(type) {
	case *arrow.StringType, *arrow.BinaryType:
		return assemble(dt, n, []*memory.Buffer{valid, zeroBuffer(4 * (n + 1)), nil}, nil, n)
	case *arrow.BooleanType:
		return assemble(dt, n, []*memory.Buffer{valid, zeroBuffer(int(bitutil.BytesForBits(int64(n))))}, nil, n)
	case *arrow.FixedSizeListType:
		return assemble(dt, n, []*memory.Buffer{valid}, []arrow.Array{zeros(t.Elem(), n*int(t.Len()))}, n)
	case *arrow.ListType:
		return assemble(dt, n, []*memory.Buffer{valid, zeroBuffer(4 * (n + 1))}, []arrow.Array{zeros(t.Elem(), 0)}, n)
	case *arrow.StructType:
		children := make([]arrow.Array, t.NumFields())
		for i, f := range t.Fields() {
			children[i] = Nulls(f.Type, n)
		}
		return assemble(dt, n, []*memory.Buffer{valid}, children, n)
	case arrow.FixedWidthDataType:
		return assemble(dt, n, []*memory.Buffer{valid, zeroBuffer(n * t.BitWidth() / 8)}, nil, n)
	}
	valid.Release()
	panic(fmt.Sprintf("schemas: no nulls of type %s", dt))
}

// zeros is the data of a child under null rows: numbers are zero and not null, all else is null.
func zeros(dt arrow.DataType, n int) arrow.Array {
	if t, ok := dt.(arrow.FixedWidthDataType); ok && t.BitWidth()%8 == 0 {
		return assemble(dt, n, []*memory.Buffer{nil, zeroBuffer(n * t.BitWidth() / 8)}, nil, 0)
	}
	return Nulls(dt, n)
}

// takeArray copies rows of a.
func takeArray(a arrow.Array, rows []int) arrow.Array {
	if len(rows) == 0 {
		return Nulls(a.DataType(), 0) // an empty array may lack its buffers
	}
	data := a.Data()
	switch t := a.DataType().(type) {
	case *arrow.NullType:
		return array.NewNull(len(rows))
	case *arrow.StringType, *arrow.BinaryType:
		valid, nulls := takeValid(a, rows)
		offs, body := takeBytes(data, rows)
		return assemble(t, len(rows), []*memory.Buffer{valid, offs, body}, nil, nulls)
	case *arrow.BooleanType:
		valid, nulls := takeValid(a, rows)
		return assemble(t, len(rows), []*memory.Buffer{valid, takeBits(data, rows)}, nil, nulls)
	case *arrow.FixedSizeListType:
		return takeFixedList(a, t, rows)
	case *arrow.ListType:
		return takeList(a.(*array.List), rows)
	case *arrow.StructType:
		return takeStruct(a.(*array.Struct), rows)
	case arrow.FixedWidthDataType:
		valid, nulls := takeValid(a, rows)
		width := t.BitWidth() / 8
		body := takeFixed(data.Buffers()[1].Bytes()[data.Offset()*width:], width, rows)
		return assemble(a.DataType(), len(rows), []*memory.Buffer{valid, body}, nil, nulls)
	}
	panic(fmt.Sprintf("schemas: cannot take rows of type %s", a.DataType()))
}

// takeValid gathers the validity bits; nil if no row is null.
func takeValid(a arrow.Array, rows []int) (*memory.Buffer, int) {
	if a.NullN() == 0 {
		return nil, 0
	}
	valid := zeroBuffer(int(bitutil.BytesForBits(int64(len(rows)))))
	nulls := 0
	for i, r := range rows {
		if a.IsNull(r) {
			nulls++
			continue
		}
		bitutil.SetBit(valid.Bytes(), i)
	}
	if nulls == 0 {
		valid.Release()
		return nil, 0
	}
	return valid, nulls
}

// takeFixed gathers values of width bytes each.
func takeFixed(src []byte, width int, rows []int) *memory.Buffer {
	out := buffer(len(rows) * width)
	dst := out.Bytes()
	switch width {
	case 4:
		for i, r := range rows {
			binary.LittleEndian.PutUint32(dst[i*4:], binary.LittleEndian.Uint32(src[r*4:]))
		}
	case 8:
		for i, r := range rows {
			binary.LittleEndian.PutUint64(dst[i*8:], binary.LittleEndian.Uint64(src[r*8:]))
		}
	default:
		for i, r := range rows {
			copy(dst[i*width:(i+1)*width], src[r*width:])
		}
	}
	return out
}

func takeBits(data arrow.ArrayData, rows []int) *memory.Buffer {
	out := zeroBuffer(int(bitutil.BytesForBits(int64(len(rows)))))
	src := data.Buffers()[1].Bytes()
	for i, r := range rows {
		if bitutil.BitIsSet(src, data.Offset()+r) {
			bitutil.SetBit(out.Bytes(), i)
		}
	}
	return out
}

func takeBytes(data arrow.ArrayData, rows []int) (offs, body *memory.Buffer) {
	var src []byte
	if b := data.Buffers()[2]; b != nil {
		src = b.Bytes()
	}
	at := arrow.Int32Traits.CastFromBytes(data.Buffers()[1].Bytes())[data.Offset():]
	total := 0
	for _, r := range rows {
		total += int(at[r+1] - at[r])
	}
	offs, body = buffer(4*(len(rows)+1)), buffer(total)
	ends := arrow.Int32Traits.CastFromBytes(offs.Bytes())
	ends[0] = 0
	n := 0
	for i, r := range rows {
		n += copy(body.Bytes()[n:], src[at[r]:at[r+1]])
		ends[i+1] = int32(n)
	}
	return offs, body
}

// takeFixedList gathers tensors: one memcpy a row where the elements are plain numbers.
func takeFixedList(a arrow.Array, t *arrow.FixedSizeListType, rows []int) arrow.Array {
	valid, nulls := takeValid(a, rows)
	child, n, off := a.Data().Children()[0], int(t.Len()), a.Data().Offset()
	elem, plain := t.Elem().(arrow.FixedWidthDataType)
	if plain && elem.BitWidth()%8 == 0 && child.NullN() == 0 && len(child.Children()) == 0 {
		width := elem.BitWidth() / 8
		src := child.Buffers()[1].Bytes()[(child.Offset()+off*n)*width:]
		values := assemble(t.Elem(), len(rows)*n, []*memory.Buffer{nil, takeFixed(src, n*width, rows)}, nil, 0)
		return assemble(t, len(rows), []*memory.Buffer{valid}, []arrow.Array{values}, nulls)
	}
	items := make([]int, 0, len(rows)*n)
	for _, r := range rows {
		for j := range n {
			items = append(items, (off+r)*n+j)
		}
	}
	values := takeArray(a.(*array.FixedSizeList).ListValues(), items)
	return assemble(t, len(rows), []*memory.Buffer{valid}, []arrow.Array{values}, nulls)
}

func takeList(a *array.List, rows []int) arrow.Array {
	valid, nulls := takeValid(a, rows)
	offs := buffer(4 * (len(rows) + 1))
	ends := arrow.Int32Traits.CastFromBytes(offs.Bytes())
	ends[0] = 0
	var items []int
	for i, r := range rows {
		from, to := a.ValueOffsets(r)
		for j := from; j < to; j++ {
			items = append(items, int(j))
		}
		ends[i+1] = int32(len(items))
	}
	values := takeArray(a.ListValues(), items)
	return assemble(a.DataType(), len(rows), []*memory.Buffer{valid, offs}, []arrow.Array{values}, nulls)
}

// takeStruct gathers each field: Field(i) is already sliced to the struct's own rows.
func takeStruct(a *array.Struct, rows []int) arrow.Array {
	valid, nulls := takeValid(a, rows)
	children := make([]arrow.Array, a.NumField())
	for i := range children {
		children[i] = takeArray(a.Field(i), rows)
	}
	return assemble(a.DataType(), len(rows), []*memory.Buffer{valid}, children, nulls)
}
