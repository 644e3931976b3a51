package kafkago

import (
	"context"
	"errors"
	"slices"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/leavegroup"

	"weir/connectors/kafka/driver"
)

// group is a membership that kafka-go's ConsumerGroup keeps, on connections of its own.
type group struct {
	c    *Cluster
	name string
	kg   *kafkago.ConsumerGroup
	set  *conns

	mu   sync.Mutex
	last *driver.Generation // nil before the first
}

// Join implements driver.Groups.
func (c *Cluster) Join(o driver.GroupOptions) (driver.Group, error) {
	set := newConns(c.o)
	context.AfterFunc(c.ctx, set.close)
	kg, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID:                    o.Group,
		Brokers:               c.o.Brokers,
		Topics:                []string{o.Topic},
		Dialer:                &kafkago.Dialer{ClientID: c.o.ClientID, Timeout: c.o.DialTimeout, DialFunc: set.DialContext},
		GroupBalancers:        []kafkago.GroupBalancer{balancer{o.Topic, o.Balancer}},
		HeartbeatInterval:     o.Heartbeat,
		SessionTimeout:        o.Session,
		RebalanceTimeout:      o.Rebalance,
		JoinGroupBackoff:      o.Backoff,
		WatchPartitionChanges: true,
		StartOffset:           kafkago.FirstOffset,
	})
	if err != nil {
		return nil, err
	}
	return &group{c: c, name: o.Group, kg: kg, set: set}, nil
}

// Next implements driver.Group.
func (g *group) Next(ctx context.Context) (*driver.Generation, error) {
	kg, err := g.kg.Next(ctx)
	switch {
	case errors.Is(err, kafkago.ErrGroupClosed):
		return nil, driver.ErrLeft
	case err != nil:
		return nil, coded(err)
	}
	over, released := make(chan struct{}), make(chan struct{})
	next := &driver.Generation{ID: kg.ID, Member: kg.MemberID, Over: over, Release: sync.OnceFunc(func() { close(released) })}
	for _, as := range kg.Assignments {
		for _, a := range as {
			next.Partitions = append(next.Partitions, int32(a.ID))
		}
	}
	g.mu.Lock()
	g.last = next
	g.mu.Unlock()
	// kafka-go joins again when all that was started in a generation has returned.
	kg.Start(func(life context.Context) {
		<-life.Done()
		close(over)
		<-released
	})
	return next, nil
}

// Leave implements driver.Group. kafka-go waits for requests in flight; a join waits for other members and is
// broken off. Then kafka-go forgets who it was, and the group would wait for its session if we did not say goodbye.
func (g *group) Leave(ctx context.Context) {
	defer g.set.close()
	defer context.AfterFunc(ctx, g.set.close)()
	g.mu.Lock()
	last := g.last
	g.mu.Unlock()
	var goodbye sync.WaitGroup
	if last == nil || over(last) {
		g.set.reset()
		if last != nil {
			goodbye.Go(func() { g.goodbye(ctx, last.Member) })
		}
	}
	g.kg.Close()
	goodbye.Wait()
}

// goodbye tells the group that a member is gone, or else its session ends by itself.
func (g *group) goodbye(ctx context.Context, member string) {
	_, _ = coordinate[*leavegroup.Response](ctx, g.c, kafkago.CoordinatorKeyTypeConsumer, g.name, &leavegroup.Request{
		GroupID: g.name, Members: []leavegroup.RequestMember{{MemberID: member}}})
}

// over says whether a generation has ended.
func over(g *driver.Generation) bool {
	select {
	case <-g.Over:
		return true
	default:
		return false
	}
}

// balancer lets a driver.Balancer share the partitions of a topic for kafka-go.
type balancer struct {
	topic string
	b     driver.Balancer
}

// ProtocolName implements kafka-go's GroupBalancer.
func (b balancer) ProtocolName() string { return b.b.Protocol() }

// UserData implements kafka-go's GroupBalancer.
func (b balancer) UserData() ([]byte, error) { return b.b.UserData(), nil }

// AssignGroups implements kafka-go's GroupBalancer.
func (b balancer) AssignGroups(members []kafkago.GroupMember, partitions []kafkago.Partition) kafkago.GroupMemberAssignments {
	var ids []int32
	for _, p := range partitions {
		if p.Topic == b.topic {
			ids = append(ids, int32(p.ID))
		}
	}
	slices.Sort(ids)
	ms := make([]driver.Member, len(members))
	for i, m := range members {
		ms[i] = driver.Member{ID: m.ID, UserData: m.UserData}
	}
	out := kafkago.GroupMemberAssignments{}
	for member, own := range b.b.Assign(ms, ids) {
		ps := make([]int, len(own))
		for i, p := range own {
			ps[i] = int(p)
		}
		out[member] = map[string][]int{b.topic: ps}
	}
	return out
}
