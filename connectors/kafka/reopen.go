package kafka

import (
	"context"
	"errors"
	"time"

	"weir/connectors/kafka/driver"
	"weir/pipeline"
)

const (
	reopenAfter = 100 * time.Millisecond
	reopenMost  = 5 * time.Second
)

// run owns the partition, again after each error, until no more may be taken.
func (s *shard) run() {
	for wait := (&backoff{next: reopenAfter, most: reopenMost}); ; {
		before := s.place.offset
		if s.locate() != nil {
			return
		}
		if s.place.offset > before {
			wait.next = reopenAfter
		}
		err := s.own()
		if err == nil || s.lost.Load() {
			return
		}
		if remade(err) {
			s.recommit()
		}
		if g := s.m.newest(); !g.over() {
			s.m.commitNow([]*shard{s})
		}
		s.close()
		if pipeline.IsPermanent(err) {
			s.m.stop(err)
			return
		}
		s.m.Events.reopened(s.m.Topic, s.id, err)
		if s.pause(err, wait) != nil {
			return
		}
	}
}

// locate finds where to open: the group's committed offset, once a generation says that the partition is
// ours. Whoever owned it before commits nothing any more then.
func (s *shard) locate() error {
	first := s.places
	s.places = nil
	for {
		g, err := s.m.living(s.taking, nil)
		if err != nil {
			return err
		}
		var places map[int32]commitment
		if first != nil {
			places, err = first()
			first = nil
		} else {
			places, err = s.m.committed(g.ctx, []int32{s.id})
		}
		if err == nil {
			s.place = places[s.id]
			return nil
		}
	}
}

// pause waits until a partition that failed may be opened again.
func (s *shard) pause(err error, wait *backoff) error {
	switch {
	case superseded(err):
		return s.park()
	case miscounted(err) && wait.next == reopenAfter: // and not again and again
		wait.next = 2 * reopenAfter
		return s.taking.Err()
	default:
		return wait.sleep(s.taking)
	}
}

// park waits after another process has taken the partition over. If the group gave it to that one we will
// hear of it: with the next generation, which we learn of within a session. If not, a process that slept has
// woken up and has not heard yet that it lost the partition, and then it is for us to take it back.
func (s *shard) park() error {
	ctx, cancel := context.WithTimeout(s.taking, s.m.Session)
	defer cancel()
	_, _ = s.m.living(ctx, s.m.newest())
	return s.taking.Err()
}

// superseded says whether a write was refused because of a newer epoch.
func superseded(err error) bool {
	return errors.Is(err, driver.InvalidProducerEpoch) || errors.Is(err, driver.ProducerFenced)
}

// miscounted says whether the broker has lost the state of our writer, or we have; nobody took over.
func miscounted(err error) bool {
	return errors.Is(err, driver.OutOfOrderSequenceNumber) || errors.Is(err, driver.UnknownProducerID) ||
		errors.Is(err, driver.InvalidProducerIDMapping)
}
