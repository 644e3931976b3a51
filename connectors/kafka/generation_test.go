package kafka

import (
	"context"
	"testing"
)

// A shard goes on in the next generation if that assigns it, and in no later one: in a generation that was
// missed the partition may have been another's.
func TestShardSurvivesOneGeneration(t *testing.T) {
	for _, c := range []struct {
		next     int32
		assigned []int32
		survives bool
	}{{8, []int32{3, 5}, true}, {8, []int32{3}, false}, {9, []int32{5}, false}, {1, []int32{5}, false}} {
		m := newMember(context.Background(), &Source{}, nil)
		m.stopTaking() // so that nothing is opened
		s := newShard(m, 5, nil)
		m.gen, m.shards[5] = &generation{id: 7, partitions: []int32{5}}, s
		m.adopt(&generation{id: c.next, partitions: c.assigned})
		if survives := m.shards[5] == s && s.work.Err() == nil && !s.lost.Load(); survives != c.survives {
			t.Errorf("after generation 7, in %d with %v: survives is %v", c.next, c.assigned, survives)
		}
		if g, ours := m.entitled([]*shard{s}); g.id != c.next || (len(ours) == 1) != c.survives {
			t.Errorf("generation %d commits for %v", g.id, ours)
		}
		m.cancelWork()
	}
}
