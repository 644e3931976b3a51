package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/connectors/kafka"
	"weir/schemas"
)

func TestProduceAndConsume(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 2)
		before := time.Now().Add(-time.Second)
		ms := []schemas.Message{
			{Key: []byte("k"), Value: []byte("v"), Headers: []schemas.Header{{Key: "a", Value: []byte{0, 255}}, {Key: "b"}}},
			{Value: nil},
			{Key: []byte{}, Value: []byte{}},
		}
		base, err := c.Produce(testContext(t), topic, 1, ms)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "base offset", base, 0)
		got := consume(t, c, topic, []int64{0, 0}, 3)
		for i, r := range got {
			if r.Partition != 1 || r.Offset != int64(i) || r.Time.Before(before) || r.Time.After(time.Now().Add(time.Second)) {
				t.Errorf("record %d: %+v", i, r)
			}
			for _, x := range [][2][]byte{{r.Key, ms[i].Key}, {r.Value, ms[i].Value}} {
				if (x[0] == nil) != (x[1] == nil) || !bytes.Equal(x[0], x[1]) {
					t.Errorf("record %d: got %#v, want %#v", i, x[0], x[1])
				}
			}
		}
		if len(got[0].Headers) != 2 || got[0].Headers[0].Key != "a" || got[0].Headers[1].Value != nil {
			t.Errorf("headers: %v", got[0].Headers)
		}
		produce(t, c, topic, 1, "4th")
		equal(t, "from the middle", values(consume(t, c, topic, []int64{-1, 2}, 2)), "[ 4th]")
	})
}

func TestOrderUnderConcurrency(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		var batches atomic.Int64
		c := dial(t, addr, kafka.Options{Events: kafka.Events{Produced: func(string, int32, int, int, time.Duration) { batches.Add(1) }}})
		const partitions, writers, each = 3, 8, 50
		topic := newTopic(t, c, partitions)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					produce(t, c, topic, int32(i%partitions), fmt.Sprintf("%d/%d", w, i))
				}
			})
		}
		wg.Wait()
		next := map[string]int{} // by partition and writer
		for _, r := range consume(t, c, topic, make([]int64, partitions), writers*each) {
			var w, i int
			fmt.Sscanf(string(r.Value), "%d/%d", &w, &i)
			at := fmt.Sprint(r.Partition, w)
			if want, ok := next[at]; ok && i != want || int32(i%partitions) != r.Partition {
				t.Fatalf("partition %d, writer %d: got %d, want %d", r.Partition, w, i, want)
			}
			next[at] = i + partitions
		}
		if n := batches.Load(); n == 0 || n > writers*each {
			t.Errorf("%d batches for %d messages", n, writers*each)
		}
	})
}

func TestTooLarge(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1, "max.message.bytes", "100000")
		// Ten records of 30 kB fit one by one, but not in one batch.
		var ms []schemas.Message
		for i := range 10 {
			ms = append(ms, message(fmt.Sprint(i)+strings.Repeat("x", 30000)))
		}
		ms[3].Value = make([]byte, 200000)
		ms[9].Value = make([]byte, 100001)
		base, err := c.Produce(testContext(t), topic, 0, ms)
		var large *kafka.TooLargeError
		if !errors.As(err, &large) {
			t.Fatalf("got %v, want a TooLargeError", err)
		}
		equal(t, "refused", large.Messages, []int{3, 9})
		equal(t, "base", base, 0)
		var got []string
		for _, v := range values(consume(t, c, topic, []int64{0}, 8)) {
			got = append(got, v[:1])
		}
		equal(t, "durable", got, "[0 1 2 4 5 6 7 8]")
	})
}

func TestLargeRecord(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1, "max.message.bytes", fmt.Sprint(32<<20))
		want := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
		if _, err := c.Produce(testContext(t), topic, 0, []schemas.Message{message("small"), {Value: want}, message("small")}); err != nil {
			t.Fatal(err)
		}
		got := consume(t, c, topic, []int64{0}, 3)
		if !bytes.Equal(got[1].Value, want) || string(got[2].Value) != "small" {
			t.Error("the large record or its neighbour differs")
		}
	})
}

