// Package drivertest holds every driver.Cluster to the contract of package driver: a case for each of its sentences.
//
//	func TestConformance(t *testing.T) { drivertest.Run(t, kafkago.New) }
//
// The cases run against the embedded broker, and against a real Kafka where WEIR_TEST_KAFKA names one. Where the
// embedded broker does something else, the case says so in a line that begins with "differs:".
package drivertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"weir/connectors/broker"
	"weir/connectors/kafka/driver"
)

// patience bounds every wait; none comes near it unless something is broken.
const patience = 30 * time.Second

// soon is how long may pass at most where the contract says "at once".
const soon = 2 * time.Second

// Open makes a cluster: the New of a driver.
type Open func(driver.Options) (driver.Cluster, error)

// Run holds a driver to the contract.
func Run(t *testing.T, open Open) {
	cases := []struct {
		name string
		test func(*testing.T, *world)
	}{
		{"log", logCases}, {"produce", produceCases}, {"offsets", offsetCases}, {"topics", topicCases},
		{"places", placeCases}, {"members", memberCases}, {"identities", identityCases}, {"ends", endCases},
	}
	run := func(name string, w func(*testing.T) *world) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w(t)
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.test(t, w)
				})
			}
		})
	}
	run("embedded", func(t *testing.T) *world { return &world{open, Embedded(t), true} })
	if addr := os.Getenv("WEIR_TEST_KAFKA"); addr != "" {
		run("kafka", func(*testing.T) *world { return &world{open, addr, false} })
	}
	t.Run("three brokers", func(t *testing.T) {
		t.Parallel()
		leaderCases(t, open)
	})
}

// Embedded starts an embedded broker for a test and returns its address.
func Embedded(t testing.TB) string {
	b, err := broker.Open(broker.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b.Addr()
}

// ShareAGroup holds two drivers to what the contract says of members that come and go, in one group.
func ShareAGroup(t *testing.T, addr string, one, two Open) {
	first, second := &world{open: one, addr: addr}, &world{open: two, addr: addr}
	shareAGroup(t, first.dial(t), second.dial(t))
}

// NewTopic creates a topic that no other test has, and returns its name and the leader of partition 0.
func NewTopic(t testing.TB, d driver.Cluster, partitions int32) (name string, leader int32) {
	c := &cluster{Cluster: d, t: t}
	name = c.topic(partitions)
	return name, c.leader(name)
}

// Batch is a record batch of some values, by nobody.
func Batch(values ...string) []byte { return encode(batch{values: values}) }

// A world is a driver and a broker to try it on.
type world struct {
	open     Open
	addr     string
	embedded bool
}

// differs says what the embedded broker does otherwise than Kafka. It returns false for Kafka.
func (w *world) differs(t testing.TB, how string) bool {
	if w.embedded {
		t.Log("differs: " + how)
	}
	return w.embedded
}

func (w *world) options() driver.Options {
	return driver.Options{Brokers: []string{w.addr}, ClientID: "drivertest", DialTimeout: 3 * time.Second}
}

// dial opens a cluster for the length of a test.
func (w *world) dial(t testing.TB) *cluster { return dial(t, w.open, w.options()) }

func dial(t testing.TB, open Open, o driver.Options) *cluster {
	t.Helper()
	c, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &cluster{Cluster: c, t: t}
}

// cluster is a driver with short ways for tests.
type cluster struct {
	driver.Cluster
	t testing.TB
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// settled repeats a request as a driver's caller does, while the broker says that it is about to be able to answer.
func settled(t testing.TB, request func(context.Context) error) error {
	t.Helper()
	ctx := testContext(t)
	for {
		err := request(ctx)
		var code driver.Code
		if !errors.As(err, &code) || code != driver.ConcurrentTransactions && (code < 14 || code > 16) {
			return err
		}
		pause(ctx)
	}
}

// pause waits a moment between two looks.
func pause(ctx context.Context) {
	t := time.NewTimer(5 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx := testContext(t)
	for !holds(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("not within %v: %s", patience, what)
		}
		pause(ctx)
	}
}

// receive waits for a value, or fails.
func receive[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
	}
	return v
}

// must fails unless a request succeeded.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %.300s, want %.300s", what, g, w)
	}
}

// coded fails unless err is one of some codes.
func coded(t testing.TB, what string, err error, codes ...driver.Code) {
	t.Helper()
	for _, c := range codes {
		if errors.Is(err, c) {
			return
		}
	}
	t.Errorf("%s: got %v, want one of %v", what, err, codes)
}

