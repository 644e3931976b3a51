package schemas

import (
	"encoding/binary"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// builder grows one column of a batch. Arrow's own builders could neither take back a row, which a query
// that turns out bad halfway needs, nor hand out the next tensor's memory to scan numbers into.
//
// A value is written in two steps: its bytes at row n, then done, which makes it row n. The buffers come
// from the Allocator and go to the array that finish makes.
type builder struct {
	typ   Type
	width int // bytes a row; 0 for bool, string and binary
	n     int // rows
	nulls int
	data  []byte // values; bits for bool; bytes for string and binary
	used  int    // bytes of data, for string and binary
	offs  []byte // int32 ends, for string and binary
	valid []byte // bits, nil until the first null
}

func newBuilder(t Type) builder {
	return builder{typ: t, width: t.Kind.width() * max(t.Len, 1)}
}

func (b *builder) bytesKind() bool { return b.typ.Kind == String || b.typ.Kind == Binary }

// room makes buf at least need bytes long and keeps its first used bytes, so far as they exist.
func room(buf []byte, need, used int) []byte {
	if need <= len(buf) {
		return buf
	}
	grown := Allocator.dirty(max(need, 2*len(buf)))
	grown = grown[:cap(grown)]
	copy(grown, buf[:min(used, len(buf))])
	if buf != nil {
		Allocator.Free(buf)
	}
	return grown
}

// slot is the memory of row n, for the kinds that have a width. It is not zero.
func (b *builder) slot() []byte {
	at := b.n * b.width
	if at+b.width > len(b.data) {
		b.data = room(b.data, at+b.width, at)
	}
	return b.data[at : at+b.width : at+b.width]
}

// done makes what was written row n.
func (b *builder) done(ok bool) {
	if !ok {
		b.nulls++
	}
	if b.valid != nil || !ok {
		b.mark(b.n, ok)
	}
	b.n++
}

// mark sets the validity of row i; all rows below n are valid until the first null.
func (b *builder) mark(i int, ok bool) {
	if b.valid == nil {
		b.valid = room(nil, b.n/8+1, 0)
		memory.Set(b.valid, 0xff)
	}
	if i/8 >= len(b.valid) {
		b.valid = room(b.valid, i/8+1, len(b.valid))
	}
	bitutil.SetBitTo(b.valid, i, ok)
}

func (b *builder) appendBytes(v []byte) {
	b.data = room(b.data, b.used+len(v), b.used)
	b.used += copy(b.data[b.used:], v)
	b.end()
	b.done(true)
}

func (b *builder) appendString(v string) {
	b.data = room(b.data, b.used+len(v), b.used)
	b.used += copy(b.data[b.used:], v)
	b.end()
	b.done(true)
}

// end writes the end offset of row n. A batch holds less than 2 GiB: its source bounds it far below.
func (b *builder) end() {
	b.offs = room(b.offs, 4*(b.n+2), 4*(b.n+1))
	if b.n == 0 {
		binary.LittleEndian.PutUint32(b.offs, 0)
	}
	binary.LittleEndian.PutUint32(b.offs[4*(b.n+1):], uint32(b.used))
}

func (b *builder) appendBool(v bool) {
	b.data = room(b.data, b.n/8+1, b.n/8+1)
	bitutil.SetBitTo(b.data, b.n, v)
	b.done(true)
}

func (b *builder) appendUint8(v uint8) { b.slot()[0] = v; b.done(true) }
func (b *builder) appendInt32(v int32) {
	binary.LittleEndian.PutUint32(b.slot(), uint32(v))
	b.done(true)
}
func (b *builder) appendInt64(v int64) {
	binary.LittleEndian.PutUint64(b.slot(), uint64(v))
	b.done(true)
}
func (b *builder) appendFixed(v []byte) { copy(b.slot(), v); b.done(true) }

// appendNull adds a null; its bytes are zero.
func (b *builder) appendNull() {
	b.zero()
	b.done(false)
}

// appendEmpty adds what a rejected row has: a tensor of zeros, else null.
func (b *builder) appendEmpty() {
	b.zero()
	b.done(b.typ.Tensor())
}

func (b *builder) zero() {
	switch {
	case b.width > 0:
		clear(b.slot())
	case b.bytesKind():
		b.end()
	default:
		b.data = room(b.data, b.n/8+1, b.n/8+1)
		bitutil.ClearBit(b.data, b.n)
	}
}

// erase makes row i what appendEmpty would have added. Bytes of a string stay, unreachable.
func (b *builder) erase(i int) {
	if b.typ.Tensor() {
		clear(b.data[i*b.width : (i+1)*b.width])
	}
	ok, was := b.typ.Tensor(), b.valid == nil || bitutil.BitIsSet(b.valid, i)
	if ok == was {
		return
	}
	if ok {
		b.nulls--
	} else {
		b.nulls++
	}
	b.mark(i, ok)
}

// truncate takes back all rows from n on.
func (b *builder) truncate(n int) {
	if n >= b.n {
		return
	}
	b.n = n
	if b.bytesKind() {
		b.used = int(binary.LittleEndian.Uint32(b.offs[4*n:]))
	}
	if b.valid != nil {
		b.nulls = n - bitutil.CountSetBits(b.valid, 0, n)
	}
}

// bytes is row i of a string or binary column, valid until the next append.
func (b *builder) bytes(i int) []byte {
	from, to := binary.LittleEndian.Uint32(b.offs[4*i:]), binary.LittleEndian.Uint32(b.offs[4*i+4:])
	return b.data[from:to]
}

// finish makes the array of all rows and leaves the builder empty. The next batch is likely as large as
// this one, so its buffers are taken at that size at once.
func (b *builder) finish() arrow.Array {
	if b.bytesKind() && b.n == 0 {
		b.offs = room(b.offs, 4, 0)
		clear(b.offs[:4])
	}
	own := func(buf []byte, n int) *memory.Buffer {
		if buf == nil {
			buf = Allocator.dirty(0)
		}
		return memory.NewBufferWithAllocator(buf[:n], Allocator)
	}
	bits := int(bitutil.BytesForBits(int64(b.n)))
	var valid *memory.Buffer
	if b.nulls > 0 {
		valid = own(b.valid, bits)
	} else if b.valid != nil {
		Allocator.Free(b.valid)
	}
	var a arrow.Array
	switch {
	case b.bytesKind():
		a = assemble(b.typ.Arrow(), b.n, []*memory.Buffer{valid, own(b.offs, 4*(b.n+1)), own(b.data, b.used)}, nil, b.nulls)
	case b.typ.Tensor():
		elem := Type{Kind: b.typ.Kind}.Arrow()
		values := assemble(elem, b.n*b.typ.Len, []*memory.Buffer{nil, own(b.data, b.n*b.width)}, nil, 0)
		a = assemble(b.typ.Arrow(), b.n, []*memory.Buffer{valid}, []arrow.Array{values}, b.nulls)
	case b.width > 0:
		a = assemble(b.typ.Arrow(), b.n, []*memory.Buffer{valid, own(b.data, b.n*b.width)}, nil, b.nulls)
	default:
		a = assemble(b.typ.Arrow(), b.n, []*memory.Buffer{valid, own(b.data, bits)}, nil, b.nulls)
	}
	*b = builder{typ: b.typ, width: b.width}
	return a
}

// Empty is a record of that schema without rows.
func Empty(schema *arrow.Schema) arrow.Record {
	arrays := make([]arrow.Array, schema.NumFields())
	for i, f := range schema.Fields() {
		arrays[i] = Nulls(f.Type, 0)
	}
	return ownedRecord(schema, arrays, 0)
}
