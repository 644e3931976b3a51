package kafka

import (
	"context"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// A generation is the time between two rebalances of the group: the partitions are ours from its begin to
// its end, and then all are given back, even those that come back a moment later (kafka-go knows only this
// eager protocol).
type generation struct {
	*member
	id       int32
	memberID string
	f        *fetcher
	shards   []*shard

	// work lives until the deliveries must end, taking only until no more may begin.
	work, taking context.Context
	cancelWork   context.CancelFunc
	stopTaking   context.CancelFunc

	commits sync.Mutex // one commit at a time; also held while an owner is closed
	fault   sync.Once
	err     error // a Permanent error of a delivery
}

// generation owns the partitions of one generation until that, or ctx, ends.
func (m *member) generation(ctx context.Context, kg *kafkago.Generation) error {
	m.active.Store(true)
	defer m.active.Store(false)
	g := &generation{member: m, id: kg.ID, memberID: kg.MemberID}
	g.work, g.cancelWork = context.WithCancel(context.WithoutCancel(ctx))
	defer g.cancelWork()
	g.taking, g.stopTaking = context.WithCancel(g.work)
	ended := make(chan struct{})
	kg.Start(func(life context.Context) {
		defer close(ended)
		defer context.AfterFunc(ctx, g.stopTaking)()
		var watch sync.WaitGroup
		defer watch.Wait()
		defer g.stopTaking()
		watch.Go(func() {
			select {
			case <-life.Done():
				g.stopTaking()
			case <-g.taking.Done():
			}
		})
		g.own(assigned(kg, m.Topic))
	})
	<-ended
	return g.err
}

func assigned(kg *kafkago.Generation, topic string) []int32 {
	var ids []int32
	for _, a := range kg.Assignments[topic] {
		ids = append(ids, int32(a.ID))
	}
	return ids
}

// own runs the partitions until taking ends, drains and commits them.
func (g *generation) own(ids []int32) {
	g.Events.rebalanced(g.id, ids)
	places, err := g.committed(g.taking, ids)
	if err != nil {
		return // taking has ended
	}
	g.f = newFetcher(g.taking, g.Client, g.Topic, &g.Events)
	var running, committing sync.WaitGroup
	for _, id := range ids {
		s := newShard(g, id, places[id])
		g.shards = append(g.shards, s)
	}
	for _, s := range g.shards {
		running.Go(s.run)
	}
	committing.Go(g.commitLoop)
	<-g.taking.Done()
	last := time.AfterFunc(g.Drain, g.cancelWork)
	running.Wait()
	last.Stop()
	committing.Wait()
	g.f.join()
	g.commitNow(g.shards)
	for _, s := range g.shards {
		s.close()
	}
}

// stop ends the generation, and the source with it.
func (g *generation) stop(err error) {
	g.fault.Do(func() { g.err = err })
	g.stopTaking()
}

// commitLoop commits and reports the lag while the generation lasts.
func (g *generation) commitLoop() {
	t := time.NewTicker(g.CommitEvery)
	defer t.Stop()
	for {
		select {
		case <-g.taking.Done():
			return
		case now := <-t.C:
			g.commit(g.taking, g.shards)
			for _, s := range g.shards {
				s.reportLag(now)
			}
		}
	}
}

// commitNow commits even though taking has ended, while the group still takes this generation's commits.
func (g *generation) commitNow(shards []*shard) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.work), leaveWithin)
	defer cancel()
	g.commit(ctx, shards)
}
