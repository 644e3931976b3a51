package ownership

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"weir/connectors/kafka"
	"weir/schemas"
)

// A Log follows a pipeline's state topic. It is safe for concurrent use.
type Log struct {
	client *kafka.Client
	topic  string
	cancel context.CancelFunc
	follow errgroup.Group

	mu      sync.Mutex
	state   State
	next    int64         // offset behind what was read
	changed chan struct{} // closed and replaced with each record
}

// Open reads the topic to its end and follows it until Close.
func Open(ctx context.Context, client *kafka.Client, topic string) (*Log, error) {
	l := &Log{client: client, topic: topic, changed: make(chan struct{})}
	if err := l.load(ctx); err != nil {
		return nil, fmt.Errorf("ownership: read topic %s: %w", topic, err)
	}
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	from := []int64{l.next}
	l.follow.Go(func() error {
		return client.Consume(ctx, topic, from, func(r schemas.Record) error {
			l.take(&r)
			return nil
		})
	})
	return l, nil
}

func (l *Log) load(ctx context.Context) error {
	first, err := l.client.Offsets(ctx, l.topic, kafka.Earliest)
	if err != nil {
		return err
	}
	end, err := l.client.End(ctx, l.topic)
	if err != nil {
		return err
	}
	l.next = end[0]
	for r, more := l.client.Reader(l.topic, 0, first[0], end[0]), true; more; {
		more, err = r.Next(ctx, func(rec *schemas.Record) error {
			l.state = l.state.with(rec.Key, rec.Value)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) take(r *schemas.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = l.state.with(r.Key, r.Value)
	l.next = r.Offset + 1
	close(l.changed)
	l.changed = make(chan struct{})
}

// Close ends the following.
func (l *Log) Close() error {
	l.cancel()
	return l.follow.Wait()
}

// now is what the topic says, and what is closed when it says more.
func (l *Log) now() (State, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.changed
}

// write appends records, all at once, and returns when this log has read them.
func (l *Log) write(ctx context.Context, records ...schemas.Message) error {
	base, err := l.client.Produce(ctx, l.topic, 0, records)
	if err != nil {
		return err
	}
	for {
		l.mu.Lock()
		next, changed := l.next, l.changed
		l.mu.Unlock()
		if next >= base+int64(len(records)) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
