package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"pgregory.net/rapid"

	"weir/schemas"
)

func encoded(now time.Time, ms ...schemas.Message) []byte {
	raw := beginBatch(0)
	for i := range ms {
		raw = appendRecord(raw, i, &ms[i])
	}
	return endBatch(raw, len(ms), now.UnixMilli(), writer{-1, -1, -1})
}

var anyBytes = rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))

func anyMessages(t *rapid.T) []schemas.Message {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) schemas.Message {
		m := schemas.Message{Key: anyBytes.Draw(t, "key"), Value: anyBytes.Draw(t, "value")}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			m.Headers = append(m.Headers, schemas.Header{Key: rapid.String().Draw(t, "name"), Value: anyBytes.Draw(t, "header")})
		}
		return m
	}), 1, 20).Draw(t, "messages")
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// kafka-go's decoder reads what our encoder writes, and our decoder reads what kafka-go's encoder writes.
func TestBatchesAgainstKafkaGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := anyMessages(t)
		now := time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "now"))
		raw := encoded(now, ms...)
		size := 0
		for i := range ms {
			size += recordSize(&ms[i])
		}
		if len(raw) > batchHeader+size {
			t.Fatalf("%d bytes, recordSize promised at most %d", len(raw), batchHeader+size)
		}
		var rs protocol.RecordSet
		if _, err := rs.ReadFrom(bytes.NewReader(append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...))); err != nil {
			t.Fatal(err)
		}
		for i := range ms {
			r, err := rs.Records.ReadRecord()
			if err != nil {
				t.Fatal(err)
			}
			key, _ := protocol.ReadAll(r.Key)
			value, _ := protocol.ReadAll(r.Value)
			// kafka-go turns empty keys and values into nil ones; headers keep the difference.
			if !bytes.Equal(key, ms[i].Key) || !bytes.Equal(value, ms[i].Value) || !r.Time.Equal(now) || r.Offset != int64(i) || len(r.Headers) != len(ms[i].Headers) {
				t.Fatalf("record %d: got %q %q %v %d", i, key, value, r.Time, r.Offset)
			}
		}
		if _, err := rs.Records.ReadRecord(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last record: %v", err)
		}
		checkOurs(t, raw, ms, now)
		checkOurs(t, byKafkaGo(t, ms, now, rapid.Int16Range(0, 4).Draw(t, "compression")), ms, now)
	})
}

func byKafkaGo(t *rapid.T, ms []schemas.Message, now time.Time, compression int16) []byte {
	var rs []protocol.Record
	for _, m := range ms {
		r := protocol.Record{Time: now}
		if m.Key != nil {
			r.Key = protocol.NewBytes(m.Key)
		}
		if m.Value != nil {
			r.Value = protocol.NewBytes(m.Value)
		}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, protocol.Header(h))
		}
		rs = append(rs, r)
	}
	var out bytes.Buffer
	set := protocol.RecordSet{Version: 2, Attributes: protocol.Attributes(compression), Records: protocol.NewRecordReader(rs...)}
	if _, err := set.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()[4:]
}

func checkOurs(t *rapid.T, b []byte, ms []schemas.Message, now time.Time) {
	batches, n, next, err := whole(b, 0)
	if err != nil || n != len(ms) || next != int64(n) || len(batches) != len(b) {
		t.Fatalf("whole: %d of %d bytes, %d records up to %d, error %v", len(batches), len(b), n, next, err)
	}
	i := 0
	err = eachRecord(7, batches, 0, func(r *schemas.Record) error {
		if r.Partition != 7 || r.Offset != int64(i) || now.UnixMilli() != 0 && !r.Time.Equal(now) || !same(r.Key, ms[i].Key) || !same(r.Value, ms[i].Value) ||
			!slices.EqualFunc(r.Headers, ms[i].Headers, func(a, b schemas.Header) bool { return a.Key == b.Key && same(a.Value, b.Value) }) {
			t.Fatalf("record %d: got %+v, want %+v", i, r, ms[i])
		}
		i++
		return nil
	})
	if err != nil || i != len(ms) {
		t.Fatalf("%d of %d records, error %v", i, len(ms), err)
	}
}

// edit changes the header of a batch and makes its checksum right again.
func edit(b []byte, change func(b []byte)) []byte {
	change(b)
	binary.BigEndian.PutUint32(b[17:], castagnoli(b[21:]))
	return b
}

