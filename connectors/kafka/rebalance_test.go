package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka"
	"weir/connectors/kafka/driver"
	"weir/pipeline"
)

// crew makes members of one group that write what they read to an output behind their fences, as processes
// of one pipeline do.
type crew struct {
	in, out    string
	partitions int
	published  []string
}

func newCrew(t testing.TB, c *kafka.Client, partitions int) *crew {
	return &crew{in: newTopic(t, c, partitions), out: newTopic(t, c, partitions), partitions: partitions}
}

func (w *crew) member(c *kafka.Client) *consumer {
	r := newConsumer(c, w.in, w.in)
	r.source.Fenced = true
	r.sink = fenced(c, w.in, w.out)[0]
	return r
}

// publish sends n rows to each of some partitions and returns them.
func (w *crew) publish(t testing.TB, c *kafka.Client, name string, n int, partitions ...int32) (rows []string) {
	t.Helper()
	for _, p := range partitions {
		part := numbers(fmt.Sprintf("%s%d-", name, p), n)
		produce(t, c, w.in, p, part...)
		rows = append(rows, part...)
	}
	w.published = append(w.published, rows...)
	return rows
}

// judge compares what was published with what was written: every row once.
func (w *crew) judge(t testing.TB, c *kafka.Client) {
	t.Helper()
	times := map[string]int{}
	for _, v := range values(consume(t, c, w.out, make([]int64, w.partitions), len(w.published))) {
		times[v]++
	}
	for _, row := range w.published {
		if times[row] != 1 {
			t.Errorf("%s was written %d times", row, times[row])
		}
	}
}

// opens receives n openings.
func opens(t testing.TB, r *consumer, n int) (ids []int32) {
	t.Helper()
	for range n {
		ids = append(ids, receive(t, "opening", r.opened).ID)
	}
	return ids
}

// Partitions that stay with a member neither stop nor start when others come and go, and each row is written
// once all the same.
func TestPartitionsStay(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c, other := dial(t, addr, kafka.Options{}), dial(t, addr, kafka.Options{})
		w := newCrew(t, c, 4)
		all := []int32{0, 1, 2, 3}
		first, second := w.member(c), w.member(other)
		second.delivered = first.delivered // whoever owns a partition delivers it
		first.start(t)
		opens(t, first, 4)
		first.await(t, w.publish(t, c, "alone", 50, all...))
		second.start(t)
		moved := opens(t, second, 2)
		first.awaitShare(t, 2)
		for range moved {
			if id := receive(t, "closing", first.closed); !slices.Contains(moved, id) {
				t.Errorf("partition %d was closed, but stays", id)
			}
		}
		first.await(t, w.publish(t, c, "both", 50, all...))
		if took := second.end(t); took > 2*time.Second {
			t.Errorf("leaving took %v", took)
		}
		back := opens(t, first, 2)
		slices.Sort(moved)
		slices.Sort(back)
		equal(t, "partitions that came back", back, moved)
		first.await(t, w.publish(t, c, "again", 50, all...))
		equal(t, "other openings, closings and failures", fmt.Sprint(len(first.opened), len(first.closed), len(first.reopened)), "0 0 0")
		first.end(t)
		w.judge(t, c)
	})
}

// A member that dies keeps the group waiting for its session, if somebody joins meanwhile. The partitions of
// the others are served all that time.
func TestServesWhileTheGroupWaits(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		l := &line{}
		c, doomed := dial(t, addr, kafka.Options{}), dial(t, addr, kafka.Options{Dialer: l.DialContext})
		w := newCrew(t, c, 4)
		first, second, third := w.member(c), w.member(doomed), w.member(c)
		for _, r := range []*consumer{first, second, third} {
			// The same for all: the embedded broker's runs on while a member waits in a join.
			r.source.Session = 4 * time.Second
		}
		first.start(t)
		opens(t, first, 4)
		second.start(t)
		dead := opens(t, second, 2)
		first.awaitShare(t, 2)
		var mine []int32
		for p := range int32(4) {
			if !slices.Contains(dead, p) {
				mine = append(mine, p)
			}
		}
		for range dead {
			receive(t, "closing", first.closed)
		}
		drainAll(first.gap)
		l.set(true)
		third.start(t)
		receive(t, "end of the generation", first.gap)
		for i := range 10 { // each row is fetched, written and acknowledged before the next
			first.await(t, w.publish(t, c, fmt.Sprint("meanwhile", i, "-"), 1, mine...))
		}
		lost := w.publish(t, c, "dead", 5, dead...)
		equal(t, "generations meanwhile", len(first.share), 0)
		third.await(t, lost)
		first.await(t, w.publish(t, c, "after", 5, mine...))
		equal(t, "openings, closings and failures of the survivor", fmt.Sprint(len(first.opened), len(first.closed), len(first.reopened)), "0 0 0")
		second.end(t)
		third.end(t)
		first.end(t)
		w.judge(t, c)
	})
}

func drainAll[T any](c chan T) {
	for len(c) > 0 {
		<-c
	}
}

