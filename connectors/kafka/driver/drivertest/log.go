package drivertest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/connectors/kafka/driver"
)

// logCases are what the contract says of Fetch.
func logCases(t *testing.T, w *world) {
	t.Run("several partitions", func(t *testing.T) { fetchesSeveral(t, w) })
	t.Run("waits for the first record", func(t *testing.T) { fetchWaits(t, w) })
	t.Run("waiting delays no other", func(t *testing.T) { fetchDelaysNoOther(t, w) })
	t.Run("first batch comes whole", func(t *testing.T) { fetchesFirstBatch(t, w) })
	t.Run("from within a batch", func(t *testing.T) { fetchesFromWithin(t, w) })
	t.Run("faults stay in their partition", func(t *testing.T) { fetchFaults(t, w) })
	t.Run("transactions", func(t *testing.T) { fetchesTransactions(t, w) })
	t.Run("ends with its context", func(t *testing.T) { fetchEnds(t, w) })
}

func fetchesSeveral(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(3)
	want := map[int32][]string{0: {"a", "b"}, 2: {"c"}}
	for p, vs := range want {
		c.store(topic, p, vs...)
	}
	f := driver.Fetch{Topic: topic, MaxBytes: 1 << 20}
	for p := range int32(3) {
		f.Partitions = append(f.Partitions, driver.FetchPartition{Partition: p, MaxBytes: 1 << 20})
	}
	got := map[int32][]string{}
	eventually(t, "records of two partitions", func(ctx context.Context) bool { // an answer may lack partitions
		for _, f := range must[[]driver.Fetched](t)(c.Fetch(ctx, c.leader(topic), f)) {
			if f.Err != nil || f.End != int64(len(want[f.Partition])) || len(f.Aborted) > 0 {
				t.Fatalf("partition %d: %v", f.Partition, f)
			}
			if vs := values(t, f.Batches); len(vs) > 0 {
				got[f.Partition] = vs
			}
		}
		return len(got) == 2
	})
	equal(t, "records", got, want)
}

func fetchWaits(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(1)
	leader := c.leader(topic)
	f := driver.Fetch{Topic: topic, Wait: 300, MaxBytes: 1 << 20, Partitions: []driver.FetchPartition{{MaxBytes: 1 << 20}}}
	began := time.Now()
	for _, got := range must[[]driver.Fetched](t)(c.Fetch(testContext(t), leader, f)) {
		if got.Err != nil || len(got.Batches) > 0 || got.End != 0 {
			t.Errorf("of an empty partition: %v", got)
		}
	}
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("the broker waited %v, want 300ms", took)
	}
	f.Wait = int32(patience.Milliseconds())
	came := make(chan []driver.Fetched, 1)
	go func() {
		got, _ := c.Fetch(testContext(t), leader, f)
		came <- got
	}()
	within(t, "a record's way to a fetch that waits", soon, func() {
		c.store(topic, 0, "x")
		if got := receive(t, "answer", came); len(got) != 1 || len(values(t, got[0].Batches)) != 1 {
			t.Errorf("got %v, want the record", got)
		}
	})
}

// Fetches of two topics wait side by side.
func fetchDelaysNoOther(t *testing.T, w *world) {
	c := w.dial(t)
	quiet, topic := c.topic(1), c.topic(1)
	leader := c.leader(topic)
	ctx, stop := context.WithCancel(testContext(t))
	ended := make(chan bool)
	for range 3 {
		go func() {
			_, _ = c.Fetch(ctx, leader, driver.Fetch{Topic: quiet, Wait: int32(patience.Milliseconds()), MaxBytes: 1 << 20,
				Partitions: []driver.FetchPartition{{MaxBytes: 1 << 20}}})
			ended <- true
		}()
	}
	within(t, "requests beside three fetches that wait", soon, func() {
		for i := range 10 {
			c.store(topic, 0, fmt.Sprint(i))
			c.read(topic, false)
		}
	})
	stop()
	for range 3 {
		receive(t, "end of a fetch", ended)
	}
}

func fetchesFirstBatch(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(1)
	large := strings.Repeat("x", 200_000)
	c.store(topic, 0, large)
	c.store(topic, 0, "next")
	got := must[[]driver.Fetched](t)(c.Fetch(testContext(t), c.leader(topic), driver.Fetch{Topic: topic, MaxBytes: 1000,
		Partitions: []driver.FetchPartition{{MaxBytes: 1000}}}))
	if len(got) != 1 || got[0].Err != nil {
		t.Fatalf("got %v", got)
	}
	if vs := values(t, got[0].Batches); len(vs) != 1 || vs[0] != large {
		t.Errorf("got %d records, want the first batch alone", len(vs))
	}
	equal(t, "end", got[0].End, 2)
}

// Batches come whole, also when the asked offset lies within one.
func fetchesFromWithin(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(1)
	c.store(topic, 0, "a", "b", "c")
	got := must[[]driver.Fetched](t)(c.Fetch(testContext(t), c.leader(topic), driver.Fetch{Topic: topic, MaxBytes: 1 << 20,
		Partitions: []driver.FetchPartition{{From: 1, MaxBytes: 1 << 20}}}))
	if len(got) != 1 || got[0].Err != nil {
		t.Fatalf("got %v", got)
	}
	equal(t, "records", values(t, got[0].Batches), "[a b c]")
}

