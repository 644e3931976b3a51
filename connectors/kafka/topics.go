package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/connectors/kafka/driver"
)

// topics is what the client knows of the topics that it uses: their partitions' leaders. An entry is asked
// for again after an error told that it may be wrong, and when it is older than a few seconds.
type topics struct {
	c     *Client
	mu    sync.Mutex
	known map[string]*topic
	turn  map[string]uint32 // round robin of records without a key

	asking chan struct{} // held by the one that asks a broker: the others wait for its answer
}

type topic struct {
	leaders []int32 // by partition; -1: has none now
	at      time.Time
}

// leadersFor is how long leaders are believed without a sign that they changed; partitions that were added
// are noticed as late. surelyFor is how long an answer is believed in spite of errors: the hundred partitions
// of a broker that died must not ask a hundred times.
const (
	leadersFor = 5 * time.Second
	surelyFor  = 50 * time.Millisecond
)

func (t *topics) init(c *Client) {
	t.c, t.known, t.turn, t.asking = c, map[string]*topic{}, map[string]uint32{}, make(chan struct{}, 1)
}

// get returns a topic's leaders. It fails with *UnknownTopicError without trying again.
func (t *topics) get(ctx context.Context, name string) (*topic, error) {
	if k := t.cached(name); k != nil {
		return k, nil
	}
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if k := t.cached(name); k != nil {
		return k, nil
	}
	m, err := t.c.metadata(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	k, err := describe(m, name)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.known[name] = k
	t.mu.Unlock()
	return k, nil
}

func (t *topics) cached(name string) *topic {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.known[name]; k != nil && time.Since(k.at) < leadersFor {
		return k
	}
	return nil
}

// leader returns the broker that leads a partition.
func (t *topics) leader(ctx context.Context, name string, partition int32) (int32, error) {
	k, err := t.get(ctx, name)
	if err != nil {
		return -1, err
	}
	if partition < 0 || int(partition) >= len(k.leaders) {
		return -1, fmt.Errorf("kafka: topic %s has %d partitions, no partition %d: %w",
			name, len(k.leaders), partition, driver.UnknownTopicOrPartition)
	}
	if k.leaders[partition] < 0 {
		t.forget(name)
		return -1, fmt.Errorf("kafka: %s/%d: %w", name, partition, driver.LeaderNotAvailable)
	}
	return k.leaders[partition], nil
}

// forget makes the next question about a topic go to a broker, after an error or a change.
func (t *topics) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.known[name]; k != nil && time.Since(k.at) > surelyFor {
		delete(t.known, name)
	}
}

// rotate returns 0, 1, 2, … for one topic.
func (t *topics) rotate(name string) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.turn[name]
	t.turn[name] = n + 1
	return n
}

func describe(m driver.Metadata, name string) (*topic, error) {
	for _, t := range m.Topics {
		if t.Name != name {
			continue
		}
		switch {
		case t.Err == nil, errors.Is(t.Err, driver.LeaderNotAvailable): // told again by partition
		case errors.Is(t.Err, driver.UnknownTopicOrPartition), errors.Is(t.Err, driver.UnknownTopicID):
			return nil, &UnknownTopicError{name}
		default:
			return nil, fmt.Errorf("kafka: topic %s: %w", name, t.Err)
		}
		return &topic{leaders: t.Leaders, at: time.Now()}, nil
	}
	return nil, &UnknownTopicError{name}
}

// metadata asks any broker about topics; none are named: about the brokers alone.
func (c *Client) metadata(ctx context.Context, names []string) (driver.Metadata, error) {
	return c.metadataFrom(ctx, driver.AnyBroker, names)
}

func (c *Client) metadataFrom(ctx context.Context, broker int32, names []string) (m driver.Metadata, err error) {
	err = c.request(ctx, requestTimeout, func(ctx context.Context) error {
		m, err = c.cluster.Metadata(ctx, broker, names)
		return err
	})
	return m, err
}
