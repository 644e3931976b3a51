package drivertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/connectors/kafka/driver"
)

// memberCases are what the contract says of a Group.
func memberCases(t *testing.T, w *world) {
	t.Run("alone", func(t *testing.T) { isAlone(t, w) })
	t.Run("another comes and goes", func(t *testing.T) { comeAndGo(t, w) })
	t.Run("leaves at once", func(t *testing.T) { leavesAtOnce(t, w) })
	t.Run("another protocol", func(t *testing.T) { refusesProtocol(t, w) })
	t.Run("more partitions", func(t *testing.T) { noticesPartitions(t, w) })
	t.Run("leaves while a join waits", func(t *testing.T) { leavesWaiting(t, w) })
	t.Run("leaves in its first join", func(t *testing.T) { leavesFirstJoin(t, w) })
	t.Run("leaves before it joined", func(t *testing.T) { leavesBefore(t, w) })
	t.Run("leaves with a generation", func(t *testing.T) { leavesHolding(t, w) })
	t.Run("Next ends with its context", func(t *testing.T) { nextEnds(t, w) })
	t.Run("a member that died", func(t *testing.T) { dies(t, w) })
	t.Run("a session that is refused", func(t *testing.T) { refusesSession(t, w) })
}

// member is a driver's member of a group, with short ways for tests.
type member struct {
	driver.Group
	t    testing.TB
	data string
	saw  chan map[string]string // user data by member, at each Assign
	name string
}

// Protocol, UserData and Assign implement driver.Balancer: partitions go round.
func (m *member) Protocol() string { return m.name }
func (m *member) UserData() []byte { return []byte(m.data) }
func (m *member) Assign(members []driver.Member, partitions []int32) map[string][]int32 {
	out, saw := map[string][]int32{}, map[string]string{}
	for _, one := range members {
		saw[one.ID] = string(one.UserData)
	}
	if !slices.IsSorted(partitions) {
		m.t.Errorf("partitions to share: %v, want them in order", partitions)
	}
	for i, p := range partitions {
		id := members[i%len(members)].ID
		out[id] = append(out[id], p)
	}
	m.saw <- saw
	return out
}

// options of a member; of none of the cases do they run out, unless it is about that.
func (m *member) options(group, topic string) driver.GroupOptions {
	return driver.GroupOptions{Group: group, Topic: topic, Balancer: m, Session: 10 * time.Second, Heartbeat: 50 * time.Millisecond,
		Rebalance: 20 * time.Second, Backoff: 20 * time.Millisecond}
}

func (c *cluster) join(group, topic string, change ...func(*member, *driver.GroupOptions)) *member {
	c.t.Helper()
	m := &member{t: c.t, data: unique(c.t), saw: make(chan map[string]string, 1000), name: "drivertest"}
	o := m.options(group, topic)
	for _, f := range change {
		f(m, &o)
	}
	o.Balancer = m
	m.Group = must[driver.Group](c.t)(c.Join(o))
	return m
}

// next waits for the next generation, as a driver's caller does.
func (m *member) next() *driver.Generation {
	m.t.Helper()
	for ctx := testContext(m.t); ; {
		gen, err := m.Next(ctx)
		if err == nil {
			if gen.Member == "" || gen.ID < 0 || !slices.IsSorted(gen.Partitions) {
				m.t.Errorf("generation %+v", gen)
			}
			return gen
		}
		if !passes(err) || ctx.Err() != nil {
			m.t.Fatalf("next generation: %v", err)
		}
	}
}

// passes says whether a failure to join is one of those that end by themselves, as most do.
func passes(err error) bool {
	for _, lasting := range []error{driver.InconsistentGroupProtocol, driver.InvalidSessionTimeout, driver.GroupAuthorizationFailed,
		driver.TopicAuthorizationFailed, driver.ErrLeft} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	return true
}

// coming waits for the next generation elsewhere.
func (m *member) coming() <-chan *driver.Generation {
	c := make(chan *driver.Generation, 1)
	go func() { c <- m.next() }()
	return c
}

