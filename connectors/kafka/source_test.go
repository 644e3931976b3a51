package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/connectors/kafka"
	"weir/pipeline"
	"weir/schemas"
)

func TestSource(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 2)
		produce(t, c, topic, 0, numbers("a", 1000)...)
		r := newConsumer(c, topic, topic)
		r.source.MaxRows = 64
		largest := atomic.Int64{}
		r.deliver = func(_ context.Context, _ pipeline.Partition, b arrow.Record) error {
			largest.Store(max(largest.Load(), b.NumRows()))
			return nil
		}
		r.start(t)
		r.await(t, numbers("a", 1000))
		equal(t, "largest delivery", largest.Load(), 64)

		// Null records make no rows, but the offset moves on over them.
		if _, err := c.Produce(testContext(t), topic, 1, []schemas.Message{{}, message("b"), {}}); err != nil {
			t.Fatal(err)
		}
		r.await(t, []string{"b"})
		r.awaitCommit(t, 1, 3)
		if took := r.end(t); took > 2*time.Second {
			t.Errorf("leaving took %v", took)
		}
		equal(t, "owners opened and closed", fmt.Sprint(len(r.opened), len(r.closed)), "2 2")

		// The next member goes on behind what was committed.
		r = newConsumer(c, topic, topic).start(t)
		produce(t, c, topic, 0, "new")
		r.await(t, []string{"new"})
		r.end(t)
		equal(t, "rows again", len(r.finished), 1)
	})
}

func TestTwoMembers(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 4)
		first, second := newConsumer(c, topic, topic), newConsumer(c, topic, topic)
		second.committed = first.committed // whoever owns a partition commits it
		first.start(t)
		first.awaitShare(t, 4)
		second.start(t)
		first.awaitShare(t, 2)
		second.awaitShare(t, 2)
		var want []string
		send := func(prefix string) {
			for p := range 4 {
				rows := numbers(fmt.Sprintf("%s%d-", prefix, p), 100)
				produce(t, c, topic, int32(p), rows...)
				want = append(want, rows...)
			}
		}
		send("both")
		for range 4 {
			for receive(t, "commit", first.committed)[1] != 100 {
			}
		}
		first.end(t)
		second.awaitShare(t, 4)
		send("second")
		second.await(t, want[400:])
		second.end(t)
		for _, row := range want {
			if n := first.finished[row] + second.finished[row]; n != 1 {
				t.Errorf("%s: finished %d times", row, n)
			}
		}
	})
}

func TestMark(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		produce(t, c, topic, 0, "a", "b", "c")
		r := newConsumer(c, topic, topic)
		want := append([]byte{0, 0xff, 0xfe, 0x80}, bytes.Repeat([]byte{0xc3}, 1020)...)
		r.mark = func(next int64) []byte { return append(slices.Clone(want), byte(next)) }
		r.start(t)
		if p := receive(t, "owner", r.opened); p.Mark != nil || p.ID != 0 || p.Topic != topic {
			t.Errorf("first owner: %+v", p)
		}
		r.awaitCommit(t, 0, 3)
		r.end(t)
		r = newConsumer(c, topic, topic).start(t)
		p := receive(t, "owner", r.opened)
		if !bytes.Equal(p.Mark, append(want, 3)) {
			t.Errorf("mark of %d bytes came back as %d bytes", len(want)+1, len(p.Mark))
		}
		r.end(t)
	})
}

// A partition that stands still is committed again now and then, so that its mark keeps up with its outputs.
func TestIdleMarks(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		produce(t, c, topic, 0, "a")
		r := newConsumer(c, topic, topic)
		r.source.MarkEvery = 50 * time.Millisecond
		var asked atomic.Int64
		r.mark = func(int64) []byte { return fmt.Append(nil, asked.Add(1)) }
		r.start(t)
		for range 3 {
			r.awaitCommit(t, 0, 1)
		}
		r.end(t)
		again := newConsumer(c, topic, topic).start(t)
		p := receive(t, "partition", again.opened)
		if n, err := strconv.Atoi(string(p.Mark)); err != nil || n < 3 || p.Begin != 1 {
			t.Errorf("begins at %d with mark %q, want 1 and one of the latest", p.Begin, p.Mark)
		}
		again.end(t)
	})
}

// Only the longest finished prefix is committed, however many later deliveries are done.
func TestCommitsThePrefix(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		produce(t, c, topic, 0, numbers("", 10)...)
		r := newConsumer(c, topic, topic)
		r.source.MaxRows = 1
		release := make(chan struct{})
		r.deliver = func(ctx context.Context, _ pipeline.Partition, b arrow.Record) error {
			if rowsOf(b)[0] == "0003" {
				<-release
			}
			return nil
		}
		r.start(t)
		r.await(t, slices.Delete(numbers("", 10), 3, 4))
		r.awaitCommit(t, 0, 3)
		if len(r.committed) > 0 {
			t.Errorf("committed %v past an unfinished row", <-r.committed)
		}
		close(release)
		r.awaitCommit(t, 0, 10)
		r.end(t)
	})
}