func TestUnknownTopic(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		ctx := testContext(t)
		_, produced := c.Produce(ctx, "nowhere", 0, []schemas.Message{message("x")})
		_, asked := c.Partitions(ctx, "nowhere")
		ran := (&kafka.Source{Client: c, Topic: "nowhere", Group: "g", NewDecoder: newLines}).Run(ctx, nil)
		for what, err := range map[string]error{"Produce": produced, "Partitions": asked, "Run": ran} {
			var unknown *kafka.UnknownTopicError
			if !errors.As(err, &unknown) || unknown.Topic != "nowhere" || !strings.Contains(err.Error(), "weir topics create SPEC") {
				t.Errorf("%s: got %v", what, err)
			}
		}
	})
}

func TestOffsets(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 2)
		produce(t, c, topic, 0, "a", "b")
		first := consume(t, c, topic, []int64{1, -1}, 1)[0].Time
		for first.Equal(time.Now().Truncate(time.Millisecond)) { // the next record gets a later stamp
		}
		produce(t, c, topic, 0, "c")
		for _, x := range []struct {
			at   kafka.Start
			want string
		}{
			{kafka.Earliest, "[0 0]"}, {kafka.Latest, "[3 0]"}, {kafka.Exactly(1), "[1 0]"}, {kafka.Exactly(99), "[3 0]"},
			{kafka.At(first.Add(-time.Hour)), "[0 0]"}, {kafka.At(first.Add(time.Millisecond)), "[2 0]"}, {kafka.At(time.Now().Add(time.Hour)), "[3 0]"},
		} {
			got, err := c.Offsets(testContext(t), topic, x.at)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, fmt.Sprint("offsets at ", int64(x.at)), got, x.want)
		}
	})
}

func TestOutOfRange(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		moved := make(chan [2]int64, 100)
		c := dial(t, addr, kafka.Options{Events: kafka.Events{
			OutOfRange: func(_ string, _ int32, asked, from int64) { moved <- [2]int64{asked, from} }}})
		topic := newTopic(t, c, 1)
		produce(t, c, topic, 0, "a", "b")
		equal(t, "records", values(consume(t, c, topic, []int64{100}, 2)), "[a b]")
		equal(t, "event", <-moved, "[100 0]")
	})
}

func TestCreateTopicsLeavesOthersAlone(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 3)
		created, err := c.CreateTopics(testContext(t), []kafka.Topic{{Name: topic, Partitions: 9}, {Name: topic + ".new"}})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "created", created, []string{topic + ".new"})
		for name, want := range map[string]int{topic: 3, topic + ".new": 1} {
			if n, err := c.Partitions(testContext(t), name); n != want || err != nil {
				t.Errorf("%s: %d partitions, error %v, want %d", name, n, err, want)
			}
		}
	})
}

func TestPartitionFor(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 5)
	var got []int32
	for _, key := range [][]byte{[]byte("foobar"), nil, nil, []byte("foobar"), nil} {
		p, err := c.PartitionFor(testContext(t), topic, key)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	equal(t, "partitions", got, "[1 0 1 1 2]")
}

// A broker that cannot be reached ends Dial soon, with one line that names it and says what to do.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	var wg sync.WaitGroup
	for _, x := range []struct{ addr, says string }{
		{closed.Addr().String(), "connection refused"},
		{silent.Addr().String(), "nothing answers"},
		{"no-such-host.invalid:9092", "cannot be resolved"},
	} {
		wg.Go(func() {
			began := time.Now()
			_, err := kafka.Dial(context.Background(), kafka.Options{Brokers: []string{x.addr}})
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("%s: took %v", x.addr, took)
			}
			if err == nil || !strings.Contains(err.Error(), x.addr) || !strings.Contains(err.Error(), x.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %v, want %q", x.addr, err, x.says)
			}
		})
	}
	wg.Wait()
	if _, err := kafka.Dial(context.Background(), kafka.Options{Brokers: []string{"localhost"}}); err == nil || !strings.Contains(err.Error(), "host:port") {
		t.Errorf("address without port: %v", err)
	}
}

