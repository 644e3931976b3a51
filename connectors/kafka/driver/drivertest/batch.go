package drivertest

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka/driver"
)

// batch is a record batch in the making. It is encoded by another library than the connector's own encoder.
type batch struct {
	values   []string
	stamp    int64            // Unix milliseconds; 0: now
	is       *driver.Identity // nil: nobody
	sequence int32
}

func encode(b batch) []byte {
	if b.stamp == 0 { // records of long ago are deleted, and make a new segment, where an answer ends
		b.stamp = time.Now().UnixMilli()
	}
	rb := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(len(b.values) - 1), FirstTimestamp: b.stamp, MaxTimestamp: b.stamp,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(b.values))}
	if b.is != nil {
		rb.ProducerID, rb.ProducerEpoch, rb.FirstSequence = b.is.ID, b.is.Epoch, b.sequence
	}
	for i, v := range b.values {
		r := kmsg.Record{OffsetDelta: int32(i), Value: []byte(v)}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // its own length takes a byte while it is 0
		rb.Records = r.AppendTo(rb.Records)
	}
	raw := rb.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

const controlBatch = 1 << 5

// decode reads whole batches, the last of which may be cut short.
func decode(t testing.TB, raw []byte) (all []kmsg.RecordBatch) {
	t.Helper()
	for len(raw) >= 12 {
		n := 12 + int(binary.BigEndian.Uint32(raw[8:]))
		if n > len(raw) {
			break
		}
		var rb kmsg.RecordBatch
		if err := rb.ReadFrom(raw[:n]); err != nil {
			t.Fatalf("batch of %d bytes: %v", n, err)
		}
		if got := int32(crc32.Checksum(raw[21:n], crc32.MakeTable(crc32.Castagnoli))); got != rb.CRC {
			t.Errorf("batch at %d: checksum %x, want %x", rb.FirstOffset, got, rb.CRC)
		}
		all, raw = append(all, rb), raw[n:]
	}
	return all
}

// values are those of the records that a consumer sees.
func values(t testing.TB, raw []byte) (out []string) {
	t.Helper()
	for _, rb := range decode(t, raw) {
		if rb.Attributes&controlBatch != 0 {
			continue
		}
		for b := rb.Records; len(b) > 0; {
			size, n := binary.Varint(b)
			var r kmsg.Record
			if err := r.ReadFrom(b[:n+int(size)]); err != nil {
				t.Fatalf("record of %d bytes: %v", size, err)
			}
			out, b = append(out, string(bytes.Clone(r.Value))), b[n+int(size):]
		}
	}
	return out
}
