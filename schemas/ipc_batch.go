package schemas

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// batchReader hands out a batch's nodes and buffers in the order of its columns.
type batchReader struct {
	frame
	*flat
	body                 *memory.Buffer // one aligned copy, shared by all arrays
	nodes, nodesLeft     int
	buffers, buffersLeft int
}

func (r *batchReader) fail(format string, args ...any) error { return r.frame.fail(format, args...) }

func (r *batchReader) columns(fields []arrow.Field, n int) (arrays []arrow.Array, err error) {
	for _, f := range fields {
		a, err := r.column(f.Type, n)
		if err != nil {
			return arrays, inColumn(err, f.Name)
		}
		arrays = append(arrays, a)
	}
	return arrays, nil
}

// inColumn says in which column a fault is.
func inColumn(err error, name string) error {
	if e := new(DecodeError); errors.As(err, &e) {
		return &DecodeError{At: e.At, Reason: fmt.Sprintf("column %q: %s", name, e.Reason)}
	}
	return err
}

// node is the length and null count of the next array.
func (r *batchReader) node() (n, nulls int, err error) {
	if r.nodesLeft == 0 {
		return 0, 0, r.fail("fewer arrays than the schema says")
	}
	length, null := r.i64(r.nodes), r.i64(r.nodes+8)
	r.nodes, r.nodesLeft = r.nodes+16, r.nodesLeft-1
	if length < 0 || length > math.MaxInt32 || null < 0 || null > length {
		return 0, 0, r.fail("an array of %d values with %d nulls", length, null)
	}
	return int(length), int(null), nil
}

// buffer is the next buffer, which must hold at least need bytes. It is part of the body.
func (r *batchReader) buffer(need int) (*memory.Buffer, error) {
	if r.buffersLeft == 0 {
		return nil, r.fail("fewer buffers than the schema says")
	}
	off, n := r.i64(r.buffers), r.i64(r.buffers+8)
	r.buffers, r.buffersLeft = r.buffers+16, r.buffersLeft-1
	have := int64(r.body.Len())
	if off < 0 || n < 0 || off > have || n > have-off || off%8 != 0 {
		return nil, r.fail("a buffer of %d bytes at %d of a body of %d", n, off, have)
	}
	if n < int64(need) {
		return nil, r.fail("a buffer of %d bytes, its values take %d", n, need)
	}
	return memory.SliceBuffer(r.body, int(off), int(n)), nil
}

// validity is the next array's bitmap, nil without nulls.
func (r *batchReader) validity(n, nulls int) (*memory.Buffer, error) {
	need := 0
	if nulls > 0 {
		need = int(bitutil.BytesForBits(int64(n)))
	}
	b, err := r.buffer(need)
	if err != nil {
		return nil, err
	}
	if nulls == 0 {
		b.Release()
		return nil, nil
	}
	if set := bitutil.CountSetBits(b.Bytes(), 0, n); set != n-nulls {
		b.Release()
		return nil, r.fail("%d nulls, the batch says %d", n-set, nulls)
	}
	return b, nil
}

// column makes the next array, which must have want values.
func (r *batchReader) column(dt arrow.DataType, want int) (arrow.Array, error) {
	n, nulls, err := r.node()
	if err != nil {
		return nil, err
	}
	if n != want {
		return nil, r.fail("%d values, %d should be there", n, want)
	}
	if dt.ID() == arrow.NULL {
		return array.NewNull(n), nil
	}
	valid, err := r.validity(n, nulls)
	if err != nil {
		return nil, err
	}
	buffers, children, err := r.content(dt, n)
	buffers = append([]*memory.Buffer{valid}, buffers...)
	if err == nil {
		err = r.check(dt, n, buffers)
	}
	if err != nil {
		for _, b := range buffers {
			if b != nil {
				b.Release()
			}
		}
		for _, c := range children {
			c.Release()
		}
		return nil, err
	}
	return assemble(dt, n, buffers, children, nulls), nil
}

