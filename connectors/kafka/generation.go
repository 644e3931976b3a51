package kafka

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"weir/connectors/kafka/driver"
)

// A generation is the time between two rebalances of the group. Drivers know only the eager protocol, in
// which a member gives up all partitions before it joins again, and waits in that join until every other
// member has joined too or its session has ended. So nothing that works lives in a generation: it only says
// which partitions are ours, may be opened, and with which number to commit.
type generation struct {
	id         int32
	memberID   string
	partitions []int32

	ctx    context.Context // for requests; ends with the generation, or once no more may be taken
	cancel context.CancelFunc
	ended  atomic.Bool
}

func (g *generation) end() {
	g.ended.Store(true)
	g.cancel()
}

func (g *generation) over() bool { return g.ended.Load() }

// generation takes over what a new generation assigns, and returns when it has ended.
func (m *member) generation(next *driver.Generation) {
	g := &generation{id: next.ID, memberID: next.Member, partitions: next.Partitions}
	g.ctx, g.cancel = context.WithCancel(m.taking)
	m.Events.rebalanced(g.id, g.partitions)
	m.adopt(g)
	<-next.Over
	m.conclude(g)
	next.Release()
}

// adopt opens partitions that are new, and drops those that are ours no longer.
//
// A shard goes on only if the partition was ours in the generation just before. Otherwise others may have
// owned it meanwhile, and gone further than the shard knows.
func (m *member) adopt(g *generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seamless := m.gen != nil && g.id == m.gen.id+1
	for id, s := range m.shards {
		if !seamless || !slices.Contains(g.partitions, id) {
			s.lose()
			delete(m.shards, id)
		}
	}
	m.gen = g
	if m.taking.Err() == nil {
		m.begin(g)
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// begin starts shards for the partitions that have none. The caller holds m.mu.
func (m *member) begin(g *generation) {
	var fresh []int32
	for _, id := range g.partitions {
		if m.shards[id] == nil {
			fresh = append(fresh, id)
		}
	}
	places := sync.OnceValues(func() (map[int32]commitment, error) { return m.committed(g.ctx, fresh) })
	for _, id := range fresh {
		s := newShard(m, id, places)
		before := m.ended[id]
		m.shards[id], m.ended[id] = s, s.ended
		m.running.Go(func() { s.live(before) })
	}
}

// conclude commits while the group still takes the generation's commits, so that whoever gets one of our
// partitions repeats little. Without fences nobody may get one before we have let go of it.
func (m *member) conclude(g *generation) {
	g.end()
	shards := m.owned()
	if m.Fenced {
		m.commitNow(shards)
	} else {
		m.drain(shards)
		m.mu.Lock()
		clear(m.shards)
		m.mu.Unlock()
	}
	if m.taking.Err() == nil {
		m.Events.rebalancing(g.id)
	}
}

// owned returns the shards of the partitions that are ours.
func (m *member) owned() []*shard {
	m.mu.Lock()
	defer m.mu.Unlock()
	shards := make([]*shard, 0, len(m.shards))
	for _, s := range m.shards {
		shards = append(shards, s)
	}
	return shards
}

// claim is what we say in a join that we owned.
func (m *member) claim() claim {
	g := m.newest()
	if g == nil {
		return claim{}
	}
	return claim{g.id, g.partitions}
}

// newest returns the newest generation, which may be over; nil before the first.
func (m *member) newest() *generation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gen
}

// living waits for a generation that is not over, and is another than old.
func (m *member) living(ctx context.Context, old *generation) (*generation, error) {
	for {
		m.mu.Lock()
		g, changed := m.gen, m.changed
		m.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if g != nil && g != old && !g.over() {
			return g, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
