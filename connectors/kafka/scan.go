package kafka

import (
	"context"
	"fmt"

	"weir/pipeline"
	"weir/schemas"
)

// scanRows bounds what a new owner remembers of its predecessor. With marks it is what was written since the
// last commit; without any it is the whole topic.
const scanRows = 20_000_000

// LostRangeError says that records were deleted in which a new owner has to look for rows that are finished.
// Going on may answer queries a second time.
type LostRangeError struct {
	Topic     string
	Partition int32
	From, To  int64 // the deleted offsets, To not included
}

// Error implements error.
func (e *LostRangeError) Error() string {
	return fmt.Sprintf("kafka: %s/%d: the records from %d to %d, which tell what was answered before the last stop, were deleted (retention); "+
		"going on may answer queries a second time: accept that with --accept-duplicates, or give the topic a longer retention",
		e.Topic, e.Partition, e.From, e.To-1)
}

// A written row, and the epoch of its prediction.
type written map[rowKey]int32

type rowKey struct {
	offset int64
	row    int32
}

// Has implements pipeline.RowSet.
func (w written) Has(offset int64, row int32) bool {
	_, ok := w[rowKey{offset, row}]
	return ok
}

// Epoch implements pipeline.RowSet.
func (w written) Epoch(offset int64, row int32) int32 { return w[rowKey{offset, row}] }

// scan finds the rows in a partition's records from a position up to its end now, which it returns. -1 begins
// with the earliest record.
func (s *Sink) scan(ctx context.Context, at place, from int64) (written, int64, error) {
	first, err := s.Client.listOffsets(ctx, at.topic, []int32{at.partition}, Earliest.time())
	if err != nil {
		return nil, 0, err
	}
	end, err := s.Client.listOffsets(ctx, at.topic, []int32{at.partition}, Latest.time())
	if err != nil {
		return nil, 0, err
	}
	if from >= 0 && from < first[0] && !s.AcceptLoss {
		return nil, 0, pipeline.Permanent(&LostRangeError{at.topic, at.partition, from, first[0]})
	}
	if from > end[0] {
		from = -1 // the topic was made anew: what the mark spoke of is gone with the old one
	}
	rows, records := written{}, 0
	err = s.Client.read(ctx, at, max(from, first[0]), end[0], func(r *schemas.Record) error {
		records++
		s.note(rows, r)
		if len(rows) > scanRows {
			return pipeline.Permanent(fmt.Errorf("kafka: %s/%d: more than %d rows lie behind the last commit; "+
				"going on without knowing them may answer queries a second time: accept that with --accept-duplicates", at.topic, at.partition, scanRows))
		}
		return nil
	})
	s.Events.recovered(at.topic, at.partition, records)
	return rows, end[0], err
}

// note adds a record's rows. What another segment wrote of a row counts where this one wrote nothing: its epochs
// are not ours. What is malformed was not written by us.
func (s *Sink) note(rows written, r *schemas.Record) {
	for _, h := range r.Headers {
		if h.Key != OriginHeader {
			continue
		}
		version, runs, err := versionOf(h.Value)
		if err != nil {
			return
		}
		_ = eachOrigin(runs, func(offset int64, row, epoch int32) {
			at := rowKey{offset, row}
			if !s.Fence.own(epoch) {
				if _, known := rows[at]; !known {
					rows[at] = pipeline.OtherSegment
				}
				return
			}
			if version != s.Fence.Version {
				epoch = pipeline.OtherVersion
			}
			rows[at] = epoch
		})
	}
}

// read calls each for the records of a partition from an offset up to an end.
func (c *Client) read(ctx context.Context, at place, from, end int64, each func(*schemas.Record) error) error {
	r := c.Reader(at.topic, at.partition, from, end)
	for {
		if more, err := r.Next(ctx, each); err != nil || !more {
			return err
		}
	}
}

// readSome is one fetch of one partition.
func (c *Client) readSome(ctx context.Context, at place, cur *cursor) (batches []byte, next int64, err error) {
	leader, err := c.topics.leader(ctx, at.topic, at.partition)
	if err != nil {
		return nil, 0, err
	}
	parts, err := c.fetch(ctx, leader, at.topic, []*cursor{cur}, longPoll, false)
	if err != nil {
		return nil, 0, err
	}
	for _, p := range parts {
		if p.Partition != at.partition {
			continue
		}
		if p.Err != nil {
			return nil, 0, p.Err
		}
		batches, _, next, err := whole(p.Batches, cur.next)
		return batches, next, err
	}
	return nil, 0, fmt.Errorf("the broker's answer lacks the partition")
}