// share goes on to the first generation in which it has n partitions.
func (m *member) share(gen *driver.Generation, n int) *driver.Generation {
	m.t.Helper()
	for len(gen.Partitions) != n {
		receive(m.t, "end of the generation", gen.Over)
		gen.Release()
		gen = m.next()
	}
	return gen
}

func (m *member) leave() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon/2)
	defer cancel()
	within(m.t, "leaving, with half of that allowed,", soon, func() { m.Leave(ctx) })
	if _, err := m.Next(testContext(m.t)); !errors.Is(err, driver.ErrLeft) {
		m.t.Errorf("next generation of a group that was left: error %v, want %v", err, driver.ErrLeft)
	}
}

func isOver(g *driver.Generation) bool {
	select {
	case <-g.Over:
		return true
	default:
		return false
	}
}

func isAlone(t *testing.T, w *world) {
	c := w.dial(t)
	m := c.join(unique(t), c.topic(4))
	gen := m.next()
	equal(t, "partitions", gen.Partitions, "[0 1 2 3]")
	equal(t, "members", receive(t, "assignment", m.saw), map[string]string{gen.Member: m.data})
	if isOver(gen) {
		t.Error("the generation is over")
	}
	gen.Release() // that alone is no reason to join again
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	if gen, err := m.Next(ctx); err == nil {
		t.Errorf("a generation that nobody asked for: %+v", gen)
		gen.Release()
	}
	m.leave()
}

// Two members share all partitions, and tell each other what they want to. Between the end of a generation and its
// release the member takes part in nothing, but its commits are taken.
func comeAndGo(t *testing.T, w *world) { shareAGroup(t, w.dial(t), w.dial(t)) }

func shareAGroup(t *testing.T, c, other *cluster) {
	topic, group := c.topic(4), unique(t)
	a := c.join(group, topic)
	old := a.next()
	b := other.join(group, topic)
	coming := b.coming()
	receive(t, "end of the generation", old.Over)
	early := a.coming()
	equal(t, "answer to a commit of a generation that is over", c.commit(driver.Commit{Group: group, Topic: topic, Generation: old.ID, Member: old.Member,
		Places: map[int32]driver.Committed{2: {Offset: 9, Metadata: "last"}}}), "map[2:<nil>]")
	equal(t, "generations before the release", len(early)+len(coming), 0)
	old.Release()
	one, two := receive(t, "generation of the first", early), receive(t, "generation of the second", coming)
	for one.ID != two.ID { // the second may have come too late for a generation
		if one.ID < two.ID {
			one.Release()
			one = a.next()
		} else {
			two.Release()
			two = b.next()
		}
	}
	if one.ID <= old.ID || one.Member != old.Member || two.Member == one.Member {
		t.Errorf("generations %+v and %+v after %+v", one, two, old)
	}
	all := slices.Sorted(slices.Values(slices.Concat(one.Partitions, two.Partitions)))
	if len(one.Partitions) != 2 || fmt.Sprint(all) != "[0 1 2 3]" {
		t.Errorf("partitions %v and %v", one.Partitions, two.Partitions)
	}
	want := map[string]string{one.Member: a.data, two.Member: b.data}
	for heard := false; !heard; {
		select {
		case saw := <-a.saw:
			heard = fmt.Sprint(saw) == fmt.Sprint(want)
		case saw := <-b.saw:
			heard = fmt.Sprint(saw) == fmt.Sprint(want)
		default:
			t.Fatalf("nobody saw the user data of both: %v", want)
		}
	}
	equal(t, "place", c.committed(group, topic, 2), "map[2:{9 last}]")
	coded(t, "a commit of the generation before", c.commit(driver.Commit{Group: group, Topic: topic, Generation: old.ID, Member: old.Member,
		Places: map[int32]driver.Committed{2: {Offset: 10}}})[2], illegalGeneration)
	two.Release()
	b.leave()
	last := a.share(one, 4)
	last.Release()
	a.leave()
}

// atOnce is how long a clean leave may keep partitions from the others.
const atOnce = 300 * time.Millisecond