// What was finished when a partition moves is committed before: its new owner repeats nothing.
func TestCleanHandOver(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		w := newCrew(t, c, 4)
		all := []int32{0, 1, 2, 3}
		first, second := w.member(c), w.member(c)
		first.source.CommitEvery, second.source.CommitEvery = time.Hour, time.Hour
		first.start(t)
		old := w.publish(t, c, "old", 20, all...)
		first.await(t, old)
		second.start(t)
		second.await(t, w.publish(t, c, "new", 1, opens(t, second, 2)...))
		second.end(t)
		first.end(t)
		for _, row := range old {
			if second.finished[row] > 0 {
				t.Errorf("%s was read again", row)
			}
		}
		w.judge(t, c)
	})
}

// A member that leaves while the group is waiting for others says goodbye, and takes no longer than otherwise.
func TestLeavesWhileTheGroupWaits(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		l := &line{}
		c, doomed := dial(t, addr, kafka.Options{}), dial(t, addr, kafka.Options{Dialer: l.DialContext})
		w := newCrew(t, c, 4)
		first, second, third := w.member(c), w.member(doomed), w.member(c)
		second.source.Session = 10 * time.Second // and nobody hears of it before
		first.start(t)
		opens(t, first, 4)
		second.start(t)
		opens(t, second, 2)
		first.awaitShare(t, 2)
		were := members(t, addr, w.in)
		drainAll(first.gap)
		l.set(true)
		third.start(t)
		receive(t, "end of the generation", first.gap)
		if took := first.end(t); took > 2*time.Second {
			t.Errorf("leaving took %v", took)
		}
		left := slices.DeleteFunc(members(t, addr, w.in), func(id string) bool { return !slices.Contains(were, id) })
		equal(t, "members before, and those of them that are left", fmt.Sprint(len(were), len(left)), "2 1")
		second.end(t)
		third.end(t)
	})
}

// members lists who is in a group, or about to join it.
func members(t testing.TB, addr, group string) (ids []string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	res, err := req.RequestWith(testContext(t), cl)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range res.Groups[0].Members {
		ids = append(ids, m.MemberID)
	}
	return ids
}

// expel takes a member out of its group, as its session's end does.
func expel(t testing.TB, addr, group, member string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = group, member
	req.Members = append(req.Members, kmsg.LeaveGroupRequestMember{MemberID: member})
	if res, err := req.RequestWith(testContext(t), cl); err != nil || res.ErrorCode != 0 {
		t.Fatalf("expel: %v %+v", err, res)
	}
}

// A member that was expelled and does not know it yet, as after a long freeze, is refused: its writes, with
// which it closes the partition, and its commits. When it hears of it, it joins again.
func TestZombie(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		l := &line{}
		c, frozen := dial(t, addr, kafka.Options{}), dial(t, addr, kafka.Options{Dialer: l.DialContext})
		w := newCrew(t, c, 2)
		zombie, heir := w.member(frozen), w.member(c)
		zombie.source.Session, zombie.source.Heartbeat = time.Minute, 20*time.Second // hears of nothing
		zombie.start(t)
		opens(t, zombie, 2)
		zombie.await(t, w.publish(t, c, "before", 10, 0, 1))
		for range 2 {
			for receive(t, "commit", zombie.committed)[1] != 10 {
			}
		}
		expel(t, addr, w.in, members(t, addr, w.in)[0])
		heir.start(t)
		opens(t, heir, 2)
		rows := w.publish(t, c, "after", 5, 0, 1)
		heir.await(t, rows)
		for range 2 {
			var refused *kafka.FencedError
			if err := receive(t, "refusal", zombie.reopened); !errors.As(err, &refused) {
				t.Errorf("the zombie failed with %v, want to be fenced off", err)
			}
			receive(t, "closing", zombie.closed)
		}
		for _, row := range rows {
			if zombie.finished[row] > 0 {
				t.Errorf("%s: the zombie wrote it", row)
			}
		}
		equal(t, "openings of the zombie, and commits", fmt.Sprint(len(zombie.opened), len(zombie.committed)), "0 0")
		l.set(true) // the end of its connections makes it ask
		l.set(false)
		id := opens(t, zombie, 1)
		zombie.await(t, w.publish(t, c, "rejoined", 5, id...))
		zombie.end(t)
		heir.end(t)
		w.judge(t, c)
	})
}

// The number of a generation that has passed does not commit: the group says so by partition, and nothing is
// told to be committed.
func TestOldGenerationDoesNotCommit(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		zombie := newConsumer(c, topic, topic)
		zombie.source.Fenced, zombie.source.Session, zombie.source.Heartbeat = true, time.Minute, 20*time.Second
		zombie.start(t)
		opens(t, zombie, 1)
		expel(t, addr, topic, members(t, addr, topic)[0])
		produce(t, c, topic, 0, "a", "b")
		zombie.await(t, []string{"a", "b"})
		for {
			err := receive(t, "refusal of the commit", zombie.retried)
			if errors.Is(err, driver.Code(kerr.UnknownMemberID.Code)) || errors.Is(err, driver.Code(kerr.IllegalGeneration.Code)) {
				break
			}
		}
		heir := newConsumer(c, topic, topic).start(t)
		heir.await(t, []string{"a", "b"})
		equal(t, "commits of the zombie", len(zombie.committed), 0)
		heir.end(t)
		zombie.end(t)
	})
}

