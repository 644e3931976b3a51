package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"weir/connectors/kafka"
	"weir/schemas"
)

const (
	// maxWaiting bounds, in bytes, what waits for one partition, before Send blocks: seconds of a fast
	// generator, so that an open loop stays open through a short stall of the broker.
	maxWaiting = 32 << 20
	// maxRequest bounds, in bytes of values, one request. Topics take 1 MiB a batch by default; a larger
	// record travels alone.
	maxRequest = 512 << 10
)

// A Publisher sends records to one topic, to each partition in order. It may be used from many goroutines.
type Publisher struct {
	client *kafka.Client
	topic  string
	lanes  []*lane
	acked  atomic.Int64
	done   sync.WaitGroup
	cancel context.CancelFunc
}

// A lane is the queue of one partition, emptied by one goroutine of the Publisher.
type lane struct {
	mu      sync.Mutex
	changed sync.Cond
	waiting []schemas.Message
	bytes   int
	closed  bool
	err     error
}

// NewPublisher finds out the topic's partitions and starts a goroutine for each. They end with Close;
// when ctx ends, what has not been stored is given up.
func NewPublisher(ctx context.Context, client *kafka.Client, topic string) (*Publisher, error) {
	n, err := client.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &Publisher{client: client, topic: topic, cancel: cancel}
	for i := range n {
		l := &lane{}
		l.changed.L = &l.mu
		p.lanes = append(p.lanes, l)
		p.done.Go(func() { p.drain(ctx, int32(i), l) })
	}
	return p, nil
}

// Send queues a record. The partition follows from the key; without one records go round. It keeps m's
// bytes. It blocks while too much waits, and returns the error that ended the partition.
func (p *Publisher) Send(ctx context.Context, m schemas.Message) error {
	partition, err := p.client.PartitionFor(ctx, p.topic, m.Key)
	if err != nil {
		return err
	}
	return p.lanes[partition].put(m)
}

// Acked is the number of records that the broker has stored.
func (p *Publisher) Acked() int64 { return p.acked.Load() }

// Close waits until everything is stored and returns the first error.
func (p *Publisher) Close() error {
	for _, l := range p.lanes {
		l.close()
	}
	p.done.Wait()
	p.cancel()
	var errs []error
	for _, l := range p.lanes {
		errs = append(errs, l.err)
	}
	return errors.Join(errs...)
}

// drain sends whatever waits, one request at a time: while one is under way the next one fills.
func (p *Publisher) drain(ctx context.Context, partition int32, l *lane) {
	for {
		batch := l.take()
		if len(batch) == 0 {
			return
		}
		if _, err := p.client.Produce(ctx, p.topic, partition, batch); err != nil {
			l.fail(fmt.Errorf("publish to %s/%d: %w", p.topic, partition, err))
			return
		}
		p.acked.Add(int64(len(batch)))
	}
}

func (l *lane) put(m schemas.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.bytes > maxWaiting && l.err == nil && !l.closed {
		l.changed.Wait()
	}
	if l.err != nil {
		return l.err
	}
	if l.closed {
		return errors.New("publish: the publisher is closed")
	}
	l.waiting = append(l.waiting, m)
	l.bytes += len(m.Value)
	l.changed.Broadcast()
	return nil
}

// take waits for messages and returns at most a request's worth; none once the lane is closed and empty.
func (l *lane) take() []schemas.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) == 0 && !l.closed {
		l.changed.Wait()
	}
	n, size := 0, 0
	for n < len(l.waiting) && (n == 0 || size+len(l.waiting[n].Value) <= maxRequest) {
		size += len(l.waiting[n].Value)
		n++
	}
	batch := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	l.bytes -= size
	l.changed.Broadcast()
	return batch
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.changed.Broadcast()
}

func (l *lane) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.waiting, l.bytes = err, nil, 0
	l.changed.Broadcast()
}
