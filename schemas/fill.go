package schemas

import (
	"sync/atomic"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// Numbers is a column of n values without nulls. Arrow's builders make six more allocations, which is what a
// batch of few rows costs. The caller owns the result.
func Numbers[T uint8 | int32 | int64 | float32](n int, value func(row int) T) arrow.Array {
	var zero T
	buf := buffer(n * int(unsafe.Sizeof(zero)))
	out := arrow.GetData[T](buf.Bytes())
	for row := range out {
		out[row] = value(row)
	}
	return assemble(plainType(zero), n, []*memory.Buffer{nil, buf}, nil, 0)
}

// Flags is a column of n truths without nulls. The caller owns the result.
func Flags(n int, value func(row int) bool) arrow.Array {
	b := newBuilder(Type{Kind: Bool})
	for row := range n {
		b.appendBool(value(row))
	}
	return b.finish()
}

// Texts is a column of n texts, null where value says that there is none. The caller owns the result.
func Texts(n int, value func(row int) (text string, ok bool)) arrow.Array {
	b := newBuilder(Type{Kind: String})
	for row := range n {
		if v, ok := value(row); ok {
			b.appendString(v)
		} else {
			b.appendNull()
		}
	}
	return b.finish()
}

// plainType is the type of a column of values like v.
func plainType(v any) arrow.DataType {
	switch v.(type) {
	case uint8:
		return arrow.PrimitiveTypes.Uint8
	case int32:
		return arrow.PrimitiveTypes.Int32
	case int64:
		return arrow.PrimitiveTypes.Int64
	case float32:
		return arrow.PrimitiveTypes.Float32
	default:
		return arrow.BinaryTypes.String
	}
}

// Repeated makes columns that say the same in every row: the name of a model, a gate's threshold. It keeps
// the longest one, and gives slices of it. Its memory is not the Allocator's, as nobody releases the last one.
// The zero value is ready to use, from any number of goroutines.
type Repeated[T string | uint8 | float32] struct {
	longest atomic.Pointer[repetition[T]]
}

type repetition[T any] struct {
	value T
	array arrow.Array
}

// Rows is a column of n times v. The caller owns the result.
func (r *Repeated[T]) Rows(v T, n int) arrow.Array {
	have := r.longest.Load()
	if have == nil || have.value != v || have.array.Len() < n {
		have = &repetition[T]{v, repeat(v, 1<<max(class(n), minClass))}
		r.longest.Store(have) // whoever came second made the same, or one that is made again
	}
	if n == have.array.Len() {
		return shared(have.array)
	}
	return array.NewSlice(have.array, 0, int64(n))
}

func repeat[T string | uint8 | float32](v T, n int) arrow.Array {
	buffers := make([]*memory.Buffer, 2, 3)
	if text, ok := any(v).(string); ok {
		ends, body := make([]int32, n+1), make([]byte, 0, n*len(text))
		for i := range n {
			body = append(body, text...)
			ends[i+1] = int32(len(body))
		}
		buffers[1] = memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(ends))
		buffers = append(buffers, memory.NewBufferBytes(body))
	} else {
		values := make([]T, n)
		for i := range values {
			values[i] = v
		}
		buffers[1] = memory.NewBufferBytes(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), n*int(unsafe.Sizeof(v))))
	}
	return assemble(plainType(v), n, buffers, nil, 0)
}
