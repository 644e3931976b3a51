package kafka

import (
	"context"
	"fmt"

	"weir/schemas"
)

// Consume reads a topic without a group, from the given offset of each partition on (negative: not that
// partition), and calls each for every record, in order within a partition, from one goroutine. The record
// is valid until each returns. Consume returns nil when ctx ends, or each's error.
func (c *Client) Consume(ctx context.Context, topic string, from []int64, each func(schemas.Record) error) error {
	n, err := c.Partitions(ctx, topic)
	if err != nil {
		return err
	}
	if len(from) > n {
		return fmt.Errorf("kafka: topic %s has %d partitions, not %d", topic, n, len(from))
	}
	reading, cancel := context.WithCancel(ctx)
	f := newFetcher(reading, c, topic, &c.opts.Events)
	defer f.join()
	defer cancel()
	chunks := make(chan chunk, chunksAhead*len(from))
	var cs []*cursor
	for p, offset := range from {
		if offset >= 0 {
			cs = append(cs, newCursor(int32(p), offset, chunks))
		}
	}
	f.read(cs...)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.ctx.Done():
			return errClosed
		case ch := <-chunks:
			err := eachRecord(ch.cursor.partition, ch.batches, ch.from, func(r *schemas.Record) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return each(*r)
			})
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			f.done(ch.cursor)
		}
	}
}
