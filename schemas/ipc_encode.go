package schemas

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/zeebo/xxh3"
)

// MessageBytes is about what an Arrow message holds at most: larger ones have long tails on their way
// through a broker. A single row may be larger.
const MessageBytes = 100 << 10

// EncodeIPC writes rec as an Arrow IPC stream of one batch, which any Arrow client reads.
func EncodeIPC(rec arrow.Record) ([]byte, error) {
	if rec.NumRows() == 0 { // arrow's writer panics on some empty slices
		rec = Empty(rec.Schema())
		defer rec.Release()
	}
	return new(streams).encode(rec)
}

// streams encodes records of one schema as streams, and writes the schema's message once: for a batch of few
// rows it takes more time than the rows. It may be used from any number of goroutines.
type streams struct{ pool sync.Pool }

// A streamWriter is Arrow's writer with the schema's message that it wrote.
type streamWriter struct {
	*bytes.Buffer
	writer *ipc.Writer
	schema []byte
}

// endOfStream is an Arrow message of no bytes.
const endOfStream = "\xff\xff\xff\xff\x00\x00\x00\x00"

func (s *streams) encode(rec arrow.Record) ([]byte, error) {
	st, ok := s.pool.Get().(*streamWriter)
	if !ok {
		st = &streamWriter{}
		st.writer = ipc.NewWriter(st, ipc.WithSchema(rec.Schema()), ipc.WithAllocator(Allocator))
	}
	st.Buffer = bytes.NewBuffer(make([]byte, 0, recordBytes(rec)+2048+len(st.schema)))
	st.Write(st.schema)
	if err := st.writer.Write(rec); err != nil {
		return nil, fmt.Errorf("schemas: encode arrow: %w", err)
	}
	if st.schema == nil { // the writer wrote it: a marker, the length, and so many bytes
		n := 8 + binary.LittleEndian.Uint32(st.Bytes()[4:])
		st.schema = bytes.Clone(st.Bytes()[:n])
	}
	st.WriteString(endOfStream)
	value := st.Bytes()
	st.Buffer = nil
	s.pool.Put(st)
	return value, nil
}

// encodeSplit encodes rec in as many messages as keep each near MessageBytes.
func (s *streams) encodeSplit(rec arrow.Record, headers func(value []byte) []Header) ([]Message, error) {
	return s.splitInto(nil, rec, 0, headers)
}

func (s *streams) splitInto(msgs []Message, rec arrow.Record, first int, headers func(value []byte) []Header) ([]Message, error) {
	n := int(rec.NumRows())
	if n == 0 {
		return msgs, nil
	}
	if recordBytes(rec) <= MessageBytes || n == 1 {
		value, err := s.encode(rec)
		if err != nil {
			return msgs, err
		}
		return append(msgs, Message{Value: value, Headers: headers(value), Row: first, Rows: n}), nil
	}
	for _, cut := range [2][2]int{{0, n / 2}, {n / 2, n}} {
		half := rec.NewSlice(int64(cut[0]), int64(cut[1]))
		var err error
		msgs, err = s.splitInto(msgs, half, first+cut[0], headers)
		half.Release()
		if err != nil {
			return msgs, err
		}
	}
	return msgs, nil
}

// recordBytes is about what the rows of rec take on the wire.
func recordBytes(rec arrow.Record) int {
	total := 0
	for _, a := range rec.Columns() {
		total += arrayBytes(a)
	}
	return total
}

func arrayBytes(a arrow.Array) int {
	n := a.Len()
	size := 2 * alignment
	switch a := a.(type) {
	case *array.String:
		return size + 4*n + len(a.ValueBytes())
	case *array.Binary:
		return size + 4*n + len(a.ValueBytes())
	case *array.FixedSizeList:
		return size + perValue(a.ListValues())*n*int(a.DataType().(*arrow.FixedSizeListType).Len())
	case *array.List:
		if n == 0 {
			return size
		}
		from, _ := a.ValueOffsets(0)
		_, to := a.ValueOffsets(n - 1)
		return size + 4*n + perValue(a.ListValues())*int(to-from)
	case *array.Struct:
		for i := range a.NumField() {
			size += arrayBytes(a.Field(i))
		}
		return size
	}
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
		return size + n*t.BitWidth()/8
	}
	return size
}

// perValue is the mean size of a value.
func perValue(a arrow.Array) int {
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
		return max(1, t.BitWidth()/8)
	}
	if a.Len() == 0 {
		return 0
	}
	return arrayBytes(a)/a.Len() + 1
}

// SumHeader names the header that holds the xxh3 of an internal record's value, 8 bytes big-endian. Two
// fifths of randomly damaged Arrow batches decode without complaint and mean something else; only a sum
// over all bytes, the schema's among them, notices that.
const SumHeader = "weir-sum"

func sum(value []byte) []byte {
	return binary.BigEndian.AppendUint64(nil, xxh3.Hash(value))
}

// checkSum says what is wrong with an internal record's sum, "" if nothing.
func checkSum(r Record) string {
	for _, h := range r.Headers {
		if h.Key == SumHeader {
			if !bytes.Equal(h.Value, sum(r.Value)) {
				return "the bytes are not those that were written: their " + SumHeader + " differs"
			}
			return ""
		}
	}
	return "the record has no " + SumHeader + " header"
}

// Next encodes the rows that go on to the next segment of a cut pipeline, with every column, as Arrow
// streams that Rows decodes.
type Next struct{}

// NewNext returns the encoder of the topics between segments.
func NewNext() Encoder { return Next{} }

// Encode implements Encoder.
func (Next) Encode(rec arrow.Record) ([]Message, error) {
	return new(streams).encodeSplit(rec, func(value []byte) []Header {
		return []Header{{ContentType, []byte(ArrowStream)}, {SumHeader, sum(value)}}
	})
}