func fetchFaults(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(2)
	c.store(topic, 0, "a")
	want := map[int32]driver.Code{0: 0, 1: driver.OffsetOutOfRange, 7: driver.UnknownTopicOrPartition}
	f := driver.Fetch{Topic: topic, MaxBytes: 1 << 20, Partitions: []driver.FetchPartition{
		{Partition: 7, MaxBytes: 1 << 20}, {Partition: 1, From: 5, MaxBytes: 1 << 20}, {Partition: 0, MaxBytes: 1 << 20}}}
	for _, got := range must[[]driver.Fetched](t)(c.Fetch(testContext(t), c.leader(topic), f)) {
		if code := want[got.Partition]; code != 0 {
			coded(t, fmt.Sprint("partition ", got.Partition), got.Err, code)
		} else if got.Err != nil || len(values(t, got.Batches)) != 1 {
			t.Errorf("partition 0, beside two that fail: %v", got)
		}
		delete(want, got.Partition)
	}
	equal(t, "partitions without an answer", want, "map[]")
	f.Topic = unique(t)
	for _, got := range must[[]driver.Fetched](t)(c.Fetch(testContext(t), c.leader(topic), f)) {
		coded(t, "topic that does not exist", got.Err, driver.UnknownTopicOrPartition)
	}
}

// A fetch that reads committed sees no open transaction, and is told which were given up.
func fetchesTransactions(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(1)
	c.store(topic, 0, "before")
	cl := transactional(t, w.addr, topic)
	for _, step := range []struct {
		value string
		try   kgo.TransactionEndTry
	}{{"given up", kgo.TryAbort}, {"committed", kgo.TryCommit}} {
		within1(t, cl, topic, step.value)
		if err := cl.EndTransaction(testContext(t), step.try); err != nil {
			t.Fatal(err)
		}
	}
	var got driver.Fetched
	eventually(t, "both transactions' ends", func(context.Context) bool { // markers are written some time after
		got = c.read(topic, true)
		return strings.Contains(fmt.Sprint(values(t, got.Batches)), "committed]")
	})
	equal(t, "records", values(t, got.Batches), "[before given up committed]")
	if len(got.Aborted) != 1 {
		t.Fatalf("aborted: %v, want one", got.Aborted)
	}
	first := decode(t, got.Batches)[1]
	equal(t, "aborted", got.Aborted[0], driver.Aborted{Producer: first.ProducerID, First: first.FirstOffset})
	equal(t, "aborted for who reads uncommitted", c.read(topic, false).Aborted, "[]")

	end := c.end(topic, 0)
	within1(t, cl, topic, "open")
	equal(t, "records beside an open transaction", values(t, c.read(topic, true).Batches), "[before given up committed]")
	equal(t, "records for who reads uncommitted", values(t, c.read(topic, false).Batches), "[before given up committed open]")
	equal(t, "end", c.end(topic, 0), end+1)
	equal(t, "committed end", c.place(driver.OffsetQuery{Topic: topic, Partitions: []int32{0}, Time: driver.End, Committed: true}), end)
	if err := cl.EndTransaction(testContext(t), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}

// transactional is a client of its own, as a driver cannot give a transaction up.
func transactional(t testing.TB, addr, name string) *kgo.Client {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID(name), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// within1 begins a transaction with a record in partition 0.
func within1(t testing.TB, cl *kgo.Client, topic, value string) {
	t.Helper()
	err := cl.BeginTransaction()
	if err == nil {
		err = cl.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func fetchEnds(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(1)
	leader := c.leader(topic)
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	within(t, "the end of a fetch whose context ended", soon, func() {
		_, err := c.Fetch(ctx, leader, driver.Fetch{Topic: topic, Wait: int32(patience.Milliseconds()), MaxBytes: 1 << 20,
			Partitions: []driver.FetchPartition{{MaxBytes: 1 << 20}}})
		if err == nil {
			t.Error("no error")
		}
	})
	c.store(topic, 0, "later requests go on")
}

// leaderCases run against three brokers: a partition answers at its leader alone.
func leaderCases(t *testing.T, open Open) {
	topic := unique(t)
	fake, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(6, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	w := &world{open: open, addr: fake.ListenAddrs()[0]}
	c := w.dial(t)
	m := must[driver.Metadata](t)(c.Metadata(testContext(t), driver.AnyBroker, []string{topic}))
	if len(m.Brokers) != 3 || len(m.Topics) != 1 || len(m.Topics[0].Leaders) != 6 {
		t.Fatalf("metadata of three brokers and six partitions: %v", m)
	}
	for _, b := range m.Brokers {
		from := must[driver.Metadata](t)(c.Metadata(testContext(t), b.ID, nil))
		equal(t, fmt.Sprintf("brokers, asked of broker %d", b.ID), len(from.Brokers), 3)
		for p, leader := range m.Topics[0].Leaders {
			p := int32(p)
			stored := must[[]driver.Stored](t)(c.Produce(testContext(t), b.ID, []driver.Batch{{Place: driver.Place{Topic: topic, Partition: p},
				Raw: encode(batch{values: []string{"x"}})}}))
			fetched := must[[]driver.Fetched](t)(c.Fetch(testContext(t), b.ID, driver.Fetch{Topic: topic, MaxBytes: 1 << 20,
				Partitions: []driver.FetchPartition{{Partition: p, MaxBytes: 1 << 20}}}))
			offsets := must[[]driver.Offset](t)(c.Offsets(testContext(t), b.ID, driver.OffsetQuery{Topic: topic, Partitions: []int32{p}, Time: driver.First}))
			for _, err := range []error{stored[0].Err, fetched[0].Err, offsets[0].Err} {
				if leader != b.ID {
					coded(t, fmt.Sprintf("partition %d of broker %d, asked of broker %d", p, leader, b.ID), err, notLeader)
				} else if err != nil {
					t.Errorf("partition %d, asked of its leader: %v", p, err)
				}
			}
		}
	}
}

const notLeader driver.Code = 6