// A cut line loses nothing: what was not acknowledged is sent again, and reading goes on where it was.
func TestCutLine(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		l := &line{}
		retried := make(chan error, 10000)
		c := dial(t, addr, kafka.Options{Dialer: l.DialContext, Events: kafka.Events{Retry: func(err error) {
			select {
			case retried <- err:
			default:
			}
		}}})
		topic := newTopic(t, c, 1)
		ctx, stop := context.WithCancel(testContext(t))
		defer stop()
		var got []string
		consumed := make(chan error, 1)
		go func() {
			consumed <- c.Consume(ctx, topic, []int64{0}, func(r schemas.Record) error {
				if got = append(got, string(r.Value)); string(r.Value) == "last" {
					stop()
				}
				return nil
			})
		}()
		want := numbers("", 300)
		for i, v := range want {
			if i%100 == 50 {
				l.set(true)
				done := make(chan struct{})
				go func() {
					defer close(done)
					receive(t, "retry", retried)
					l.set(false)
				}()
				produce(t, c, topic, 0, v)
				<-done
				continue
			}
			produce(t, c, topic, 0, v)
		}
		produce(t, c, topic, 0, "last")
		if err := receive(t, "end of Consume", consumed); err != nil {
			t.Fatal(err)
		}
		equal(t, "records", slices.Compact(got), append(want, "last"))
	})
}

// A message whose caller gave up holds up nobody, and its memory is no longer touched.
func TestProduceGivesUpWithItsContext(t *testing.T) {
	l := &line{}
	c := dial(t, embedded(t).Addr(), kafka.Options{Dialer: l.DialContext})
	topic := newTopic(t, c, 1)
	l.set(true)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Produce(ctx, topic, 0, []schemas.Message{message("lost")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	l.set(false)
	produce(t, c, topic, 0, "kept")
	equal(t, "records", values(consume(t, c, topic, []int64{0}, 1)), "[kept]")
}

// Close breaks even the polls in flight.
func TestClosedClient(t *testing.T) {
	l := &line{}
	c := dial(t, embedded(t).Addr(), kafka.Options{Dialer: l.DialContext})
	topic := newTopic(t, c, 1)
	produce(t, c, topic, 0, "x")
	first, consumed := make(chan struct{}), make(chan error, 1)
	go func() {
		consumed <- c.Consume(context.Background(), topic, []int64{0}, func(schemas.Record) error { close(first); return nil })
	}()
	receive(t, "record", first)
	c.Close()
	if err := receive(t, "end of Consume", consumed); err == nil {
		t.Error("Consume ended without an error, although its context lives")
	}
	for _, nc := range l.conns {
		if err := nc.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a connection is still open: %v", err)
		}
	}
	if _, err := c.Produce(context.Background(), topic, 0, []schemas.Message{message("x")}); err == nil {
		t.Error("Produce after Close: no error")
	}
}

// When a partition's leader moves, writing and reading follow it at once.
func TestLeaderMoves(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.GroupMinSessionTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	c := dial(t, cluster.ListenAddrs()[0], kafka.Options{})
	topic := newTopic(t, c, 1)
	r := newConsumer(c, topic, topic).start(t)
	for i := range 6 {
		value := fmt.Sprint(i)
		began := time.Now()
		produce(t, c, topic, 0, value)
		r.await(t, []string{value})
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("after a move to node %d: %v", cluster.LeaderFor(topic, 0), took)
		}
		if err := cluster.MoveTopicPartition(topic, 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
	}
	r.end(t)
}

// In a topic of log append time a record's stamp is the broker's, whatever its producer says.
func TestLogAppendTime(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1, "message.timestamp.type", "LogAppendTime")
		cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		before := time.Now().Truncate(time.Millisecond)
		old := &kgo.Record{Topic: topic, Value: []byte("x"), Timestamp: time.Unix(1000, 0)}
		if err := cl.ProduceSync(testContext(t), old).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if got := consume(t, c, topic, []int64{0}, 1)[0].Time; got.Before(before) || got.After(time.Now()) {
			t.Errorf("stamp %v, want the broker's, of just now (%v)", got, before)
		}
	})
}
