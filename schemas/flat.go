package schemas

import (
	"encoding/binary"
	"fmt"
)

// flat reads a FlatBuffers message, the form of Arrow's IPC metadata. The generated readers trust every
// offset and panic, or worse, on a bad one. This one checks each read against the bytes that are there:
// outside of them it reads zero and notes a fault, which whoever is done reading asks for. Vectors are
// bounded by the bytes present, so no loop outlasts the message.
type flat struct {
	b     []byte
	fault bool
}

func (f *flat) take(at, n int) []byte {
	if at < 0 || n < 0 || at > len(f.b)-n {
		f.fault = true
		return zero8[:min(max(n, 0), 8)]
	}
	return f.b[at : at+n]
}

var zero8 [8]byte

func (f *flat) u8(at int) uint8   { return f.take(at, 1)[0] }
func (f *flat) u16(at int) uint16 { return binary.LittleEndian.Uint16(f.take(at, 2)) }
func (f *flat) i32(at int) int32  { return int32(binary.LittleEndian.Uint32(f.take(at, 4))) }
func (f *flat) i64(at int) int64  { return int64(binary.LittleEndian.Uint64(f.take(at, 8))) }

// follow is the place that the unsigned offset at a place points to.
func (f *flat) follow(at int) int {
	off := binary.LittleEndian.Uint32(f.take(at, 4))
	if uint64(off) > uint64(len(f.b)) {
		f.fault = true
		return len(f.b)
	}
	return at + int(off)
}

// table is one table of a message; a place of 0 is none.
type table struct {
	*flat
	at int
}

func (f *flat) root() table { return table{f, f.follow(0)} }

// field is the place of field i, 0 if it is absent.
func (t table) field(i int) int {
	if t.at == 0 {
		return 0
	}
	v := t.at - int(t.i32(t.at))
	if slot := 4 + 2*i; slot+2 <= int(t.u16(v)) {
		if off := t.u16(v + slot); off != 0 {
			return t.at + int(off)
		}
	}
	return 0
}

func (t table) byte(i int) uint8 {
	if at := t.field(i); at != 0 {
		return t.u8(at)
	}
	return 0
}

func (t table) short(i int) int16 {
	if at := t.field(i); at != 0 {
		return int16(t.u16(at))
	}
	return 0
}

func (t table) int(i int) int32 {
	if at := t.field(i); at != 0 {
		return t.i32(at)
	}
	return 0
}

func (t table) long(i int) int64 {
	if at := t.field(i); at != 0 {
		return t.i64(at)
	}
	return 0
}

func (t table) table(i int) table {
	if at := t.field(i); at != 0 {
		return table{t.flat, t.follow(at)}
	}
	return table{t.flat, 0}
}

// vector is the place of the first element and the count of a vector of size bytes each.
func (t table) vector(i, size int) (at, n int) {
	field := t.field(i)
	if field == 0 {
		return 0, 0
	}
	at = t.follow(field)
	n = int(t.i32(at))
	if at += 4; n < 0 || at > len(t.b) || n > (len(t.b)-at)/size {
		t.fault = true
		return 0, 0
	}
	return at, n
}

func (t table) string(i int) string {
	at, n := t.vector(i, 1)
	return string(t.take(at, n))
}

// DecodeError says why bytes are no Arrow stream that Weir takes.
type DecodeError struct {
	// At is the byte of the stream where the message stands.
	At     int
	Reason string
}

// Error implements error.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("schemas: arrow stream, message at byte %d: %s", e.At, e.Reason)
}