// Somebody who is no member takes a partition over, as a zombie does that wakes up. Its rightful owner is
// refused, waits for a session whether it hears of a new owner, and then takes it back.
func TestTakesBack(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		w := newCrew(t, c, 1)
		r := w.member(c)
		r.source.Session = time.Second
		r.start(t)
		opens(t, r, 1)
		intruder := openAt(t, fenced(c, w.in, w.out)[0], nil)
		rows := w.publish(t, c, "a", 5, 0)
		var refused *kafka.FencedError
		if err := receive(t, "refusal", r.reopened); !errors.As(err, &refused) {
			t.Errorf("failed with %v, want to be fenced off", err)
		}
		r.await(t, rows)
		if err := writeRows(t, intruder, 99); !errors.As(err, &refused) {
			t.Errorf("the intruder: got %v, want to be fenced off", err)
		}
		equal(t, "generations", len(r.share), 1)
		r.end(t)
		w.judge(t, c)
	})
}

// A broker that lost count of a writer's batches makes the partition start again at once: nobody took over.
func TestMiscountReopensAtOnce(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 1)
	r := newConsumer(c, topic, topic)
	r.source.Session = 4 * time.Minute
	var failed atomic.Bool
	r.deliver = func(context.Context, pipeline.Partition, arrow.Record) error {
		if !failed.Swap(true) {
			return &kafka.FencedError{Topic: topic, Cause: driver.OutOfOrderSequenceNumber}
		}
		return nil
	}
	r.start(t)
	produce(t, c, topic, 0, "a")
	r.await(t, []string{"a"})
	equal(t, "failures", len(r.reopened), 1)
	r.end(t)
}

// Without fences a partition is drained and closed before the group goes on, also one that stays: nobody else
// has a generation before what is in hand has ended.
func TestDrainsBeforeTheGroupGoesOn(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 2)
		first, second := newConsumer(c, topic, topic), newConsumer(c, topic, topic)
		first.source.Drain = 100 * time.Millisecond
		inHand := make(chan struct{}, 1)
		var slow atomic.Bool
		first.deliver = func(ctx context.Context, _ pipeline.Partition, _ arrow.Record) error {
			if slow.Swap(true) {
				return nil
			}
			inHand <- struct{}{}
			<-ctx.Done()
			equal(t, "generations of the second member", len(second.share), 0)
			return ctx.Err()
		}
		first.start(t)
		opens(t, first, 2)
		produce(t, c, topic, 0, "slow") // the first partition stays with the first member
		receive(t, "delivery", inHand)
		second.start(t)
		opens(t, second, 1)
		first.await(t, []string{"slow"})
		equal(t, "partitions closed and opened again", fmt.Sprint(len(first.closed), len(first.opened)), "2 1")
		second.end(t)
		first.end(t)
	})
}

// Members of another digest are kept out until those of the first have left.
func TestDigestsDoNotMix(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		old, same, other := newConsumer(c, topic, topic), newConsumer(c, topic, topic), newConsumer(c, topic, topic)
		old.source.Digest, same.source.Digest, other.source.Digest = "aaaa", "aaaa", "bbbb"
		refused := make(chan error, 1000)
		other.source.Events.Refused = func(err error) { refused <- err }
		old.start(t)
		opens(t, old, 1)
		other.start(t)
		for range 2 { // it goes on asking
			if err := receive(t, "refusal", refused); !errors.Is(err, driver.InconsistentGroupProtocol) {
				t.Errorf("refused with %v", err)
			}
		}
		same.start(t)
		receive(t, "generation of a member of the same digest", same.share)
		same.end(t)
		old.end(t)
		opens(t, other, 1)
		produce(t, c, topic, 0, "a")
		other.await(t, []string{"a"})
		equal(t, "rows of the others", len(old.finished)+len(same.finished), 0)
		other.end(t)
	})
}

// A partition that stands still although records wait in it starts again.
func TestWatchdog(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 2)
	r := newConsumer(c, topic, topic)
	r.source.Stall = 300 * time.Millisecond
	var stuck atomic.Bool
	r.deliver = func(ctx context.Context, p pipeline.Partition, _ arrow.Record) error {
		if p.ID == 0 && !stuck.Swap(true) {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	r.start(t)
	produce(t, c, topic, 1, "b")
	produce(t, c, topic, 0, "a", "c")
	var stalled *kafka.StalledError
	if err := receive(t, "reopening", r.reopened); !errors.As(err, &stalled) || stalled.Partition != 0 || stalled.Offset != 0 || stalled.End != 2 {
		t.Errorf("reopened: %v", err)
	}
	r.await(t, []string{"a", "b", "c"})
	r.end(t)
	equal(t, "other failures", len(r.reopened), 0)
}
