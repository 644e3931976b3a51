package driver

import (
	"context"
	"errors"
	"time"
)

// ErrLeft is what Group.Next says once the group is left.
var ErrLeft = errors.New("the group was left")

// Groups are consumer groups. The driver finds a group's coordinator.
type Groups interface {
	// Committed returns a group's committed place in each of the partitions that has one. The first Code of a
	// partition is the error, and so is an answer that lacks a partition.
	Committed(ctx context.Context, group, topic string, partitions []int32) (map[int32]Committed, error)
	// Commit commits places of a topic for a member. A generation that is over is refused by partition, while the
	// request succeeds. The map has an entry for each partition that the answer names, nil for one that was taken.
	Commit(ctx context.Context, c Commit) (map[int32]error, error)
	// Members tells how many members a group has, and the Balancer.Protocol that they agreed on: "" while they join. A
	// group that never was has none, or is told by GroupIDNotFound.
	Members(ctx context.Context, group string) (n int, protocol string, err error)
	// Join begins to be a member; Group.Next tells of its first generation. Nothing is awaited.
	Join(o GroupOptions) (Group, error)
}

// Committed is a group's place in a partition, with the metadata of its commit.
type Committed struct {
	Offset   int64
	Metadata string
}

// Commit is what a member of a group commits. Without a member (Generation -1, Member "") it is taken while the
// group has no members.
type Commit struct {
	Group, Topic string
	Generation   int32
	Member       string
	Places       map[int32]Committed
}

// GroupOptions say what a member joins and how.
type GroupOptions struct {
	Group, Topic string
	Balancer     Balancer
	// Session is how long the group waits for a member that died; Heartbeat is how often the member tells that it
	// lives; Rebalance is how long members have to join again; Backoff is the pause after a failure to join.
	Session, Heartbeat, Rebalance, Backoff time.Duration
}

// A Balancer shares partitions among the members of a group.
type Balancer interface {
	// Protocol is the name that all members agree on; a broker refuses one with another name (Code 23).
	Protocol() string
	// UserData is what this member tells the one that assigns. It is asked at every join.
	UserData() []byte
	// Assign shares the topic's partitions, in ascending order, among the members, by member id.
	Assign(members []Member, partitions []int32) map[string][]int32
}

// Member is a member of a group as the one that assigns sees it.
type Member struct {
	ID       string
	UserData []byte
}

// A Group is a membership that lasts until Leave. It is eager: between two generations the member owns nothing as
// far as the group knows.
type Group interface {
	// Next waits for the member's next generation. An error is that of one attempt to join: call Next again, after
	// a Code that can pass. The generation before must have been released.
	Next(ctx context.Context) (*Generation, error)
	// Leave ends the membership and tells the group, within ctx at the latest, whatever is in flight: a join waits
	// for other members and is broken off. A group that could not be told waits for the session. Leave ends a
	// generation and then waits for its Release, and is called once.
	Leave(ctx context.Context)
}

// A Generation is the time between two rebalances of a group.
type Generation struct {
	ID         int32
	Member     string // this member's id
	Partitions []int32
	// Over is closed when the group shares its partitions anew, the topic has got more of them, the member lost touch
	// with the group or leaves it.
	Over <-chan struct{}
	// Release lets the member join again once the generation is over. Until then the group takes commits of it.
	Release func()
}