// The fastest of some leaves counts: what else the machine does is no fault of a driver.
func leavesAtOnce(t *testing.T, w *world) {
	c := w.dial(t)
	topic, group := c.topic(4), unique(t)
	a := c.join(group, topic)
	one := a.next()
	var took []time.Duration
	for range 3 {
		b := c.join(group, topic)
		coming := b.coming()
		one = a.share(one, 2)
		two := b.share(receive(t, "generation", coming), 2)
		left := make(chan bool)
		began := time.Now()
		go func() {
			two.Release()
			b.leave()
			close(left)
		}()
		one = a.share(one, 4)
		took = append(took, time.Since(began))
		receive(t, "leave", left)
	}
	t.Logf("the other had all partitions after %v", took)
	if slices.Min(took) > atOnce {
		t.Errorf("the other had all partitions after %v, want %v", took, atOnce)
	}
	one.Release()
	a.leave()
}

func refusesProtocol(t *testing.T, w *world) {
	c := w.dial(t)
	topic, group := c.topic(1), unique(t)
	a := c.join(group, topic)
	gen := a.next()
	stranger := c.join(group, topic, func(m *member, _ *driver.GroupOptions) { m.name = "another" })
	refusedOnce := func() {
		t.Helper()
		for { // a coordinator may still be looked for
			_, err := stranger.Next(testContext(t))
			if err == nil || !passes(err) {
				coded(t, "another protocol", err, driver.InconsistentGroupProtocol)
				return
			}
		}
	}
	refusedOnce()
	refusedOnce()
	if isOver(gen) {
		t.Error("a member that was refused ended the generation")
	}
	gen.Release()
	a.leave()
	if gen := stranger.next(); len(gen.Partitions) != 1 {
		t.Errorf("once the group was free: %+v", gen)
	} else {
		gen.Release()
	}
	stranger.leave()
}

func noticesPartitions(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(2)
	m := c.join(unique(t), topic)
	gen := m.next()
	grow(t, w.addr, topic, 5)
	receive(t, "end of the generation, as there are more partitions", gen.Over)
	gen = m.share(gen, 5)
	gen.Release()
	m.leave()
}

// A member that waits in a join for one that does not come leaves at once, and the group hears of it.
func leavesWaiting(t *testing.T, w *world) {
	c := w.dial(t)
	topic, group := c.topic(2), unique(t)
	slow := c.join(group, topic)
	one := slow.next()
	waiting := c.join(group, topic)
	coming := waiting.coming()
	one = slow.share(one, 1)
	two := waiting.share(receive(t, "generation", coming), 1)
	third := c.join(group, topic)
	last := third.coming()
	receive(t, "end of the generation", one.Over)
	receive(t, "end of the generation", two.Over)
	two.Release()
	ended := waiting.attempt(testContext(t))
	waiting.leave()
	if err := receive(t, "end of the join", ended); !errors.Is(err, driver.ErrLeft) {
		t.Errorf("a join that was broken off: error %v, want %v", err, driver.ErrLeft)
	}
	one.Release()
	within(t, "the next generation, which waits for nobody", soon, func() {
		one = slow.share(slow.next(), 1)
		two = third.share(receive(t, "generation", last), 1)
	})
	one.Release()
	two.Release()
	slow.leave()
	third.leave()
}

// attempt tries to join until there is a generation, which is released, or no more sense in it.
func (m *member) attempt(ctx context.Context) <-chan error {
	ended := make(chan error, 1)
	go func() {
		gen, err := m.Next(ctx)
		for err != nil && passes(err) && ctx.Err() == nil {
			gen, err = m.Next(ctx)
		}
		if err == nil {
			gen.Release()
		}
		ended <- err
	}()
	return ended
}

// A member that leaves in its first join may have no name yet to say goodbye with: the group waits for its session.
func leavesFirstJoin(t *testing.T, w *world) {
	c := w.dial(t)
	topic, group := c.topic(2), unique(t)
	slow := c.join(group, topic)
	old := slow.next()
	waiting := c.join(group, topic, func(_ *member, o *driver.GroupOptions) { o.Session = time.Second })
	ended := waiting.attempt(testContext(t))
	receive(t, "end of the generation", old.Over) // so the other one is in its join
	waiting.leave()
	if err := receive(t, "end of the join", ended); !errors.Is(err, driver.ErrLeft) {
		t.Errorf("a join that was broken off: error %v, want %v", err, driver.ErrLeft)
	}
	old.Release()
	gen := slow.next()
	if len(gen.Partitions) == 1 && w.differs(t, "a member that never heard that it has joined has no session that ends") {
		gen.Release()
		slow.leave()
		return
	}
	within(t, "the way to all partitions", time.Second+soon, func() { gen = slow.share(gen, 2) })
	gen.Release()
	slow.leave()
}