// A process that vanishes commits nothing more and says goodbye to nobody; the next member repeats rows, but
// loses none.
func TestAbruptStop(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		l := &line{}
		steady, doomed := dial(t, addr, kafka.Options{}), dial(t, addr, kafka.Options{Dialer: l.DialContext})
		topic := newTopic(t, steady, 2)
		want := append(numbers("a", 500), numbers("b", 500)...)
		produce(t, steady, topic, 0, want[:500]...)
		produce(t, steady, topic, 1, want[500:]...)
		first := newConsumer(doomed, topic, topic)
		first.source.MaxRows, first.source.Session = 10, time.Second
		var n atomic.Int64
		half := make(chan struct{})
		first.deliver = func(ctx context.Context, _ pipeline.Partition, b arrow.Record) error {
			if n.Add(1) == 50 {
				close(half)
			}
			if n.Load() >= 50 { // from here on nothing finishes
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		first.start(t)
		receive(t, "half of the deliveries", half)
		l.set(true)
		if took := first.end(t); took > 2*time.Second {
			t.Errorf("without a broker, stopping took %v", took)
		}
		second := newConsumer(steady, topic, topic).start(t)
		var left []string
		for _, row := range want {
			if first.finished[row] == 0 {
				left = append(left, row)
			}
		}
		second.await(t, left)
		second.end(t)
		if len(left) == 0 || len(left) == len(want) {
			t.Errorf("%d of %d rows were left: the stop was not in the middle", len(left), len(want))
		}
	})
}

// The end of the context leaves deliveries time to finish, commits them, and cancels those that do not.
func TestDrain(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		produce(t, c, topic, 0, "quick", "slow", "stuck", "never")
		r := newConsumer(c, topic, topic)
		r.source.MaxRows, r.source.Deliveries = 1, 4
		stopping := make(chan struct{})
		inHand := make(chan struct{}, 10)
		r.deliver = func(ctx context.Context, _ pipeline.Partition, b arrow.Record) error {
			inHand <- struct{}{}
			switch rowsOf(b)[0] {
			case "slow": // takes a while longer than the stop
				<-stopping
				select {
				case <-time.After(200 * time.Millisecond):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			case "stuck":
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		r.start(t)
		for range 4 {
			receive(t, "delivery", inHand)
		}
		go func() { close(stopping) }()
		if took := r.end(t); took > 2*time.Second {
			t.Errorf("the drain took %v", took)
		}
		r = newConsumer(c, topic, topic).start(t)
		r.await(t, []string{"stuck", "never"})
		r.end(t)
		equal(t, "rows again", len(r.finished), 2)
	})
}

// A delivery's error closes its partition, commits what came before and opens it again; others go on.
func TestDeliverError(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 2)
		r := newConsumer(c, topic, topic)
		r.source.MaxRows = 1
		reopened := make(chan error, 10)
		r.source.Events.Reopened = func(_ string, p int32, err error) { reopened <- fmt.Errorf("%d: %w", p, err) }
		var failed atomic.Bool
		boom := errors.New("boom")
		r.deliver = func(_ context.Context, p pipeline.Partition, b arrow.Record) error {
			if rowsOf(b)[0] == "a0005" && !failed.Swap(true) {
				return boom
			}
			return nil
		}
		r.start(t)
		produce(t, c, topic, 0, numbers("a", 10)...)
		produce(t, c, topic, 1, numbers("b", 10)...)
		if err := receive(t, "reopening", reopened); !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "0:") {
			t.Errorf("reopened: %v", err)
		}
		r.await(t, append(numbers("a", 10), numbers("b", 10)...))
		r.awaitCommit(t, 0, 10)
		r.end(t)
		for row, n := range r.finished {
			if n != 1 && (row < "a0006" || row > "a0009") {
				t.Errorf("%s: finished %d times", row, n)
			}
		}
		equal(t, "opened and closed", fmt.Sprint(len(r.opened), len(r.closed)), "3 3")
	})
}

func TestPermanentErrorStopsTheSource(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 1)
	produce(t, c, topic, 0, "a", "b")
	r := newConsumer(c, topic, topic)
	r.source.MaxRows = 1
	boom := errors.New("boom")
	r.deliver = func(_ context.Context, _ pipeline.Partition, b arrow.Record) error {
		if rowsOf(b)[0] == "b" {
			return pipeline.Permanent(boom)
		}
		return nil
	}
	r.start(t)
	if err := receive(t, "end of the source", r.ran); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	r = newConsumer(c, topic, topic).start(t)
	r.await(t, []string{"b"})
	r.end(t)
	equal(t, "rows again", len(r.finished), 1)
}

