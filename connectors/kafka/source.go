package kafka

import (
	"context"
	"errors"
	"time"

	"weir/pipeline"
	"weir/schemas"
)

// Source reads a topic as a member of a consumer group. Every partition assigned to it gets an owner, and
// several deliveries of a partition are in flight. It implements pipeline.Source.
//
// What waits in a partition goes into one delivery, up to MaxRows and MaxBytes: an idle partition's query
// leaves alone and at once, a backlog leaves in large batches, and no timer decides. Committed is the end of
// the longest finished prefix, so that a crash repeats rows but never loses one.
//
// With Fenced, a partition goes on while the group shares its partitions anew, which takes as long as a dead
// member's session. It stops only if another member gets it.
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
	// MarkEvery is how often a partition that stands still is committed again. Its outputs may move on, by what other
	// segments write, and retention with them: a mark must not fall behind that. Default 1m.
	MarkEvery time.Duration
	// Drain is how long deliveries may go on once their partition is to be given back. Default 1.2s, so that
	// leaving takes less than two.
	Drain time.Duration
	// Session is how long a member that died keeps its partitions; Heartbeat is how soon the others learn
	// of a new member; Rebalance is how long they have to join again; JoinBackoff is the pause after a
	// failure to join. Default 6s, 300ms, 10s, 200ms.
	Session, Heartbeat, Rebalance, JoinBackoff time.Duration
	// Fenced says that owners write through a Fence, so that an earlier owner's writes are refused. Two
	// members may then believe for a moment that they own a partition. Without, every partition is drained and
	// closed before the group shares them anew.
	Fenced bool
	// Digest names what all members of the group have in common. A member with another one is kept out until
	// those have left.
	Digest string
	// Stall is how long a partition may make no progress although records wait in it; then it starts again at
	// its committed offset. Longer than any delivery. Default 30s.
	Stall time.Duration
	// Events are told of what the source does.
	Events Events
}

var _ pipeline.Source = (*Source)(nil)

// defaultSession is how long a member that died keeps its partitions.
const defaultSession = 6 * time.Second

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
	or(&d.MarkEvery, time.Minute)
	or(&d.Drain, 1200*time.Millisecond)
	or(&d.Session, defaultSession)
	or(&d.Heartbeat, 300*time.Millisecond)
	or(&d.Rebalance, 10*time.Second)
	or(&d.JoinBackoff, 200*time.Millisecond)
	or(&d.Stall, 30*time.Second)
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
	return newMember(ctx, s, open).run(ctx)
}
