package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

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
	set := newConns(m.Client.opts)
	defer set.close()
	group, err := m.join(set)
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
	m.leave(group, set)
	loops.Wait()
	m.running.Wait()
	m.f.join()
	return m.err
}

func (m *member) join(set *conns) (*kafkago.ConsumerGroup, error) {
	return kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID:                    m.Group,
		Brokers:               m.Client.opts.Brokers,
		Topics:                []string{m.Topic},
		Dialer:                &kafkago.Dialer{ClientID: m.Client.opts.ClientID, Timeout: m.Client.opts.DialTimeout, DialFunc: set.DialContext},
		GroupBalancers:        []kafkago.GroupBalancer{sticky{m.Topic, m.Digest, m.claim}},
		HeartbeatInterval:     m.Heartbeat,
		SessionTimeout:        m.Session,
		RebalanceTimeout:      m.Rebalance,
		JoinGroupBackoff:      m.JoinBackoff,
		WatchPartitionChanges: true,
		StartOffset:           kafkago.FirstOffset,
	})
}

// follow goes through the generations of the group until it is left.
func (m *member) follow(group *kafkago.ConsumerGroup) {
	for {
		kg, err := group.Next(m.work)
		switch {
		case err == nil:
			m.generation(kg)
		case errors.Is(err, kafkago.ErrGroupClosed), m.work.Err() != nil:
			return
		default: // kafka-go has its own pause
			m.failed(err)
		}
	}
}

// failed judges a failure to join.
func (m *member) failed(err error) {
	err = fmt.Errorf("kafka: group %s: %w", m.Group, readable(err))
	switch {
	case errors.Is(err, kafkago.InconsistentGroupProtocol):
		m.Events.refused(err)
	case errors.Is(err, kafkago.InvalidSessionTimeout):
		m.stop(pipeline.Permanent(fmt.Errorf("%w: the broker's group.min.session.timeout.ms is above %v", err, m.Session)))
	case errors.Is(err, kafkago.GroupAuthorizationFailed), errors.Is(err, kafkago.TopicAuthorizationFailed):
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

// leave leaves the group. kafka-go waits for requests in flight; a join waits for other members and is broken
// off. Then kafka-go forgets who it was, and the group would wait for its session if we did not say goodbye.
func (m *member) leave(group *kafkago.ConsumerGroup, set *conns) {
	g := m.newest()
	joining := g == nil || g.over()
	if joining {
		set.reset()
	}
	last := time.AfterFunc(leaveWithin, set.close)
	defer last.Stop()
	group.Close()
	if joining && g != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(m.work), leaveWithin)
		defer cancel()
		_, _ = m.Client.kafka.LeaveGroup(ctx, &kafkago.LeaveGroupRequest{GroupID: m.Group,
			Members: []kafkago.LeaveGroupRequestMember{{ID: g.memberID}}}) // or else the session ends by itself
	}
}
