package kafka

import (
	"errors"
	"fmt"
	"math"
)

// RemadeError says that a topic was deleted and made anew while it was in use: its offsets begin again.
type RemadeError struct {
	Topic     string
	Partition int32
	Was, Is   int64 // the offset that was to come, and that which came
}

// Error implements error.
func (e *RemadeError) Error() string {
	return fmt.Sprintf("kafka: %s/%d was at offset %d and is at %d again: the topic was made anew; what it held is lost", e.Topic, e.Partition, e.Was, e.Is)
}

func remade(err error) bool {
	var e *RemadeError
	return errors.As(err, &e)
}

// begunAgain says that a batch of the lane was stored below the one before.
func (l *lane) begunAgain(base int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fenced() && base >= 0 && base < l.reached {
		return &RemadeError{l.topic, l.partition, l.reached, base}
	}
	return nil
}

// beginAgain leaves the records of a topic that was made anew, for those at offset is. What the outputs hold are
// answers to the old ones, and the new ones have the same offsets: so the commit that follows bears a mark behind
// all of them, and whoever opens the partition there does not take them for answers to the new.
func (s *shard) beginAgain(was, is int64) error {
	s.deliveries.Wait()
	s.owner.Mark(math.MaxInt64) // forgets what it knows of the old ones
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flights, s.prefix, s.committed = nil, is, is-1
	return &RemadeError{s.m.Topic, s.id, was, is}
}

// recommit has the next commit happen although the offset has not grown, for its mark.
func (s *shard) recommit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = min(s.committed, s.prefix-1)
}
