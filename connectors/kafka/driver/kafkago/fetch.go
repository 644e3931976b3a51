package kafkago

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"weir/connectors/kafka/driver"
)

// Fetch implements driver.Log.
func (c *Cluster) Fetch(ctx context.Context, broker int32, f driver.Fetch) ([]driver.Fetched, error) {
	rt := fetch.RequestTopic{Topic: f.Topic, Partitions: make([]fetch.RequestPartition, len(f.Partitions))}
	for i, p := range f.Partitions {
		rt.Partitions[i] = fetch.RequestPartition{Partition: p.Partition, CurrentLeaderEpoch: -1,
			FetchOffset: p.From, LogStartOffset: -1, PartitionMaxBytes: p.MaxBytes}
	}
	req := &fetch.Request{ReplicaID: -1, MaxWaitTime: f.Wait, MinBytes: 1, MaxBytes: f.MaxBytes,
		IsolationLevel: isolation(f.Committed), SessionEpoch: -1, Topics: []fetch.RequestTopic{rt}}
	res, err := send[*fetched](ctx, c, broker, req, readFetched)
	if err == nil {
		err = driver.CodeError(res.code)
	}
	if err != nil {
		return nil, err
	}
	return res.parts, nil
}

// isolation is a request's: committed hides transactions that are open.
func isolation(committed bool) int8 {
	if committed {
		return int8(kafkago.ReadCommitted)
	}
	return int8(kafkago.ReadUncommitted)
}

// fetched is the answer to a fetch request. kafka-go's own decoder copies every value twice, and one batch
// with a wrong checksum fails the partitions beside it; this one only splits the answer.
type fetched struct {
	code  int16
	parts []driver.Fetched
}

// ApiKey implements protocol.Message.
func (*fetched) ApiKey() protocol.ApiKey { return protocol.Fetch }

// answerBytes bounds an answer: more cannot be meant.
const answerBytes = 1 << 30

// readFetched reads an answer of fetch versions 4 to 11.
func readFetched(r io.Reader, version int16) (protocol.Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 4 || size > answerBytes {
		return nil, fmt.Errorf("answer of %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return parseFetched(b[4:], version)
}

func parseFetched(b []byte, version int16) (*fetched, error) {
	d := fields{b: b}
	f := &fetched{}
	d.int32() // throttle time
	if version >= 7 {
		f.code = d.int16()
		d.int32() // session
	}
	for range d.count() {
		d.take(int(d.int16())) // the topic: it was the only one in the request
		for range d.count() {
			p := driver.Fetched{Partition: d.int32(), Err: driver.CodeError(d.int16()), End: d.int64()}
			d.int64() // last stable offset
			if version >= 5 {
				d.int64() // log start offset
			}
			for range d.count() {
				p.Aborted = append(p.Aborted, driver.Aborted{Producer: d.int64(), First: d.int64()})
			}
			if version >= 11 {
				d.int32() // preferred replica
			}
			p.Batches = d.take(int(max(d.int32(), 0)))
			f.parts = append(f.parts, p)
		}
	}
	if d.bad {
		return nil, fmt.Errorf("malformed answer to a fetch")
	}
	return f, nil
}

// fields reads big endian fields; bad is set once there are too few bytes.
type fields struct {
	b   []byte
	bad bool
}

func (d *fields) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *fields) int16() int16 {
	if b := d.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *fields) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *fields) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// count reads the length of an array, whose elements take at least a byte each.
func (d *fields) count() int {
	n := int(d.int32())
	if n > len(d.b) {
		d.bad, n = true, 0
	}
	return max(n, 0)
}