func leavesBefore(t *testing.T, w *world) {
	c := w.dial(t)
	c.join(unique(t), c.topic(1)).leave()
}

// Leaving ends a generation, and waits for its release: what it did is committed before others have its partitions.
func leavesHolding(t *testing.T, w *world) {
	c := w.dial(t)
	topic, group := c.topic(1), unique(t)
	m := c.join(group, topic)
	gen := m.next()
	left := make(chan bool)
	go func() {
		m.leave()
		close(left)
	}()
	receive(t, "end of the generation", gen.Over)
	equal(t, "answer to the last commit", c.commit(driver.Commit{Group: group, Topic: topic, Generation: gen.ID, Member: gen.Member,
		Places: map[int32]driver.Committed{0: {Offset: 3}}}), "map[0:<nil>]")
	select {
	case <-left:
		t.Error("it left before the release")
	default:
	}
	gen.Release()
	gen.Release() // a second one changes nothing
	receive(t, "leave", left)
}

func nextEnds(t *testing.T, w *world) {
	c := w.dial(t)
	topic, group := c.topic(2), unique(t)
	slow := c.join(group, topic)
	old := slow.next()
	waiting := c.join(group, topic)
	ctx, cancel := context.WithCancel(testContext(t))
	ended := waiting.attempt(ctx)
	receive(t, "end of the generation", old.Over)
	cancel()
	within(t, "the end of a join whose context ended", soon, func() {
		if receive(t, "end", ended) == nil {
			t.Error("a generation without the other member")
		}
	})
	waiting.leave()
	old.Release()
	gen := slow.next()
	gen.Release()
	slow.leave()
}

// line is a network cable: what is plugged in through it breaks when it is cut.
type line struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		c.Close()
		return nil, errors.New("the line is cut")
	}
	l.conns = append(l.conns, c)
	return c, nil
}

// opened is how many connections there were since the line was whole.
func (l *line) opened() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut = cut; cut {
		for _, c := range l.conns {
			c.Close()
		}
		l.conns = nil
	}
}

// A member whose network is gone learns of it, at the latest when its session has ended; then others have its
// partitions. It comes back by itself.
func dies(t *testing.T, w *world) {
	l := &line{}
	o := w.options()
	o.Dialer = l.dial
	c, doomed := w.dial(t), dial(t, w.open, o)
	topic, group := c.topic(2), unique(t)
	short := func(_ *member, o *driver.GroupOptions) { o.Session = time.Second }
	a := c.join(group, topic, short)
	one := a.next()
	b := doomed.join(group, topic, short)
	coming := b.coming()
	one = a.share(one, 1)
	two := b.share(receive(t, "generation", coming), 1)
	l.set(true)
	within(t, "news of the lost network", time.Second+soon, func() { receive(t, "end of the generation", two.Over) })
	within(t, "the others' way to the partitions of a member that died", time.Second+soon, func() { one = a.share(one, 2) })
	two.Release()
	l.set(false)
	coming = b.coming()
	one = a.share(one, 1)
	two = b.share(receive(t, "generation", coming), 1)
	one.Release()
	two.Release()
	a.leave()
	b.leave()
}

func refusesSession(t *testing.T, w *world) {
	c := w.dial(t)
	m := c.join(unique(t), c.topic(1), func(_ *member, o *driver.GroupOptions) { o.Session = time.Millisecond })
	for {
		_, err := m.Next(testContext(t))
		if err == nil || !passes(err) {
			coded(t, "a session of 1 ms", err, driver.InvalidSessionTimeout)
			break
		}
	}
	m.leave()
}
