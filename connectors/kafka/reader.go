package kafka

import (
	"context"
	"errors"
	"fmt"

	"weir/connectors/kafka/driver"

	"weir/schemas"
)

// A Reader reads one partition from an offset up to an end, without a group, when it is asked. It is used from
// one goroutine at a time.
type Reader struct {
	c   *Client
	at  place
	cur *cursor
	end int64
}

// Reader makes a reader of the records from an offset on that lie before end.
func (c *Client) Reader(topic string, partition int32, from, end int64) *Reader {
	return &Reader{c: c, at: place{topic, partition}, cur: newCursor(partition, from, nil), end: end}
}

// Position is the offset behind what was read.
func (r *Reader) Position() int64 { return min(r.cur.next, r.end) }

// Next fetches once and calls each for the records that came, perhaps none. A record is valid until each
// returns. Next returns false where nothing is left to read. It tries a broker that fails until ctx ends.
func (r *Reader) Next(ctx context.Context, each func(*schemas.Record) error) (bool, error) {
	for wait := newBackoff(); r.cur.next < r.end; {
		batches, next, err := r.c.readSome(ctx, r.at, r.cur)
		if err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if !retriable(err) {
				return false, fmt.Errorf("kafka: read %s/%d: %w", r.at.topic, r.at.partition, readable(err))
			}
			r.c.topics.forget(r.at.topic)
			r.c.opts.Events.retry(fmt.Errorf("kafka: read %s/%d: %w", r.at.topic, r.at.partition, readable(err)))
			if err := wait.sleep(ctx); err != nil {
				return false, err
			}
			continue
		}
		if len(batches) == 0 && next == r.cur.next {
			r.cur.bytes = min(2*r.cur.bytes, growBytes)
			continue
		}
		from := r.cur.next
		r.cur.next = next
		return true, eachRecord(r.at.partition, batches, from, func(rec *schemas.Record) error {
			if rec.Offset >= r.end {
				return nil
			}
			return each(rec)
		})
	}
	return false, nil
}

// Committed returns the offsets that a group has committed of a topic, by partition; -1 where there is none.
func (c *Client) Committed(ctx context.Context, group, topic string) ([]int64, error) {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	offsets, all := make([]int64, n), make([]int32, n)
	for i := range offsets {
		offsets[i], all[i] = -1, int32(i)
	}
	err = c.retry(ctx, func() error {
		var found map[int32]driver.Committed
		err := c.request(ctx, requestTimeout, func(ctx context.Context) (err error) {
			found, err = c.cluster.Committed(ctx, group, topic, all)
			return err
		})
		if errors.Is(err, driver.GroupIDNotFound) { // some brokers say so of a group that committed nothing
			return nil
		}
		for id, at := range found {
			offsets[id] = at.Offset
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: committed offsets of group %s: %w", group, err)
	}
	return offsets, nil
}

// Origins calls each for the rows that a record's header names, in the order of the record's rows, and says
// whether there is such a header.
func Origins(r *schemas.Record, each func(offset int64, row, epoch int32)) (bool, error) {
	for _, h := range r.Headers {
		if h.Key == OriginHeader {
			_, runs, err := versionOf(h.Value)
			if err != nil {
				return true, err
			}
			return true, eachOrigin(runs, each)
		}
	}
	return false, nil
}