// content reads the buffers behind the bitmap, and the children.
func (r *batchReader) content(dt arrow.DataType, n int) (buffers []*memory.Buffer, children []arrow.Array, err error) {
	take := func(need int) {
		if err == nil {
			var b *memory.Buffer
			if b, err = r.buffer(need); err == nil {
				buffers = append(buffers, b)
			}
		}
	}
	switch t := dt.(type) {
	case *arrow.StringType, *arrow.BinaryType:
		if take(r.offsets(n, 4)); err == nil {
			buffers[0] = someOffsets(buffers[0], n, 4)
		}
		take(0)
	case *arrow.LargeStringType, *arrow.LargeBinaryType:
		if take(r.offsets(n, 8)); err == nil {
			buffers[0] = someOffsets(buffers[0], n, 8)
		}
		take(0)
	case *arrow.ListType:
		if take(r.offsets(n, 4)); err != nil {
			return
		}
		buffers[0] = someOffsets(buffers[0], n, 4)
		var length int
		if length, err = r.peekLength(); err != nil {
			return
		}
		var a arrow.Array
		if a, err = r.column(t.Elem(), length); err == nil {
			children = append(children, a)
			err = checkOffsets(r, arrow.Int32Traits.CastFromBytes(buffers[0].Bytes())[:n+1], length)
		}
	case *arrow.FixedSizeListType:
		if int64(n)*int64(t.Len()) > math.MaxInt32 {
			return buffers, nil, r.fail("%d lists of %d values", n, t.Len())
		}
		var a arrow.Array
		if a, err = r.column(t.Elem(), n*int(t.Len())); err == nil {
			children = append(children, a)
		}
	case *arrow.StructType:
		children, err = r.columns(t.Fields(), n)
	case *arrow.BooleanType:
		take(int(bitutil.BytesForBits(int64(n))))
	case arrow.FixedWidthDataType:
		take(n * t.BitWidth() / 8)
	default:
		err = r.fail("type %s is not taken", dt)
	}
	return
}

// offsets is the bytes of n+1 offsets; Arrow writers may leave those of no values out.
func (r *batchReader) offsets(n, width int) int {
	if n == 0 {
		return 0
	}
	return (n + 1) * width
}

// someOffsets replaces offsets that were left out by a zero one.
func someOffsets(b *memory.Buffer, n, width int) *memory.Buffer {
	if n > 0 || b.Len() >= width {
		return b
	}
	b.Release()
	return zeroBuffer(width)
}

// peekLength is the length of the array that comes next.
func (r *batchReader) peekLength() (int, error) {
	if r.nodesLeft == 0 {
		return 0, r.fail("fewer arrays than the schema says")
	}
	n := r.i64(r.nodes)
	if n < 0 || n > int64(8*r.body.Len()) {
		return 0, r.fail("a list of %d values in a body of %d bytes", n, r.body.Len())
	}
	return int(n), nil
}

// check validates what the buffers of strings hold: ascending offsets within the bytes, and UTF-8.
func (r *batchReader) check(dt arrow.DataType, n int, buffers []*memory.Buffer) error {
	switch dt.(type) {
	case *arrow.StringType, *arrow.BinaryType:
		return checkBytes(r, arrow.Int32Traits.CastFromBytes(buffers[1].Bytes())[:n+1], buffers[2].Bytes(), dt.ID() == arrow.STRING)
	case *arrow.LargeStringType, *arrow.LargeBinaryType:
		return checkBytes(r, arrow.Int64Traits.CastFromBytes(buffers[1].Bytes())[:n+1], buffers[2].Bytes(), dt.ID() == arrow.LARGE_STRING)
	}
	return nil
}

func checkBytes[T int32 | int64](r *batchReader, offs []T, data []byte, text bool) error {
	if err := checkOffsets(r, offs, len(data)); err != nil || !text {
		return err
	}
	for i := range len(offs) - 1 {
		if !utf8.Valid(data[offs[i]:offs[i+1]]) {
			return r.fail("row %d is no UTF-8", i)
		}
	}
	return nil
}

func checkOffsets[T int32 | int64](r *batchReader, offs []T, limit int) error {
	last := T(0)
	for i, o := range offs {
		if o < last {
			return r.fail("offset %d goes back from %d to %d", i, last, o)
		}
		last = o
	}
	if int64(last) > int64(limit) {
		return r.fail("offsets up to %d, %d values are there", last, limit)
	}
	return nil
}
