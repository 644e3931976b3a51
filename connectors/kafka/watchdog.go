package kafka

import (
	"context"
	"fmt"
	"time"
)

// StalledError says that a partition made no progress for a while although records wait in it.
type StalledError struct {
	Topic     string
	Partition int32
	Offset    int64 // that it stands at
	End       int64 // of the partition
	For       time.Duration
}

// Error implements error.
func (e *StalledError) Error() string {
	return fmt.Sprintf("kafka: %s/%d stands at %d for %v, and goes on to %d", e.Topic, e.Partition, e.Offset, e.For.Round(time.Millisecond), e.End)
}

// A standing is where a shard stands, and since when it is known to stand there with records to go.
type standing struct {
	offset int64
	behind time.Time // zero: nothing waits, as far as we know
}

// watch reopens partitions that stand still. It trusts nothing that the shard says but its place: where the
// partition ends it asks the broker, a few times in Stall, and only about partitions that have not moved.
func (m *member) watch() {
	t := time.NewTicker(m.Stall / 3)
	defer t.Stop()
	last := map[*shard]standing{}
	for {
		select {
		case <-m.taking.Done():
			return
		case now := <-t.C:
			last = m.look(now, last)
		}
	}
}

// look compares where the shards stand with the last time, and tells those that stand still to begin again.
func (m *member) look(now time.Time, last map[*shard]standing) map[*shard]standing {
	next := map[*shard]standing{}
	var idle []*shard
	var ids []int32
	for _, s := range m.owned() {
		at, open := s.standsAt()
		if !open {
			continue
		}
		before, known := last[s]
		if known && before.offset == at {
			next[s] = before
			idle, ids = append(idle, s), append(ids, s.id)
		} else {
			next[s] = standing{offset: at}
		}
	}
	if len(idle) == 0 {
		return next
	}
	ctx, cancel := context.WithTimeout(m.taking, m.Stall/3)
	defer cancel()
	ends, err := m.Client.listOffsets(ctx, m.Topic, ids, stableEnd)
	if err != nil {
		return next // while the broker is away nothing can move
	}
	for i, s := range idle {
		at := next[s]
		switch {
		case ends[i] <= at.offset:
			at.behind = time.Time{}
		case at.behind.IsZero():
			at.behind = now
		case now.Sub(at.behind) >= m.Stall:
			s.fail(&StalledError{m.Topic, s.id, at.offset, ends[i], now.Sub(at.behind)})
			at.behind = now
		}
		next[s] = at
	}
	return next
}

// standsAt is the end of the finished prefix, of a shard that is open.
func (s *shard) standsAt() (offset int64, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prefix, s.owner != nil
}
