package floor

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// Query is what the loop needs of a decoded batch: the columns, found once.
type Query struct {
	Rows   int
	pixels []byte
	ids    interface{ Value(row int) string }
	keys   interface{ Value(row int) []byte }
}

// Queries finds the columns of a decoded batch.
func Queries(rec arrow.Record) (q Query, err error) {
	pixels, err := schemas.Column[*array.FixedSizeList](rec, "pixels")
	if err != nil {
		return q, err
	}
	q.Rows = int(rec.NumRows())
	q.pixels = pixels.ListValues().(*array.Uint8).Uint8Values()
	ids, err := schemas.Column[*array.String](rec, schemas.QueryID)
	if err != nil {
		return q, err
	}
	keys, err := schemas.Column[*array.Binary](rec, schemas.Key)
	q.ids, q.keys = ids, keys
	return q, err
}

// appendPrediction appends one answer as JSON.
func appendPrediction(b []byte, id, label string, confidence float32, scores []float32) []byte {
	b = append(append(b, `{"query_id":"`...), id...)
	b = append(append(b, `","label":"`...), label...)
	b = strconv.AppendFloat(append(b, `","confidence":`...), float64(confidence), 'f', -1, 32)
	b = append(b, `,"scores":[`...)
	for i, s := range scores {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(s), 'f', -1, 32)
	}
	return append(b, "]}"...)
}

// Batch is a Kafka record batch that grows a prediction at a time.
type Batch struct {
	raw        []byte
	n          int
	value, id  []byte // of the record in hand
	head, tail []byte // what stands before and behind it
}

// header is the length of a produce request's record set and the batch's own 61 bytes.
const header = 4 + 61

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	if cap(b.raw) < header {
		b.raw = make([]byte, header, 1<<16)
	}
	b.raw, b.n = b.raw[:header], 0
}

// Len is the batch's records.
func (b *Batch) Len() int { return b.n }

// Append appends the sure answers to queries as records, each with its query's key.
func (b *Batch) Append(q Query, a Answers, labels []string) {
	unsure := a.Unsure
	for i := range q.Rows {
		if len(unsure) > 0 && unsure[0] == i {
			unsure = unsure[1:]
			continue
		}
		best := a.Best[i]
		scores := a.Row(i)
		b.value = appendPrediction(b.value[:0], q.ids.Value(i), labels[best], scores[best], scores)
		b.record(q.keys.Value(i), b.value, nil)
	}
}

// Messages appends encoded messages as records.
func (b *Batch) Messages(msgs []schemas.Message) {
	for _, m := range msgs {
		b.record(m.Key, m.Value, m.Headers)
	}
}

func (b *Batch) record(key, value []byte, headers []schemas.Header) {
	b.head = append(b.head[:0], 0, 0) // attributes, timestamp delta
	b.head = binary.AppendVarint(b.head, int64(b.n))
	b.head = binary.AppendVarint(b.head, int64(len(key)))
	b.head = append(b.head, key...)
	b.head = binary.AppendVarint(b.head, int64(len(value)))
	b.tail = binary.AppendVarint(b.tail[:0], int64(len(headers)))
	for _, h := range headers {
		b.tail = append(binary.AppendVarint(b.tail, int64(len(h.Key))), h.Key...)
		b.tail = append(binary.AppendVarint(b.tail, int64(len(h.Value))), h.Value...)
	}
	b.raw = binary.AppendVarint(b.raw, int64(len(b.head)+len(value)+len(b.tail)))
	b.raw = append(append(append(b.raw, b.head...), value...), b.tail...)
	b.n++
}

// Finish fills in the header and gives the bytes of a record set.
func (b *Batch) Finish(now time.Time) []byte {
	be, raw := binary.BigEndian, b.raw[4:]
	be.PutUint32(b.raw, uint32(len(raw)))
	clear(raw[:61])
	be.PutUint32(raw[8:], uint32(len(raw)-12))
	be.PutUint32(raw[12:], ^uint32(0))
	raw[16] = 2
	be.PutUint32(raw[23:], uint32(b.n-1))
	be.PutUint64(raw[27:], uint64(now.UnixMilli()))
	be.PutUint64(raw[35:], uint64(now.UnixMilli()))
	for i := 43; i < 57; i++ {
		raw[i] = 0xff // no producer id, epoch, sequence
	}
	be.PutUint32(raw[57:], uint32(b.n))
	be.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.raw
}