// Rows in flight stay within the bound, and what routed tells frees it before the delivery returns.
func TestInFlightBound(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 2)
	produce(t, c, topic, 0, numbers("", 100)...)
	var flying, most atomic.Int64
	r := newConsumer(c, topic, topic)
	r.source.MaxRows, r.source.InFlightRows, r.source.Deliveries = 10, 30, 10
	began := make(chan struct{}, 100)
	goOn, linger := make(chan struct{}), make(chan struct{})
	open := func(ctx context.Context, p pipeline.Partition) (pipeline.Owner, error) {
		return deliverFunc(func(_ context.Context, b arrow.Record, routed func()) error {
			if p.ID == 1 {
				return nil
			}
			if n := flying.Add(b.NumRows()); n > most.Load() {
				most.Store(n)
			}
			began <- struct{}{}
			<-goOn
			flying.Add(-b.NumRows())
			routed()
			<-linger
			return nil
		}), nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- r.source.Run(ctx, open) }()
	for range 3 {
		receive(t, "delivery", began)
	}
	// The other partition is not held up, and while it works a fourth delivery would have begun.
	produce(t, c, topic, 1, "a", "b", "c")
	r.awaitCommit(t, 1, 3)
	close(goOn)
	for range 7 { // although none of the first three has returned
		receive(t, "delivery", began)
	}
	close(linger)
	r.awaitCommit(t, 0, 100)
	cancel()
	receive(t, "end of the source", ran)
	if most.Load() > 30 {
		t.Errorf("%d rows in flight, the bound is 30", most.Load())
	}
}

// A partition whose deliveries are stuck is fetched only a little ahead, holds up no other, and goes on once
// there is room again.
func TestPausedPartition(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 2)
		var want []string
		for _, n := range numbers("", 60) {
			want = append(want, n+strings.Repeat("x", 100<<10))
		}
		produce(t, c, topic, 0, want...) // 6 MB, six times what a partition may bring at once
		r := newConsumer(c, topic, topic)
		r.source.MaxRows, r.source.InFlightRows = 1, 1
		var fetches atomic.Int64
		r.source.Events.Fetched = func(_ string, p int32, _, _ int, _ time.Duration) {
			if p == 0 {
				fetches.Add(1)
			}
		}
		release, stuck := make(chan struct{}), make(chan struct{}, 100)
		r.deliver = func(_ context.Context, p pipeline.Partition, _ arrow.Record) error {
			if p.ID == 0 {
				stuck <- struct{}{}
				<-release
			}
			return nil
		}
		r.start(t)
		receive(t, "delivery", stuck)
		for _, row := range numbers("other", 20) {
			produce(t, c, topic, 1, row)
			r.await(t, []string{row})
		}
		if n := fetches.Load(); n > 3 {
			t.Errorf("%d answers were fetched: one is being read, two may wait", n)
		}
		close(release)
		r.await(t, want)
		r.end(t)
	})
}

// A delivery larger than the bound goes alone.
func TestLargerThanTheBound(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 1)
	produce(t, c, topic, 0, numbers("", 100)...)
	r := newConsumer(c, topic, topic)
	r.source.MaxRows, r.source.InFlightRows, r.source.InFlightBytes = 10, 5, 5
	r.start(t)
	r.await(t, numbers("", 100))
	r.end(t)
}

type deliverFunc func(ctx context.Context, b arrow.Record, routed func()) error

func (f deliverFunc) Deliver(ctx context.Context, d pipeline.Delivery) error {
	return f(ctx, d.Rows, d.Routed)
}
func (deliverFunc) Mark(int64) []byte { return nil }
func (deliverFunc) Close() error      { return nil }

func TestLag(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 1)
	r := newConsumer(c, topic, topic)
	r.source.MaxRows = 1
	lags := make(chan float64, 1000)
	r.source.Events.Lag = func(_ string, _ int32, rows int64, seconds float64) {
		if rows == 2 && seconds > 0 || rows == 0 && seconds == 0 {
			lags <- float64(rows)
		}
	}
	release := make(chan struct{})
	r.deliver = func(context.Context, pipeline.Partition, arrow.Record) error { <-release; return nil }
	r.start(t)
	produce(t, c, topic, 0, "a", "b")
	for receive(t, "lag of 2", lags) != 2 {
	}
	close(release)
	for receive(t, "lag of 0", lags) != 0 {
	}
	r.end(t)
}

func TestOpenErrorIsTriedAgain(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 1)
	produce(t, c, topic, 0, "a")
	r := newConsumer(c, topic, topic)
	var tries atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		r.ran <- r.source.Run(ctx, func(ctx context.Context, p pipeline.Partition) (pipeline.Owner, error) {
			if tries.Add(1) < 3 {
				return nil, errors.New("not yet")
			}
			return r.open(ctx, p)
		})
	}()
	r.await(t, []string{"a"})
	cancel()
	receive(t, "end of the source", r.ran)
	equal(t, "tries", tries.Load(), 3)
}