// within fails when something took longer.
func within(t testing.TB, what string, limit time.Duration, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if took := time.Since(began); took > limit {
		t.Errorf("%s took %v, want at most %v", what, took, limit)
	}
}

// unique is a name that no other test has, also of another process at the same broker.
func unique(t testing.TB) string {
	clean := func(r rune) rune {
		if r == '/' || r == ' ' {
			return '.'
		}
		if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return r
	}
	return fmt.Sprintf("%s.%d", strings.Map(clean, t.Name()), time.Now().UnixNano())
}

// topic creates a topic that no other test has, and waits until every partition answers.
func (c *cluster) topic(partitions int32, config ...string) string {
	c.t.Helper()
	topic := driver.NewTopic{Name: unique(c.t), Partitions: partitions, Replication: 1, Config: map[string]string{}}
	for i := 0; i < len(config); i += 2 {
		topic.Config[config[i]] = config[i+1]
	}
	for _, err := range must[[]error](c.t)(c.CreateTopics(testContext(c.t), c.controller(), []driver.NewTopic{topic})) {
		if err != nil {
			c.t.Fatal(err)
		}
	}
	all := make([]int32, partitions)
	for i := range all {
		all[i] = int32(i)
	}
	eventually(c.t, "leaders of "+topic.Name, func(ctx context.Context) bool {
		m, err := c.Metadata(ctx, driver.AnyBroker, []string{topic.Name})
		if err != nil || len(m.Topics) != 1 || m.Topics[0].Err != nil || len(m.Topics[0].Leaders) != int(partitions) {
			return false
		}
		os, err := c.Offsets(ctx, m.Topics[0].Leaders[0], driver.OffsetQuery{Topic: topic.Name, Partitions: all, Time: driver.End})
		for _, o := range os {
			err = errors.Join(err, o.Err)
		}
		return err == nil
	})
	return topic.Name
}

func (c *cluster) controller() int32 {
	return must[driver.Metadata](c.t)(c.Metadata(testContext(c.t), driver.AnyBroker, nil)).Controller
}

// leader of partition 0, and of all others where there is one broker.
func (c *cluster) leader(topic string) int32 {
	c.t.Helper()
	m := must[driver.Metadata](c.t)(c.Metadata(testContext(c.t), driver.AnyBroker, []string{topic}))
	return m.Topics[0].Leaders[0]
}

// store produces values to a partition and returns the base offset.
func (c *cluster) store(topic string, partition int32, values ...string) int64 {
	c.t.Helper()
	return must[int64](c.t)(c.write(topic, partition, encode(batch{values: values})))
}

// write produces a batch.
func (c *cluster) write(topic string, partition int32, raw []byte) (int64, error) {
	c.t.Helper()
	stored := must[[]driver.Stored](c.t)(c.Produce(testContext(c.t), c.leader(topic),
		[]driver.Batch{{Place: driver.Place{Topic: topic, Partition: partition}, Raw: raw}}))
	if len(stored) != 1 || stored[0].Topic != topic || stored[0].Partition != partition {
		c.t.Fatalf("answer to one batch for %s/%d: %v", topic, partition, stored)
	}
	return stored[0].Base, stored[0].Err
}

// read fetches partition 0 from the beginning on, all that there is.
func (c *cluster) read(topic string, committed bool) driver.Fetched {
	c.t.Helper()
	got := must[[]driver.Fetched](c.t)(c.Fetch(testContext(c.t), c.leader(topic), driver.Fetch{Topic: topic, MaxBytes: 1 << 24, Committed: committed,
		Partitions: []driver.FetchPartition{{MaxBytes: 1 << 24}}}))
	if len(got) != 1 || got[0].Err != nil {
		c.t.Fatalf("fetch of %s: %v", topic, got)
	}
	return got[0]
}

// end is where the next record of a partition will be.
func (c *cluster) end(topic string, partition int32) int64 {
	c.t.Helper()
	return c.place(driver.OffsetQuery{Topic: topic, Partitions: []int32{partition}, Time: driver.End})
}

// place finds one place.
func (c *cluster) place(q driver.OffsetQuery) int64 {
	c.t.Helper()
	got := must[[]driver.Offset](c.t)(c.Offsets(testContext(c.t), c.leader(q.Topic), q))
	if len(got) != 1 || got[0].Err != nil || got[0].Partition != q.Partitions[0] {
		c.t.Fatalf("offsets of %v: %v", q, got)
	}
	return got[0].Offset
}
