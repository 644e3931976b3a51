package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/connectors/kafka"
	"weir/pipeline"
)

func openSink(t testing.TB, s *kafka.Sink, partition int32) pipeline.Writer {
	w, err := s.Open(testContext(t), pipeline.Partition{Topic: "in", ID: partition}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func write(t testing.TB, w pipeline.Writer, values ...string) error {
	b := batch(make([]int64, len(values)), values)
	defer b.Release()
	return w.Write(testContext(t), b)
}

func TestSink(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 2)
		hops := make(chan time.Duration, 10)
		s := &kafka.Sink{Client: c, Topic: topic, Encode: joined{2}, Partition: func(p int32) int32 { return p / 2 }}
		s.Events.Hop = func(_ string, took time.Duration) { hops <- took }
		w := openSink(t, s, 3)
		equal(t, "position at first", w.Position(), "[-1]")
		if err := write(t, w, "a", "b", "c"); err != nil {
			t.Fatal(err)
		}
		equal(t, "position", w.Position(), "[2]")
		equal(t, "records", values(consume(t, c, topic, []int64{-1, 0}, 2)), "[a,b c]")
		if len(hops) != 1 || <-hops <= 0 {
			t.Error("no hop time")
		}
		if err := write(t, w); err != nil || w.Done().Has(0, 0) {
			t.Errorf("no rows: %v", err)
		}
	})
}

// A message of several rows that is too large is made again from fewer; only rows that are too large alone
// are refused, all others are durable.
func TestSinkHalves(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1, "max.message.bytes", "50000")
		w := openSink(t, &kafka.Sink{Client: c, Topic: topic, Encode: joined{8}}, 0)
		rows := make([]string, 16)
		for i := range rows {
			rows[i] = strings.Repeat(fmt.Sprintf("%x", i), 10000) // eight do not fit, four do
		}
		rows[5], rows[8] = strings.Repeat("5", 60000), strings.Repeat("8", 60000)
		err := write(t, w, rows...)
		var large *pipeline.TooLargeError
		if !errors.As(err, &large) || !strings.Contains(large.Limit, topic) {
			t.Fatalf("got %v", err)
		}
		equal(t, "refused", large.Rows, "[5 8]")
		seen := map[string]bool{}
		end, err := c.End(testContext(t), topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values(consume(t, c, topic, []int64{0}, int(end[0]))) {
			for _, row := range strings.Split(v, ",") {
				seen[row] = true
			}
		}
		for i, row := range rows {
			if seen[row] != (i != 5 && i != 8) {
				t.Errorf("row %d: durable is %v", i, seen[row])
			}
		}
	})
}

// Writes that arrive while the first lingers travel with it.
func TestSinkLingers(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 1, "max.message.bytes", "1000")
	// So long that only the bound of rows ends it.
	w := openSink(t, &kafka.Sink{Client: c, Topic: topic, Encode: joined{1 << 20}, Linger: time.Hour}, 0)

	// A write whose caller leaves ends the wait of a group that it was alone in.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := batch([]int64{0}, []string{"gone"})
	if err := w.Write(ctx, b); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	b.Release()

	big := batch(make([]int64, 4095), make([]string, 4095)) // 4,094 commas do not fit into 1,000 bytes
	var wg sync.WaitGroup
	errs := make([]error, 2)
	wg.Go(func() { errs[0] = w.Write(testContext(t), big) })
	wg.Go(func() { errs[1] = write(t, w, "x") })
	wg.Wait()
	big.Release()
	for i, err := range errs {
		if err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	end, _ := c.End(testContext(t), topic)
	rows := 0
	for _, v := range values(consume(t, c, topic, []int64{0}, int(end[0]))) {
		rows += 1 + strings.Count(v, ",")
	}
	equal(t, "rows", rows, 4096)
}

// A row that is too large is told to the write that brought it, and to no other.
func TestSinkSharesRefusals(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 1, "max.message.bytes", "1000")
	w := openSink(t, &kafka.Sink{Client: c, Topic: topic, Encode: joined{4}, Linger: 20 * time.Millisecond}, 0)
	long := strings.Repeat("x", 2000)
	var wg sync.WaitGroup
	for i, rows := range [][]string{{"a", "b"}, {"c", long}, {long, "d", long}} {
		wg.Go(func() {
			err := write(t, w, rows...)
			var large *pipeline.TooLargeError
			got := "none"
			if errors.As(err, &large) {
				got = fmt.Sprint(large.Rows)
			} else if err != nil {
				t.Error(err)
			}
			equal(t, fmt.Sprint("refused of write ", i), got, []string{"none", "[1]", "[0 2]"}[i])
		})
	}
	wg.Wait()
}

func TestSinkNeedsItsPartition(t *testing.T) {
	t.Parallel()
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 2)
	for name, partition := range map[string]int32{topic: 2, "nowhere": 0} {
		_, err := (&kafka.Sink{Client: c, Topic: name, Encode: joined{1}}).Open(testContext(t), pipeline.Partition{Topic: "in", ID: partition}, nil)
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s/%d: got %v", name, partition, err)
		}
	}
}