func texts(t *testing.T, b []byte, from int64) (out []string) {
	t.Helper()
	err := eachRecord(0, b, from, func(r *schemas.Record) error {
		out = append(out, fmt.Sprintf("%d:%s@%d", r.Offset, r.Value, r.Time.UnixMilli()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhole(t *testing.T) {
	be := binary.BigEndian
	at := func(base int64, values ...string) []byte {
		var ms []schemas.Message
		for _, v := range values {
			ms = append(ms, schemas.Message{Value: []byte(v)})
		}
		return edit(encoded(time.UnixMilli(5), ms...), func(b []byte) { be.PutUint64(b, uint64(base)) })
	}
	control := edit(at(10, "end"), func(b []byte) { be.PutUint16(b[21:], 16|attrControl) })
	// Compaction removed the last three records but keeps the offsets that the batch stood for.
	compacted := edit(at(10, "a", "b"), func(b []byte) { be.PutUint32(b[23:], 4) })
	emptied := edit(at(10), func(b []byte) { be.PutUint32(b[23:], 4) })
	appendTime := edit(at(10, "a"), func(b []byte) { be.PutUint16(b[21:], attrLogAppendTime); be.PutUint64(b[35:], 99) })
	corrupt := at(20, "x")
	corrupt[len(corrupt)-1] ^= 1
	old := at(10, "x")
	old[16] = 1

	for _, x := range []struct {
		name    string
		b       []byte
		from    int64
		records string
		next    int64
		fails   error
	}{
		{"in order", append(at(10, "a", "b"), at(12, "c")...), 10, "[10:a@5 11:b@5 12:c@5]", 13, nil},
		{"begins before", at(10, "a", "b", "c"), 11, "[11:b@5 12:c@5]", 13, nil},
		{"cut short", append(at(10, "a"), at(11, "bbbbbbbbb")[:65]...), 10, "[10:a@5]", 11, nil},
		{"cut in the header", append(at(10, "a"), at(11, "b")[:20]...), 10, "[10:a@5]", 11, nil},
		{"only a cut one", at(10, "aaaaaaaaaa")[:64], 10, "[]", 10, nil},
		{"control", append(control, at(11, "a")...), 10, "[11:a@5]", 12, nil},
		{"control last", append(at(9, "a"), control...), 9, "[9:a@5]", 11, nil},
		{"compacted", compacted, 12, "[]", 15, nil},
		{"emptied", emptied, 10, "[]", 15, nil},
		{"append time", appendTime, 10, "[10:a@99]", 11, nil},
		{"corrupt", append(at(19, "a"), corrupt...), 19, "[19:a@5]", 20, errCorrupt},
		{"corrupt length", edit(at(10, "a"), func(b []byte) { be.PutUint32(b[8:], ^uint32(0)) }), 10, "[]", 10, errCorrupt},
		{"nothing", nil, 3, "[]", 3, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			b, _, next, err := whole(slices.Clone(x.b), x.from)
			if !errors.Is(err, x.fails) {
				t.Errorf("error %v, want %v", err, x.fails)
			}
			if got := fmt.Sprint(texts(t, b, x.from)); got != x.records || next != x.next {
				t.Errorf("got %s up to %d, want %s up to %d", got, next, x.records, x.next)
			}
		})
	}
	if _, _, _, err := whole(old, 10); err == nil {
		t.Error("an old message format: no error")
	}
}

// Whatever arrives, nothing panics and a malformed record is an error.
func TestMalformedRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := encoded(time.Now(), anyMessages(t)...)
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			b[rapid.IntRange(batchHeader-4, len(b)-1).Draw(t, "place")] = rapid.Byte().Draw(t, "byte")
		}
		eachRecord(0, edit(b, func([]byte) {}), 0, func(*schemas.Record) error { return nil })
	})
}

// A small batch may not unpack to gigabytes.
func TestUnpackIsBounded(t *testing.T) {
	var out bytes.Buffer
	rs := protocol.RecordSet{Version: 2, Attributes: protocol.Zstd,
		Records: protocol.NewRecordReader(protocol.Record{Value: protocol.NewBytes(make([]byte, unpackedBytes+1))})}
	if _, err := rs.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	err := eachRecord(0, out.Bytes()[4:], 0, func(*schemas.Record) error { return nil })
	if err == nil {
		t.Errorf("%d bytes unpacked to more than %d", out.Len(), unpackedBytes)
	}
}

// The values are those of Kafka's own tests of its Java client.
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("%s: got %d, want %d", key, got, want)
		}
	}
}
