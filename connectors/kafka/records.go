package kafka

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"weir/connectors/kafka/driver"
	"weir/schemas"
)

// unpackedBytes bounds a compressed batch once unpacked: a few kilobytes may claim to be gigabytes.
const unpackedBytes = 128 << 20

var (
	errCut     = errors.New("cut short")
	errCorrupt = errors.New("checksum mismatch")
)

// header is what a fetched batch says about itself.
type header struct {
	base       int64 // offset of its first record
	end        int64 // offset behind its last record, also where compaction removed that
	attributes int16
	first, max int64 // timestamps, Unix milliseconds
	producer   int64
	records    int
	body       []byte
}

// nextBatch splits the first batch off b. The broker may cut the last one short; that gives errCut. A
// checked batch is not checked again.
func nextBatch(b []byte, checked bool) (h header, rest []byte, err error) {
	be := binary.BigEndian
	if len(b) < batchHeader {
		return h, nil, errCut
	}
	size := 12 + int64(int32(be.Uint32(b[8:])))
	if b[16] != 2 {
		return h, nil, fmt.Errorf("message format %d is older than Kafka 0.11", b[16])
	}
	if size < batchHeader {
		return h, nil, errCorrupt
	}
	if size > int64(len(b)) {
		return h, nil, errCut
	}
	b, rest = b[:size], b[size:]
	if !checked && castagnoli(b[21:]) != be.Uint32(b[17:]) {
		return h, nil, errCorrupt
	}
	h = header{
		base: int64(be.Uint64(b)), attributes: int16(be.Uint16(b[21:])), first: int64(be.Uint64(b[27:])),
		max: int64(be.Uint64(b[35:])), producer: int64(be.Uint64(b[43:])), records: int(int32(be.Uint32(b[57:]))), body: b[batchHeader:],
	}
	h.end = h.base + int64(int32(be.Uint32(b[23:]))) + 1
	return h, rest, nil
}

// whole checks the batches of one answer and returns those that are complete, their records, and the offset
// behind them. records counts what lies at from or behind it, control records included.
func whole(b []byte, from int64) (batches []byte, records int, next int64, err error) {
	next = from
	rest := b
	for len(rest) > 0 {
		var h header
		var after []byte
		if h, after, err = nextBatch(rest, false); err != nil {
			break
		}
		rest, next = after, max(next, h.end)
		records += h.records
	}
	if errors.Is(err, errCut) {
		err = nil
	}
	return b[:len(b)-len(rest)], records, next, err
}

// committed leaves out the batches of transactions that were given up. The broker sends them along with a list
// of where each begins; where it ends, a marker of the same producer stands.
func committed(b []byte, gone []driver.Aborted) []byte {
	if len(gone) == 0 {
		return b
	}
	slices.SortFunc(gone, func(a, b driver.Aborted) int { return cmp.Compare(a.First, b.First) })
	kept := make([]byte, 0, len(b))
	void := map[int64]bool{} // producers whose transaction is being given up
	for len(b) > 0 {
		h, rest, err := nextBatch(b, true)
		if err != nil {
			break // checked before
		}
		for ; len(gone) > 0 && gone[0].First < h.end; gone = gone[1:] {
			void[gone[0].Producer] = true
		}
		switch {
		case h.attributes&attrControl != 0:
			delete(void, h.producer)
		case h.attributes&attrTransactional != 0 && void[h.producer]:
			b = rest
			continue
		}
		kept = append(kept, b[:len(b)-len(rest)]...)
		b = rest
	}
	return kept
}

// eachRecord calls each for the records of checked batches, without control records and those before from.
// The records share b's memory.
func eachRecord(partition int32, b []byte, from int64, each func(*schemas.Record) error) error {
	r := schemas.Record{Partition: partition}
	for len(b) > 0 {
		h, rest, err := nextBatch(b, true)
		if err != nil {
			return err
		}
		b = rest
		if h.attributes&attrControl != 0 || h.end <= from {
			continue
		}
		body, err := unpack(h)
		if err != nil {
			return fmt.Errorf("batch at offset %d: %w", h.base, err)
		}
		p := parser{b: body}
		for i := 0; i < h.records; i++ {
			p.record(&r, &h)
			if p.bad {
				return fmt.Errorf("batch at offset %d: record %d of %d is malformed", h.base, i, h.records)
			}
			if r.Offset < from {
				continue
			}
			if err := each(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpack returns the records of a batch uncompressed.
func unpack(h header) ([]byte, error) {
	kind := h.attributes & attrCompression
	if kind == 0 {
		return h.body, nil
	}
	codec := compress.Compression(kind).Codec()
	if codec == nil {
		return nil, fmt.Errorf("unknown compression %d", kind)
	}
	r := codec.NewReader(bytes.NewReader(h.body))
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, unpackedBytes+1))
	if err == nil && len(out) > unpackedBytes {
		err = fmt.Errorf("%s: more than %d bytes unpacked", codec.Name(), unpackedBytes)
	}
	return out, err
}

// parser reads records; bad is set once something does not fit.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) record(r *schemas.Record, h *header) {
	size := p.varint()
	if size < 1 || size > int64(len(p.b)) {
		p.bad = true
		return
	}
	outer := p.b[size:]
	p.b = p.b[1:size] // behind the attributes
	stamp := h.first + p.varint()
	if h.attributes&attrLogAppendTime != 0 {
		stamp = h.max
	}
	r.Time = time.UnixMilli(stamp)
	r.Offset = h.base + p.varint()
	r.Key, r.Value = p.nullable(), p.nullable()
	p.headers(r)
	p.b = outer
}

func (p *parser) headers(r *schemas.Record) {
	r.Headers = nil
	n := p.varint()
	if n < 0 || n > int64(len(p.b)) {
		p.bad = true
		return
	}
	if n == 0 {
		return
	}
	r.Headers = make([]schemas.Header, n)
	for i := range r.Headers {
		r.Headers[i] = schemas.Header{Key: string(p.nullable()), Value: p.nullable()}
	}
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.b)
	if n <= 0 {
		p.bad = true
		return 0
	}
	p.b = p.b[n:]
	return v
}

func (p *parser) nullable() []byte {
	n := p.varint()
	if n < 0 {
		return nil
	}
	if n > int64(len(p.b)) {
		p.bad = true
		return nil
	}
	v := p.b[:n:n]
	p.b = p.b[n:]
	return v
}
