package ownership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"weir/connectors/kafka"
	"weir/pipeline"
	"weir/schemas"
)

// poll is how often the groups of others are looked at while somebody waits for them.
const poll = 200 * time.Millisecond

// A Guard decides when the units of a process begin and end.
type Guard struct {
	Client *kafka.Client
	Log    *Log
	// Lacks says whether the process's layout lacks a unit of an old one: nobody would read its topic.
	Lacks func(Unit) bool
	// AcceptDuplicates lets a unit begin whose group would answer all again.
	AcceptDuplicates bool
	// Logger is told what is waited for.
	Logger *slog.Logger
	// Waits is called while a unit waits. If that passes when others end, the process may call itself ready, or a
	// rolling update would wait for it, and it for the update. If only a person can end it, the update shall stop.
	Waits func(u Unit, passes bool)

	announcing sync.Mutex
}

// A hold is why a unit does not begin.
type hold struct {
	why, remedy string
	topic       string // in which rows lie, "" for other reasons
	rows        int64
	passes      bool
}

// Error tells it in a line.
func (h *hold) Error() string {
	return fmt.Sprintf("%s; %s (topic %s, %d records)", h.why, h.remedy, h.topic, h.rows)
}

// Replace makes the units the owners of their segments.
func (g *Guard) Replace(ctx context.Context, c Claim) error {
	state, _ := g.Log.now()
	records := state.replace(c, time.Now())
	if len(records) == 0 {
		return nil
	}
	if err := g.Log.write(ctx, records...); err != nil {
		return fmt.Errorf("ownership: replace: %w", err)
	}
	for _, r := range records {
		g.Logger.Info("replacing", "key", string(r.Key), "record", string(r.Value))
	}
	return nil
}

// Admit returns when a unit may join its group. It fails when that would answer queries again that were answered
// under another name.
func (g *Guard) Admit(ctx context.Context, me Unit) error {
	var said hold
	return g.until(ctx, func(s State) (bool, error) {
		if rival, ok := s.rival(me); ok && !g.AcceptDuplicates {
			return false, pipeline.Permanent(fmt.Errorf("ownership: segment %s reads topic %s, which group %s of segment %s has read since %s; "+
				"a group of another name begins with the earliest record and answers all again: keep the segment's name, or accept that with --accept-duplicates",
				me.Segment, me.In, rival.Group, rival.Segment, rival.Since.Format(time.RFC3339)))
		}
		h, err := g.hold(ctx, s, me)
		if h == nil || err != nil {
			return err == nil, err
		}
		if now := (hold{h.why, h.remedy, h.topic, 0, h.passes}); now != said {
			said = now
			args := []any{"segment", me.Segment, "remedy", h.remedy}
			if h.topic != "" {
				args = append(args, "topic", h.topic, "records", h.rows)
			}
			g.Logger.Warn(h.why, args...)
		}
		g.Waits(me, h.passes)
		return false, nil
	})
}

// hold is what keeps a unit from its group, nil if nothing does.
func (g *Guard) hold(ctx context.Context, s State, me Unit) (*hold, error) {
	if o, other := s.otherOwns(me); other {
		if o.Digest != "" || s.units[me.Segment].Digest != me.Digest {
			return belongs(o, me), nil
		}
		// Nobody else answers what lies in its topic.
		left, err := g.left(ctx, me, nil)
		if left == 0 || err != nil {
			return belongs(o, me), err
		}
		return nil, nil
	}
	if s.units[me.Segment].Digest == me.Digest || len(s.outgoing(me, g.Lacks)) == 0 {
		return nil, nil // its first member looked
	}
	n, digest, err := g.Client.Members(ctx, me.Group)
	if err != nil {
		return nil, err
	}
	if n > 0 && digest != me.Digest {
		_, asked := s.owners[me.Segment]
		return &hold{why: "another version of the pipeline runs; waiting until its members leave",
			remedy: Busy(asked), passes: true}, nil
	}
	return g.undrained(ctx, s, me)
}

// Busy is the remedy for a group whose members are of another version; asked says that these were told to leave.
func Busy(asked bool) string {
	if asked {
		return "none needed: they drain"
	}
	return "start this one with --replace, and they drain and leave"
}

// belongs says that a segment is another version's, and what a person can do who wants it otherwise.
func belongs(o Owner, me Unit) *hold {
	for _, d := range o.Replaced {
		if d == me.Digest {
			return &hold{why: fmt.Sprintf("replaced by another version at %s; waiting, and not taking it back", o.Since.Format(time.RFC3339)),
				remedy: fmt.Sprintf("none needed if that was meant; to go back to this version, start it with --replace=%d", o.Turn)}
		}
	}
	return &hold{why: fmt.Sprintf("the segment belongs to another version since %s; waiting", o.Since.Format(time.RFC3339)),
		remedy: "start this one with --replace, and the other drains and leaves"}
}

