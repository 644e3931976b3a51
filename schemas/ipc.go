package schemas

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// Limits of one Arrow stream. The zero value has the defaults.
type Limits struct {
	// Rows bounds all batches together, and the elements of any list in them. Default 16 Mi.
	Rows int
	// Bytes bounds the stream. Default 64 MiB.
	Bytes int
}

func (l Limits) orDefault() Limits {
	if l.Rows <= 0 {
		l.Rows = 16 << 20
	}
	if l.Bytes <= 0 {
		l.Bytes = 64 << 20
	}
	return l
}

// DecodeIPC decodes an Arrow IPC stream. It is the only way by which Arrow bytes enter: Arrow's own reader
// allocates what the bytes claim, panics on bad offsets and validates nothing. Here every length is
// compared with the bytes that are there before it is used, nothing is allocated but one copy of the
// bodies, and an array is made only of buffers that hold what its type promises. So hostile bytes give a
// *DecodeError and nothing else.
//
// Refused are compressed and dictionary-encoded batches, other types than those of a schema and lists,
// structs and plain times of them, big-endian streams, and bytes behind the end. The caller owns the
// records, which share no memory with b.
func DecodeIPC(b []byte, limits Limits) ([]arrow.Record, error) {
	var r streamReader
	return r.decode(b, limits)
}

// streamReader keeps the last stream's schema: most producers send the same with every record.
type streamReader struct {
	meta   []byte
	schema *arrow.Schema
}

// IPC message header types.
const (
	headerSchema = 1
	headerRecord = 3
)

// frame is one message of a stream.
type frame struct {
	at         int // byte of the stream
	meta, body []byte
}

func (f frame) fail(format string, args ...any) error {
	return &DecodeError{At: f.at, Reason: fmt.Sprintf(format, args...)}
}

func (r *streamReader) decode(b []byte, limits Limits) (recs []arrow.Record, err error) {
	limits = limits.orDefault()
	if len(b) > limits.Bytes {
		return nil, &DecodeError{Reason: fmt.Sprintf("%d bytes, the limit is %d", len(b), limits.Bytes)}
	}
	defer func() {
		if p := recover(); p != nil { // a fault of ours that some bytes found must not end the process
			err = &DecodeError{Reason: fmt.Sprint("panic: ", p)}
		}
		if err != nil {
			for _, rec := range recs {
				rec.Release()
			}
			recs = nil
		}
	}()
	rows := 0
	for at, first := 0, true; ; first = false {
		f, next, end, err := nextFrame(b, at)
		if err != nil {
			return recs, err
		}
		if end && first {
			return recs, f.fail("the stream has no schema")
		}
		if end {
			return recs, nil
		}
		if first {
			if err := r.readSchema(f); err != nil {
				return recs, err
			}
		} else {
			rec, err := readBatch(f, r.schema, limits.Rows-rows)
			if err != nil {
				return recs, err
			}
			recs = append(recs, rec)
			rows += int(rec.NumRows())
		}
		at = next
	}
}

// nextFrame cuts the next message off and checks its lengths. A stream ends with a marker or just with its
// last message.
func nextFrame(b []byte, at int) (f frame, next int, end bool, err error) {
	f.at = at
	if at == len(b) {
		return f, at, true, nil
	}
	if len(b)-at < 8 || binary.LittleEndian.Uint32(b[at:]) != continuation {
		return f, at, false, f.fail("no continuation marker and length")
	}
	n := int(int32(binary.LittleEndian.Uint32(b[at+4:])))
	if n == 0 {
		if at+8 != len(b) {
			return f, at, false, f.fail("%d bytes behind the end of the stream", len(b)-at-8)
		}
		return f, at, true, nil
	}
	rest := b[at+8:]
	if n < 8 || n > len(rest) {
		return f, at, false, f.fail("metadata of %d bytes, %d are there", n, len(rest))
	}
	f.meta = rest[:n]
	m := flat{b: f.meta}
	body := m.root().long(3)
	if m.fault || body < 0 || body > int64(len(rest)-n) {
		return f, at, false, f.fail("a body of %d bytes, %d are there", body, len(rest)-n)
	}
	f.body = rest[n : n+int(body)]
	return f, at + 8 + n + int(body), false, nil
}

func (r *streamReader) readSchema(f frame) error {
	if r.schema != nil && bytes.Equal(f.meta, r.meta) && len(f.body) == 0 {
		return nil
	}
	m := &flat{b: f.meta}
	root := m.root()
	if v := root.short(0); v < 3 { // V4
		return f.fail("metadata version %d is too old", v+1)
	}
	if root.byte(1) != headerSchema || len(f.body) != 0 {
		return f.fail("the first message is no schema")
	}
	schema, err := parseSchema(f, root.table(2))
	if err != nil {
		return err
	}
	if m.fault {
		return f.fail("an offset of the schema leads outside of it")
	}
	r.schema, r.meta = schema, bytes.Clone(f.meta)
	return nil
}

// readBatch makes a record of one message. rows is how many it may have.
func readBatch(f frame, schema *arrow.Schema, rows int) (arrow.Record, error) {
	m := &flat{b: f.meta}
	root := m.root()
	t := root.table(2)
	switch {
	case root.byte(1) != headerRecord:
		return nil, f.fail("a message of kind %d, only record batches are taken", root.byte(1))
	case t.field(3) != 0:
		return nil, f.fail("a compressed batch; send it uncompressed, Kafka may compress")
	}
	n := t.long(0)
	if n < 0 || n > int64(rows) {
		return nil, f.fail("%d rows, the limit is %d", n, rows)
	}
	r := batchReader{frame: f, flat: m, body: memory.NewBufferWithAllocator(Allocator.dirty(len(f.body)), Allocator)}
	defer r.body.Release()
	copy(r.body.Bytes(), f.body)
	r.nodes, r.nodesLeft = t.vector(1, 16)
	r.buffers, r.buffersLeft = t.vector(2, 16)
	arrays, err := r.columns(schema.Fields(), int(n))
	if err == nil && (m.fault || r.nodesLeft != 0 || r.buffersLeft != 0) {
		err = f.fail("the batch does not have the schema's columns")
	}
	if err != nil {
		for _, a := range arrays {
			a.Release()
		}
		return nil, err
	}
	return ownedRecord(schema, arrays, int(n)), nil
}
