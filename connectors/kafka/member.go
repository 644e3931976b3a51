package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/connectors/kafka/driver"
	"weir/pipeline"
)

// leaveWithin is how long after the drain the source may take to leave its group.
const leaveWithin = 300 * time.Millisecond

// A member is one Run of a source. The group's generations come and go, and say which partitions are ours;
// the shards that work on these live beside them.
type member struct {
	Source
	open openFunc
	f    *fetcher

	// work lives until the deliveries must end, taking only until no more may begin.
	work, taking context.Context
	cancelWork   context.CancelFunc
	stopTaking   context.CancelFunc
	running      sync.WaitGroup // shards

	commits sync.Mutex // one commit at a time; also held while an owner is closed
	fault   sync.Once
	err     error // no retry can mend it

	mu      sync.Mutex
	gen     *generation               // the newest, nil before the first
	changed chan struct{}             // closed and replaced when gen changes
	shards  map[int32]*shard          // the partitions that are ours
	ended   map[int32]<-chan struct{} // by partition: closed once its last shard's owner is
}

func newMember(ctx context.Context, s *Source, open openFunc) *member {
	m := &member{Source: s.defaults(), open: open, changed: make(chan struct{}),
		shards: map[int32]*shard{}, ended: map[int32]<-chan struct{}{}}
	m.work, m.cancelWork = context.WithCancel(context.WithoutCancel(ctx))
	m.taking, m.stopTaking = context.WithCancel(m.work)
	m.f = newFetcher(m.taking, m.Client, m.Topic, &m.Events)
	return m
}

// run is a member of the group until ctx ends or something fails for good.
func (m *member) run(ctx context.Context) error {
	defer m.cancelWork()
	group, err := m.join()
	if err != nil {
		return fmt.Errorf("kafka: group %s: %w", m.Group, err)
	}
	var loops sync.WaitGroup
	loops.Go(func() { m.follow(group) })
	loops.Go(m.commitLoop)
	loops.Go(m.watch)
	select {
	case <-ctx.Done():
	case <-m.taking.Done(): // a fault
	}
	m.stopTaking()
	m.drain(m.owned())
	m.leave(group)
	loops.Wait()
	m.running.Wait()
	m.f.join()
	return m.err
}

func (m *member) join() (driver.Group, error) {
	return m.Client.cluster.Join(driver.GroupOptions{Group: m.Group, Topic: m.Topic, Balancer: sticky{m.Digest, m.claim},
		Session: m.Session, Heartbeat: m.Heartbeat, Rebalance: m.Rebalance, Backoff: m.JoinBackoff})
}

// follow goes through the generations of the group until it is left.
func (m *member) follow(group driver.Group) {
	for {
		next, err := group.Next(m.work)
		switch {
		case err == nil:
			m.generation(next)
		case errors.Is(err, driver.ErrLeft), m.work.Err() != nil:
			return
		default: // the driver has its own pause
			m.failed(err)
		}
	}
}

// failed judges a failure to join.
func (m *member) failed(err error) {
	err = fmt.Errorf("kafka: group %s: %w", m.Group, readable(err))
	switch {
	case errors.Is(err, driver.InconsistentGroupProtocol):
		m.Events.refused(err)
	case errors.Is(err, driver.InvalidSessionTimeout):
		m.stop(pipeline.Permanent(fmt.Errorf("%w: the broker's group.min.session.timeout.ms is above %v", err, m.Session)))
	case errors.Is(err, driver.GroupAuthorizationFailed), errors.Is(err, driver.TopicAuthorizationFailed):
		m.stop(pipeline.Permanent(err))
	default:
		m.Events.retry(err)
	}
}

// stop ends the source with an error.
func (m *member) stop(err error) {
	m.fault.Do(func() {
		m.err = err
		m.stopTaking()
	})
}

// drain gives deliveries time to end, commits them and closes the owners.
func (m *member) drain(shards []*shard) {
	for _, s := range shards {
		s.stopTaking()
	}
	last := time.AfterFunc(m.Drain, func() {
		for _, s := range shards {
			s.cancelWork()
		}
	})
	for _, s := range shards {
		<-s.ended
	}
	last.Stop()
	m.commitNow(shards)
	for _, s := range shards {
		s.close()
	}
}

// leave leaves the group; or else the others would wait for the session.
func (m *member) leave(group driver.Group) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.work), leaveWithin)
	defer cancel()
	group.Leave(ctx)
}
