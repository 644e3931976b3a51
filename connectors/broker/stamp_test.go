package broker

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// batch is a sound batch v2 of no record, stamped by its producer at 1.
func batch() []byte {
	b := make([]byte, batchHeader+3)
	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	be.PutUint16(b[21:], 2) // compressed
	be.PutUint64(b[27:], 1)
	be.PutUint64(b[35:], 1)
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}

func TestStampBatch(t *testing.T) {
	b := batch()
	stampBatch(b, 1234)
	be := binary.BigEndian
	if first, last := be.Uint64(b[27:]), be.Uint64(b[35:]); first != 1234 || last != 1234 {
		t.Errorf("stamps %d to %d, want 1234", first, last)
	}
	if crc32.Checksum(b[21:], castagnoli) != be.Uint32(b[17:]) {
		t.Error("the checksum is wrong")
	}
}

func TestStampBatchLeavesDamage(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"checksum": func(b []byte) []byte { b[63]++; return b },
		"short":    func(b []byte) []byte { return b[:batchHeader-1] },
		"empty":    func([]byte) []byte { return nil },
		"length":   func(b []byte) []byte { return append(b, 0) },
		"magic":    func(b []byte) []byte { b[16] = 1; return b },
	} {
		b := damage(batch())
		was := bytes.Clone(b)
		if stampBatch(b, 1234); !bytes.Equal(b, was) {
			t.Errorf("%s: a damaged batch was changed", name)
		}
	}
}
