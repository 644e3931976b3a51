package kafka

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/connectors/kafka/driver"
)

// Start is a place in every partition of a topic: Earliest, Latest, At a time, or Exactly an offset.
type Start int64

const (
	// Latest is the end of a partition, where the next record will be.
	Latest = Start(driver.End)
	// Earliest is the first record that still exists.
	Earliest = Start(driver.First)
)

// At is the first record stamped at t or later, the end where there is none.
func At(t time.Time) Start { return math.MinInt64 + Start(t.UnixMilli()) }

// Exactly is offset n, moved into what the partition holds.
func Exactly(n int64) Start { return Start(max(n, 0)) }

// time is the timestamp of a ListOffsets request.
func (s Start) time() int64 {
	if s < Earliest {
		return int64(s - math.MinInt64)
	}
	return int64(s)
}

// Offsets returns the offset of a place by partition.
func (c *Client) Offsets(ctx context.Context, topic string, at Start) ([]int64, error) {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	if at >= 0 {
		return c.within(ctx, topic, all, int64(at))
	}
	offsets, err := c.listOffsets(ctx, topic, all, at.time())
	if err != nil || at >= Earliest {
		return offsets, err
	}
	end, err := c.listOffsets(ctx, topic, all, Latest.time())
	for i, o := range offsets {
		if o < 0 && err == nil {
			offsets[i] = end[i]
		}
	}
	return offsets, err
}

// End returns the offset that the next record of each partition will have.
func (c *Client) End(ctx context.Context, topic string) ([]int64, error) {
	return c.Offsets(ctx, topic, Latest)
}

// within moves offset into what each partition holds.
func (c *Client) within(ctx context.Context, topic string, partitions []int32, offset int64) ([]int64, error) {
	first, err := c.listOffsets(ctx, topic, partitions, Earliest.time())
	if err != nil {
		return nil, err
	}
	end, err := c.listOffsets(ctx, topic, partitions, Latest.time())
	for i := range first {
		if err == nil {
			first[i] = min(max(offset, first[i]), end[i])
		}
	}
	return first, err
}

// listOffsets asks the leaders of some partitions, one request each, until all have answered.
func (c *Client) listOffsets(ctx context.Context, topic string, partitions []int32, stamp int64) ([]int64, error) {
	offsets := make(map[int32]int64, len(partitions))
	err := c.retry(ctx, func() error {
		byLeader := map[int32][]int32{}
		for _, p := range partitions {
			if _, ok := offsets[p]; ok {
				continue
			}
			l, err := c.topics.leader(ctx, topic, p)
			if err != nil {
				return err
			}
			byLeader[l] = append(byLeader[l], p)
		}
		var mu sync.Mutex
		var g errgroup.Group
		for leader, ps := range byLeader {
			g.Go(func() error { return c.listFrom(ctx, leader, topic, ps, stamp, &mu, offsets) })
		}
		return g.Wait()
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: offsets of topic %s: %w", topic, err)
	}
	out := make([]int64, len(partitions))
	for i, p := range partitions {
		out[i] = offsets[p]
	}
	return out, nil
}

// stableEnd asks listOffsets for the end of what sources may read: a transaction that is open hides what follows.
const stableEnd = math.MinInt64

func (c *Client) listFrom(ctx context.Context, leader int32, topic string, ps []int32, stamp int64,
	mu *sync.Mutex, offsets map[int32]int64) error {
	q := driver.OffsetQuery{Topic: topic, Partitions: ps, Time: stamp}
	if stamp == stableEnd {
		q.Time, q.Committed = driver.End, true
	}
	var found []driver.Offset
	err := c.request(ctx, requestTimeout, func(ctx context.Context) (err error) {
		found, err = c.cluster.Offsets(ctx, leader, q)
		return err
	})
	if err != nil {
		c.topics.forget(topic)
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	for _, o := range found {
		if o.Err != nil {
			c.topics.forget(topic)
			err = fmt.Errorf("partition %d: %w", o.Partition, o.Err)
			continue
		}
		offsets[o.Partition] = o.Offset
	}
	return err
}
