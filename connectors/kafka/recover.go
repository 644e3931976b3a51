package kafka

import (
	"context"
	"errors"
	"time"

	"weir/pipeline"
	"weir/schemas"
)

// keptAtLeast is less than the shortest retention that a spec may ask for, by more than clocks differ.
const keptAtLeast = 30 * time.Second

// recover finds what earlier owners wrote of the records that the next owner of p will be given, from a position of
// the output on; and where the output ends. Retention may have taken what it would have to read: a *LostRangeError,
// unless no answer to such a record can have been there.
func (s *Sink) recover(ctx context.Context, p pipeline.Partition, at place, from int64) (written, int64, error) {
	if p.End == nil {
		return s.scan(ctx, at, from)
	}
	end, err := p.End(ctx)
	if err != nil {
		return nil, 0, err
	}
	if from == pipeline.Unwritten || p.Begin >= end {
		return s.findNothing(ctx, at)
	}
	err = s.forgotten(ctx, at, from)
	if err == nil {
		rows, position, e := s.scan(ctx, at, from)
		if e == nil {
			return rows, position, nil
		}
		err = e
	}
	if lost := (*LostRangeError)(nil); !errors.As(err, &lost) || !s.fresh(ctx, p, end) {
		return nil, 0, err
	}
	accepting := *s
	accepting.AcceptLoss = true
	return accepting.scan(ctx, at, from)
}

// findNothing is a scan of an output in which there can be nothing.
func (s *Sink) findNothing(ctx context.Context, at place) (written, int64, error) {
	end, err := s.Client.listOffsets(ctx, at.topic, []int32{at.partition}, Latest.time())
	if err != nil {
		return nil, 0, err
	}
	s.Events.recovered(at.topic, at.partition, 0)
	return written{}, end[0], nil
}

// forgotten says whether it can no longer be told what an earlier owner answered: the group has no mark of it, and of
// the output's records some were deleted.
func (s *Sink) forgotten(ctx context.Context, at place, from int64) error {
	if from >= 0 || s.AcceptLoss {
		return nil
	}
	first, err := s.Client.listOffsets(ctx, at.topic, []int32{at.partition}, Earliest.time())
	if err != nil || first[0] == 0 {
		return err
	}
	return pipeline.Permanent(&LostRangeError{at.topic, at.partition, 0, first[0]})
}

// errFirst ends the reading at the first record.
var errFirst = errors.New("kafka: the first record")

// fresh says whether none of the records of p below end can have an answer that was deleted: they came a moment ago and
// their answers are younger, or there are none but the markers of take-overs. It believes the stamps of what segments
// wrote alone, as users may stamp queries as they like. Where it cannot tell it says no.
func (s *Sink) fresh(ctx context.Context, p pipeline.Partition, end int64) bool {
	var stamp time.Time
	err := s.Client.read(ctx, place{p.Topic, p.ID}, p.Begin, end, func(r *schemas.Record) error {
		stamp = r.Time
		return errFirst
	})
	if errors.Is(err, errFirst) {
		return s.Fence.Segment > 0 && time.Since(stamp) < keptAtLeast
	}
	return err == nil
}
