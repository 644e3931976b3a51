package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"weir/pipeline"
	"weir/schemas"
)

// Source reads a topic as a member of a consumer group. Every partition assigned to it gets an owner, and
// several deliveries of a partition are in flight. It implements pipeline.Source.
//
// What waits in a partition goes into one delivery, up to MaxRows and MaxBytes: an idle partition's query
// leaves alone and at once, a backlog leaves in large batches, and no timer decides. Committed is the end of
// the longest finished prefix, so that a crash repeats rows but never loses one.
type Source struct {
	Client *Client
	Topic  string
	Group  string
	// NewDecoder makes a partition's decoder.
	NewDecoder func(partition int32) schemas.Decoder

	// MaxRows and MaxBytes bound a delivery. Default 256 rows, 1 MiB.
	MaxRows, MaxBytes int
	// Deliveries bounds how many deliveries of a partition are not yet routed. Default 2: one that is with a
	// model and one that is behind or before it. What comes meanwhile goes into the next one.
	Deliveries int
	// InFlightRows and InFlightBytes bound what a partition has delivered but not yet routed. Default 4096
	// rows, 16 MiB.
	InFlightRows, InFlightBytes int
	// CommitEvery is how often finished prefixes are committed. Default 200ms.
	CommitEvery time.Duration
	// Drain is how long deliveries may go on once their partition is to be given back. Default 1.2s, so that
	// leaving takes less than two.
	Drain time.Duration
	// Session is how long a member that died keeps its partitions; Heartbeat is how soon the others learn
	// of a new member; Rebalance is how long they have to join again; JoinBackoff is the pause after a
	// failure to join. Default 6s, 300ms, 10s, 200ms.
	Session, Heartbeat, Rebalance, JoinBackoff time.Duration
	// Events are told of what the source does.
	Events Events
}

var _ pipeline.Source = (*Source)(nil)

// leaveWithin is how long after the drain the source may take to leave its group.
const leaveWithin = 300 * time.Millisecond

type openFunc = func(context.Context, pipeline.Partition) (pipeline.Owner, error)

func or[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// defaults returns a copy with all bounds set.
func (s *Source) defaults() Source {
	d := *s
	or(&d.MaxRows, 256)
	or(&d.MaxBytes, 1<<20)
	or(&d.Deliveries, 2)
	or(&d.InFlightRows, 4096)
	or(&d.InFlightBytes, 16<<20)
	or(&d.CommitEvery, 200*time.Millisecond)
	or(&d.Drain, 1200*time.Millisecond)
	or(&d.Session, 6*time.Second)
	or(&d.Heartbeat, 300*time.Millisecond)
	or(&d.Rebalance, 10*time.Second)
	or(&d.JoinBackoff, 200*time.Millisecond)
	return d
}

// Run implements pipeline.Source. It begins at the earliest record where the group has committed nothing.
// When ctx ends it stops reading, gives deliveries Drain to finish, commits and leaves the group. A topic
// that does not exist ends it with an *UnknownTopicError.
func (s *Source) Run(ctx context.Context, open func(context.Context, pipeline.Partition) (pipeline.Owner, error)) error {
	if s.Client == nil || s.Topic == "" || s.Group == "" || s.NewDecoder == nil {
		return errors.New("kafka: a source needs a client, a topic, a group and a decoder")
	}
	if _, err := s.Client.Partitions(ctx, s.Topic); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	m := &member{Source: s.defaults(), open: open}
	return m.run(ctx)
}

// member is one Run of a source.
type member struct {
	Source
	open   openFunc
	active atomic.Bool // a generation is running
}

func (m *member) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	set := newConns(m.Client.opts)
	defer set.close()
	group, err := m.join(set)
	if err != nil {
		return fmt.Errorf("kafka: group %s: %w", m.Group, err)
	}
	var leaving sync.WaitGroup
	defer leaving.Wait()
	defer stop()
	leaving.Go(func() {
		<-ctx.Done()
		m.leave(group, set)
	})
	for {
		g, err := group.Next(ctx)
		if ctx.Err() != nil || errors.Is(err, kafkago.ErrGroupClosed) {
			return nil
		}
		if err != nil {
			if err = m.refused(err); err != nil {
				return err
			}
			continue // kafka-go has its own pause
		}
		if err := m.generation(ctx, g); err != nil {
			return err
		}
	}
}

func (m *member) join(set *conns) (*kafkago.ConsumerGroup, error) {
	return kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID:                    m.Group,
		Brokers:               m.Client.opts.Brokers,
		Topics:                []string{m.Topic},
		Dialer:                &kafkago.Dialer{ClientID: m.Client.opts.ClientID, Timeout: m.Client.opts.DialTimeout, DialFunc: set.DialContext},
		HeartbeatInterval:     m.Heartbeat,
		SessionTimeout:        m.Session,
		RebalanceTimeout:      m.Rebalance,
		JoinGroupBackoff:      m.JoinBackoff,
		WatchPartitionChanges: true,
		StartOffset:           kafkago.FirstOffset,
	})
}

// leave leaves the group. kafka-go waits for the running generation, which drains, and for requests in
// flight, such as a join that waits for other members: those are broken off.
func (m *member) leave(group *kafkago.ConsumerGroup, set *conns) {
	patience := m.Drain + leaveWithin
	if !m.active.Load() {
		set.reset()
		patience = leaveWithin
	}
	last := time.AfterFunc(patience, set.close)
	defer last.Stop()
	group.Close()
}

// refused returns an error that trying again cannot mend, nil for any other.
func (m *member) refused(err error) error {
	err = fmt.Errorf("kafka: group %s: %w", m.Group, readable(err))
	switch {
	case errors.Is(err, kafkago.InvalidSessionTimeout):
		return pipeline.Permanent(fmt.Errorf("%w: the broker's group.min.session.timeout.ms is above %v", err, m.Session))
	case errors.Is(err, kafkago.GroupAuthorizationFailed), errors.Is(err, kafkago.TopicAuthorizationFailed):
		return pipeline.Permanent(err)
	}
	m.Events.retry(err)
	return nil
}
