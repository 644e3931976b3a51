package kafka

import (
	"encoding/binary"
	"hash/crc32"

	"weir/schemas"
)

// A record batch of Kafka (version 2) begins with these 61 bytes, big endian:
//
//	 0 base offset        21 attributes          43 producer id
//	 8 length from 12 on  23 last offset delta   51 producer epoch
//	12 leader epoch       27 first timestamp     53 base sequence
//	16 version (2)        35 max timestamp       57 records
//	17 CRC-32C from 21 on
//
// Client libraries write -1 for the producer or count on their own, and kafka-go's decoder drops the last offset delta and the
// max timestamp, which a compacted topic and LogAppendTime need; hence both are written here.
const batchHeader = 61

const (
	attrCompression   = 7
	attrLogAppendTime = 8
	attrTransactional = 16
	attrControl       = 32
)

// castagnoli is the polynomial of the batches' CRC; crc32 keeps its table.
func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// writer says who writes a batch. An idempotent producer numbers its batches; without one all three are -1.
type writer struct {
	id       int64
	epoch    int16
	sequence int32
}

// recordSize is the most bytes that a message takes in a batch.
func recordSize(m *schemas.Message) int {
	n := len(m.Key) + len(m.Value) + 7*binary.MaxVarintLen32
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + 2*binary.MaxVarintLen32
	}
	return n
}

// beginBatch returns an empty batch with room for size bytes of records.
func beginBatch(size int) []byte {
	return make([]byte, batchHeader, batchHeader+size)
}

// appendRecord appends m as record i of a batch.
func appendRecord(b []byte, i int, m *schemas.Message) []byte {
	var head [4 * binary.MaxVarintLen64]byte
	h := append(head[:0], 0, 0) // attributes, timestamp delta
	h = binary.AppendVarint(h, int64(i))
	size := len(h) + nullableSize(m.Key) + nullableSize(m.Value) + varintSize(len(m.Headers))
	for _, x := range m.Headers {
		size += varintSize(len(x.Key)) + len(x.Key) + nullableSize(x.Value)
	}
	b = binary.AppendVarint(b, int64(size))
	b = append(b, h...)
	b = appendNullable(b, m.Key)
	b = appendNullable(b, m.Value)
	b = binary.AppendVarint(b, int64(len(m.Headers)))
	for _, x := range m.Headers {
		b = binary.AppendVarint(b, int64(len(x.Key)))
		b = append(b, x.Key...)
		b = appendNullable(b, x.Value)
	}
	return b
}

// endBatch fills in the header of a batch of n records stamped now (Unix milliseconds).
func endBatch(b []byte, n int, now int64, w writer) []byte {
	be := binary.BigEndian
	be.PutUint64(b[0:], 0)
	be.PutUint32(b[8:], uint32(len(b)-12))
	be.PutUint32(b[12:], ^uint32(0)) // the broker knows the leader epoch
	b[16] = 2
	be.PutUint16(b[21:], 0)
	be.PutUint32(b[23:], uint32(n-1))
	be.PutUint64(b[27:], uint64(now))
	be.PutUint64(b[35:], uint64(now))
	be.PutUint64(b[43:], uint64(w.id))
	be.PutUint16(b[51:], uint16(w.epoch))
	be.PutUint32(b[53:], uint32(w.sequence))
	be.PutUint32(b[57:], uint32(n))
	be.PutUint32(b[17:], castagnoli(b[21:]))
	return b
}

// nullableSize is the encoded size of b: a nil slice is null.
func nullableSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(len(b)) + len(b)
}

func appendNullable(to, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(to, -1)
	}
	return append(binary.AppendVarint(to, int64(len(b))), b...)
}

// varintSize is the size of a non-negative number as a zigzag varint.
func varintSize(n int) int {
	size := 1
	for u := uint64(n) << 1; u >= 0x80; u >>= 7 {
		size++
	}
	return size
}
