package floor

import (
	"context"
	"errors"
	"fmt"
	"io"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"weir/schemas"
)

// A poll is what one fetch brought, by partition. Its memory is used again.
type poll struct {
	parts [][]schemas.Record
	bytes []byte
}

// fetch keeps one poll ahead of the answers.
func (l *Loop) fetch(ctx context.Context, next []int64, out chan<- *poll, spare <-chan *poll) error {
	for {
		m, err := l.client.Transport.RoundTrip(ctx, l.client.Addr, l.request(next))
		if err != nil {
			return fmt.Errorf("floor: fetch: %w", err)
		}
		var p *poll
		select {
		case p = <-spare:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := p.read(m.(*fetch.Response), next); err != nil {
			return err
		}
		select {
		case out <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *Loop) request(next []int64) *fetch.Request {
	parts := make([]fetch.RequestPartition, len(next))
	for p, from := range next {
		parts[p] = fetch.RequestPartition{Partition: int32(p), CurrentLeaderEpoch: -1, FetchOffset: from,
			LogStartOffset: -1, PartitionMaxBytes: fetchBytes}
	}
	return &fetch.Request{ReplicaID: -1, MaxWaitTime: 500, MinBytes: 1, MaxBytes: 16 << 20, SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{Topic: l.In, Partitions: parts}}}
}

// read copies the records out of kafka-go's pages and moves next behind them.
func (p *poll) read(res *fetch.Response, next []int64) error {
	p.bytes = p.bytes[:0]
	for i := range p.parts {
		p.parts[i] = p.parts[i][:0]
	}
	for _, part := range res.Topics[0].Partitions {
		if part.ErrorCode != 0 {
			return fmt.Errorf("floor: fetch: %w", kafkago.Error(part.ErrorCode))
		}
		if part.RecordSet.Records == nil {
			continue
		}
		for {
			r, err := part.RecordSet.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("floor: fetch: %w", err)
			}
			if err := p.add(part.Partition, r, next); err != nil {
				return fmt.Errorf("floor: fetch: %w", err)
			}
		}
	}
	return nil
}

func (p *poll) add(partition int32, r *protocol.Record, next []int64) error {
	key, err := p.copy(r.Key)
	if err != nil {
		return err
	}
	value, err := p.copy(r.Value)
	if err != nil || r.Offset < next[partition] { // a batch comes whole, also when it begins before the question
		return err
	}
	next[partition] = r.Offset + 1
	var headers []schemas.Header
	for _, h := range r.Headers {
		headers = append(headers, schemas.Header{Key: h.Key, Value: h.Value})
	}
	p.parts[partition] = append(p.parts[partition], schemas.Record{Partition: partition, Offset: r.Offset, Time: r.Time,
		Key: key, Value: value, Headers: headers})
	return nil
}

// copy copies b behind the poll's other bytes. When those move to a larger array, what was copied before
// stays in the old one.
func (p *poll) copy(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	from, n := len(p.bytes), b.Len()
	if from+n > cap(p.bytes) {
		p.bytes, from = make([]byte, 0, max(2*cap(p.bytes), n, 1<<20)), 0
	}
	p.bytes = p.bytes[:from+n]
	_, err := io.ReadFull(b, p.bytes[from:])
	return p.bytes[from : from+n : from+n], err
}
