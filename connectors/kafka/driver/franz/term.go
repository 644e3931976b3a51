package franz

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka/driver"
)

// A term is the life of a generation: heartbeats keep the member in the group until the generation is over and
// released, as the group waits for its members to join again.
type term struct {
	g          *group
	generation int32
	member     string
	leads      bool
	counted    int // partitions that the leader shared

	over, released chan struct{}
	end, release   func() // close them, once
	beats          context.Context
	stopBeats      context.CancelFunc
	beating        sync.WaitGroup // stop joins it
}

func newTerm(g *group, generation int32, member string) *term {
	t := &term{g: g, generation: generation, member: member, over: make(chan struct{}), released: make(chan struct{})}
	t.end = sync.OnceFunc(func() { close(t.over) })
	t.beats, t.stopBeats = context.WithCancel(context.Background())
	t.release = sync.OnceFunc(func() { close(t.released) })
	return t
}

// begin starts the heartbeats, and for the one that shares partitions the watch over their number.
func (t *term) begin(mine []int32) *driver.Generation {
	t.beating.Go(t.beat)
	if t.leads {
		t.beating.Go(t.watch)
	}
	return &driver.Generation{ID: t.generation, Member: t.member, Partitions: mine, Over: t.over, Release: t.release}
}

// finished waits for the end of the generation and its release.
func (t *term) finished(ctx context.Context) error {
	for _, c := range []chan struct{}{t.over, t.released} {
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t.stop()
	return nil
}

func (t *term) stop() {
	t.stopBeats()
	t.beating.Wait()
}

// beat sends heartbeats. An answer that does not come is no reason to join again before the
// session has ended: the group does not know of it.
func (t *term) beat() {
	tick := time.NewTicker(t.g.Heartbeat)
	defer tick.Stop()
	left := t.g.life.Done()
	for heard := time.Now(); ; {
		select {
		case <-t.beats.Done():
			return
		case <-left:
			t.end()
			left = nil
			continue
		case <-tick.C:
		}
		err := t.heartbeat(heard.Add(t.g.Session))
		switch {
		case err == nil:
			heard = time.Now()
		case errors.Is(err, rebalanceInProgress):
			heard = time.Now()
			t.end()
		case errors.Is(err, illegalGeneration), errors.Is(err, unknownMember), errors.Is(err, errClosed):
			t.end()
			return
		case time.Since(heard) >= t.g.Session:
			t.end()
			return
		}
	}
}

func (t *term) heartbeat(last time.Time) error {
	ctx, cancel := context.WithDeadline(t.beats, last)
	defer cancel()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = t.g.Group, t.member, t.generation
	_, err := atCoordinator(ctx, t.g.c, t.g.office(), req, func(r *kmsg.HeartbeatResponse) int16 { return r.ErrorCode })
	return err
}

// countEvery is how often the leader of a group counts the topic's partitions.
const countEvery = 5 * time.Second

// watch ends the generation when the topic has got more partitions than the leader shared.
func (t *term) watch() {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.beats.Done():
			return
		case <-t.over:
			return
		case <-tick.C:
		}
		if n, err := t.g.partitions(t.beats); err == nil && n != t.counted {
			t.end()
			return
		}
	}
}
