package franz

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka/driver"
)

// protocolType is what the members of every consumer group say that they are.
const protocolType = "consumer"

// The codes that a member of a group hears in the course of things.
const (
	illegalGeneration   driver.Code = 22
	unknownMember       driver.Code = 25
	rebalanceInProgress driver.Code = 27
	memberIDRequired    driver.Code = 79
)

// A group is a membership. Nothing of it runs beside its callers but the heartbeats of a generation.
type group struct {
	driver.GroupOptions
	c *Cluster

	// life ends when the group is to be left, grace when it has to have been left.
	life, grace   context.Context
	leave, giveUp context.CancelFunc

	turn    chan struct{} // held by Next, and after Leave for ever; guards what follows
	member  string        // "": none that the group knows
	term    *term         // the newest generation's, nil before the first
	mayJoin time.Time     // not before, after a failure
}

// Join implements driver.Groups.
func (c *Cluster) Join(o driver.GroupOptions) (driver.Group, error) {
	g := &group{GroupOptions: o, c: c, turn: make(chan struct{}, 1)}
	g.life, g.leave = context.WithCancel(context.Background())
	g.grace, g.giveUp = context.WithCancel(context.Background())
	return g, nil
}

// Next implements driver.Group.
func (g *group) Next(ctx context.Context) (*driver.Generation, error) {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-g.life.Done():
		return nil, driver.ErrLeft
	}
	outer := ctx
	ctx, cancel := both(ctx, g.life)
	defer cancel()
	next, err := g.next(outer, ctx)
	switch {
	case g.life.Err() != nil:
		if next != nil {
			next.Release()
		}
		return nil, driver.ErrLeft
	case err != nil && outer.Err() != nil:
		return nil, outer.Err()
	case err != nil:
		g.mayJoin = time.Now().Add(g.Backoff)
	}
	return next, err
}

// both is a context that ends with either of two.
func both(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}

// next is Next for one caller at a time. ctx ends when the group is left, outer does not.
func (g *group) next(outer, ctx context.Context) (*driver.Generation, error) {
	if g.term != nil {
		if err := g.term.finished(ctx); err != nil {
			return nil, err
		}
	}
	pause := time.NewTimer(time.Until(g.mayJoin))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		if g.member == "" {
			if err := g.introduce(outer); err != nil {
				return nil, err
			}
		}
		next, err := g.join(ctx)
		switch {
		case errors.Is(err, unknownMember): // its session has ended meanwhile
			g.member = ""
		case errors.Is(err, rebalanceInProgress), errors.Is(err, illegalGeneration): // others came or went in between
		default:
			return next, err
		}
	}
}

// introduce asks the group for an id. Leaving does not break that off: the group would wait for a member that
// it has just named, and that does not know its name. The answer comes at once.
func (g *group) introduce(outer context.Context) error {
	ctx, cancel := both(outer, g.grace)
	defer cancel()
	res, err := g.enter(ctx)
	if res != nil && res.MemberID != "" && (err == nil || errors.Is(err, memberIDRequired)) {
		g.member = res.MemberID
		return nil
	}
	return err
}

// join is a member's way into a generation: one request tells the group who is there, the second what is whose.
func (g *group) join(ctx context.Context) (*driver.Generation, error) {
	in, err := g.enter(ctx)
	if err != nil {
		return nil, err
	}
	t := newTerm(g, in.Generation, g.member)
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = g.Group, g.member, in.Generation
	kind := protocolType
	req.ProtocolType, req.Protocol = &kind, in.Protocol
	if in.LeaderID == g.member {
		n, err := g.partitions(ctx)
		if err != nil {
			return nil, err
		}
		t.leads, t.counted = true, n
		req.GroupAssignment = g.assign(in.Members, n)
	}
	res, err := atCoordinator(ctx, g.c, g.office(), req, func(r *kmsg.SyncGroupResponse) int16 { return r.ErrorCode })
	if err != nil {
		return nil, err
	}
	mine, err := g.mine(res.MemberAssignment)
	if err != nil {
		return nil, err
	}
	g.term = t
	return t.begin(mine), nil
}

func (g *group) office() office { return office{groupOffice, g.Group} }

// enter asks to be in the group's next generation, and waits for the other members to do so too.
func (g *group) enter(ctx context.Context) (*kmsg.JoinGroupResponse, error) {
	said := kmsg.NewConsumerMemberMetadata()
	said.Topics, said.UserData = []string{g.Topic}, g.Balancer.UserData()
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = g.Balancer.Protocol(), said.AppendTo(nil)
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = g.Group, g.member, protocolType
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(g.Session.Milliseconds()), int32(g.Rebalance.Milliseconds())
	req.Protocols = append(req.Protocols, protocol)
	return atCoordinator(ctx, g.c, g.office(), req, func(r *kmsg.JoinGroupResponse) int16 { return r.ErrorCode })
}

// partitions counts the topic's partitions. One that does not exist yet has none.
func (g *group) partitions(ctx context.Context) (int, error) {
	m, err := g.c.Metadata(ctx, driver.AnyBroker, []string{g.Topic})
	if err != nil {
		return 0, err
	}
	for _, t := range m.Topics {
		if t.Name == g.Topic && !errors.Is(t.Err, driver.UnknownTopicOrPartition) && !errors.Is(t.Err, driver.LeaderNotAvailable) {
			return len(t.Leaders), t.Err
		}
	}
	return 0, nil
}

// assign shares n partitions among the members.
func (g *group) assign(members []kmsg.JoinGroupResponseMember, n int) (out []kmsg.SyncGroupRequestGroupAssignment) {
	present := make([]driver.Member, len(members))
	for i, m := range members {
		var said kmsg.ConsumerMemberMetadata
		// What cannot be read is empty. kafka-go says that more follows behind its user data, which does not.
		_ = said.ReadFrom(m.ProtocolMetadata)
		present[i] = driver.Member{ID: m.MemberID, UserData: said.UserData}
	}
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	for id, share := range g.Balancer.Assign(present, all) {
		topic := kmsg.NewConsumerMemberAssignmentTopic()
		topic.Topic, topic.Partitions = g.Topic, share
		told := kmsg.NewConsumerMemberAssignment()
		told.Topics = append(told.Topics, topic)
		to := kmsg.NewSyncGroupRequestGroupAssignment()
		to.MemberID, to.MemberAssignment = id, told.AppendTo(nil)
		out = append(out, to)
	}
	return out
}

// mine reads what this member is to have; nothing is said to one that is to have nothing.
func (g *group) mine(told []byte) (share []int32, err error) {
	if len(told) == 0 {
		return nil, nil
	}
	var a kmsg.ConsumerMemberAssignment
	if err := a.ReadFrom(told); err != nil {
		return nil, err
	}
	for _, t := range a.Topics {
		if t.Topic == g.Topic {
			share = append(share, t.Partitions...)
		}
	}
	slices.Sort(share)
	return share, nil
}

// Leave implements driver.Group.
func (g *group) Leave(ctx context.Context) {
	g.leave()
	defer g.giveUp()
	stop := context.AfterFunc(ctx, g.giveUp)
	defer stop()
	g.turn <- struct{}{} // Next ends at once, or with ctx
	if g.term != nil {
		_ = g.term.finished(ctx) // that is the end of our patience
		g.term.stop()
	}
	if g.member == "" {
		return
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = g.Group
	who := kmsg.NewLeaveGroupRequestMember()
	who.MemberID = g.member
	req.Members = append(req.Members, who)
	_, _ = atCoordinator(ctx, g.c, g.office(), req, func(*kmsg.LeaveGroupResponse) int16 { return 0 }) // or else the session ends by itself
}