// undrained is the first unit behind me that has still to answer what lies in its topic.
func (g *Guard) undrained(ctx context.Context, s State, me Unit) (*hold, error) {
	for _, u := range s.outgoing(me, g.Lacks) {
		n, digest, err := g.Client.Members(ctx, u.Group)
		if err != nil {
			return nil, err
		}
		left, err := g.left(ctx, u, nil)
		if err != nil {
			return nil, err
		}
		_, replaced := s.otherOwns(u)
		there := n > 0 && (digest == "" || digest == u.Digest)
		switch {
		case there && replaced:
			return &hold{why: "waiting until the old segment " + u.Segment + " has answered what lies in its topic",
				remedy: "none needed: it drains and leaves", topic: u.In, rows: left, passes: true}, nil
		case there:
			return &hold{why: "the old segment " + u.Segment + " still runs; waiting until it has left",
				remedy: "start this one with --replace, and it drains and leaves", topic: u.In, rows: left}, nil
		case left > 0:
			return &hold{why: "rows lie in the topic of the old segment " + u.Segment + ", which nobody runs; waiting until they are answered",
				remedy: "run the old spec with `--segments " + u.Segment + "` until it has read them", topic: u.In, rows: left}, nil
		}
	}
	return nil, nil
}

// Announce notes what a unit is, before it reads its first row. It fails while an old layout has left rows.
func (g *Guard) Announce(ctx context.Context, me Unit) error {
	g.announcing.Lock()
	defer g.announcing.Unlock()
	s, _ := g.Log.now()
	if s.units[me.Segment].same(me) {
		return nil
	}
	if s.units[me.Segment].Digest != me.Digest {
		// A member of the old version may have come back between Admit and here. From now on the group is ours.
		if h, err := g.undrained(ctx, s, me); h != nil || err != nil {
			return errors.Join(err, holdError(h))
		}
	}
	me.Since = time.Now()
	return g.Log.write(ctx, message(unitKey+me.Segment, me))
}

func holdError(h *hold) error {
	if h == nil {
		return nil
	}
	return h
}

// OtherOwns says whether a unit is to leave, now or when it has drained.
func (g *Guard) OtherOwns(me Unit) bool {
	s, _ := g.Log.now()
	_, other := s.otherOwns(me)
	return other
}

// Replaced returns nil once a unit is to leave: another version owns its segment, and no row of its own version will
// come any more that it has not read.
func (g *Guard) Replaced(ctx context.Context, me Unit) error {
	err := g.until(ctx, func(s State) (bool, error) {
		o, other := s.otherOwns(me)
		if other {
			g.Logger.Info("replaced by another version; draining", "segment", me.Segment, "since", o.Since.Format(time.RFC3339))
		}
		return other, nil
	})
	if err != nil || me.Place == 0 {
		return err
	}
	err = g.until(ctx, func(s State) (bool, error) {
		up, owner, ok := s.upstream(me)
		if !ok {
			return true, nil
		}
		n, digest, err := g.Client.Members(ctx, up.Group)
		return n == 0 || digest != "" && digest == owner.Digest, err
	})
	if err != nil {
		return err
	}
	end, err := g.Client.End(ctx, me.In)
	if err != nil {
		return err
	}
	return g.until(ctx, func(State) (bool, error) {
		left, err := g.left(ctx, me, end)
		return left == 0, err
	})
}

// until asks again with each change of the state, and now and then, until holds says so or fails.
func (g *Guard) until(ctx context.Context, holds func(State) (bool, error)) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		state, changed := g.Log.now()
		if done, err := holds(state); done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// left is how many offsets of a unit's topic its group has not committed, up to end (nil: all), 0 if no record is
// among them.
func (g *Guard) left(ctx context.Context, u Unit, end []int64) (rows int64, err error) {
	var unknown *kafka.UnknownTopicError
	committed, err := g.Client.Committed(ctx, u.Group, u.In)
	if errors.As(err, &unknown) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	first, err := g.Client.Offsets(ctx, u.In, kafka.Earliest)
	if err == nil && end == nil {
		end, err = g.Client.End(ctx, u.In)
	}
	if err != nil {
		return 0, err
	}
	for p := range min(len(end), len(committed), len(first)) {
		from := max(committed[p], first[p])
		some, err := g.someRecord(ctx, u.In, int32(p), from, end[p])
		if err != nil {
			return 0, err
		}
		if some {
			rows += end[p] - from
		}
	}
	return rows, nil
}

// errSome ends the reading at the first record.
var errSome = errors.New("ownership: a record")

// someRecord says whether a record lies between two offsets, and not only the end of a transaction.
func (g *Guard) someRecord(ctx context.Context, topic string, partition int32, from, end int64) (bool, error) {
	for r, more := g.Client.Reader(topic, partition, from, end), from < end; more; {
		var err error
		if more, err = r.Next(ctx, func(*schemas.Record) error { return errSome }); err != nil {
			return errors.Is(err, errSome), notSome(err)
		}
	}
	return false, nil
}

func notSome(err error) error {
	if errors.Is(err, errSome) {
		return nil
	}
	return err
}
