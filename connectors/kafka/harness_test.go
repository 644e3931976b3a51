package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"go.uber.org/goleak"

	"weir/connectors/broker"
	"weir/connectors/kafka"
	"weir/connectors/kafka/driver/franz"
	"weir/pipeline"
	"weir/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leakless{m}) }

// leakless fails a run after which Arrow buffers are still in use.
type leakless struct{ *testing.M }

func (l leakless) Run() int {
	failed := l.M.Run()
	if n := schemas.Allocator.InUse(); n != 0 && failed == 0 {
		fmt.Printf("FAIL: %d bytes of Arrow buffers were never released\n", n)
		return 1
	}
	return failed
}

// patience bounds every wait of these tests; none comes near it unless something is broken.
const patience = 30 * time.Second

// TestRealKafka says once whether the suite also runs against a real Kafka.
func TestRealKafka(t *testing.T) {
	if os.Getenv("WEIR_TEST_KAFKA") == "" {
		t.Skip("real Kafka: WEIR_TEST_KAFKA=host:port is not set (scripts/kafka start DIR prints it)")
	}
}

// onFranz is the name of subtests whose clients stand on the other client library. WEIR_KAFKA_CLIENT=franz-go puts the
// whole suite on it.
const onFranz = "franz-go"

// conformWithAll is conform with every driver. The suite of package drivertest holds drivers to the same contract, so a
// case for each part of the connector is enough.
func conformWithAll(t *testing.T, test func(t *testing.T, addr string)) {
	conform(t, test)
	t.Run(onFranz, func(t *testing.T) { conform(t, test) })
}

// conform runs the same case on the embedded broker and, where there is one, on a real Kafka.
func conform(t *testing.T, test func(t *testing.T, addr string)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, embedded(t).Addr())
	})
	if addr := os.Getenv("WEIR_TEST_KAFKA"); addr != "" {
		t.Run("kafka", func(t *testing.T) {
			t.Parallel()
			test(t, addr)
		})
	}
}

func embedded(t testing.TB) *broker.Broker {
	b, err := broker.Open(broker.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func dial(t testing.TB, addr string, o kafka.Options) *kafka.Client {
	o.Brokers = []string{addr}
	if os.Getenv("WEIR_KAFKA_CLIENT") == onFranz || strings.Contains(t.Name(), "/"+onFranz) {
		o.Driver = franz.New
	}
	c, err := kafka.Dial(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var topicNumber atomic.Int64

// newTopic creates a topic that no other test has.
func newTopic(t testing.TB, c *kafka.Client, partitions int, config ...string) string {
	name := fmt.Sprintf("%s.%d.%d", strings.NewReplacer("/", ".", "=", "").Replace(t.Name()), time.Now().UnixNano(), topicNumber.Add(1))
	topic := kafka.Topic{Name: name, Partitions: partitions, Config: map[string]string{}}
	for i := 0; i < len(config); i += 2 {
		topic.Config[config[i]] = config[i+1]
	}
	if _, err := c.CreateTopics(testContext(t), []kafka.Topic{topic}); err != nil {
		t.Fatal(err)
	}
	// Kafka 4.4 never answers a transaction marker for a partition that it is still creating, and writes no
	// other for 30 s.
	if _, err := c.End(testContext(t), name); err != nil {
		t.Fatal(err)
	}
	return name
}

func message(value string) schemas.Message { return schemas.Message{Value: []byte(value)} }

func produce(t testing.TB, c *kafka.Client, topic string, partition int32, values ...string) int64 {
	t.Helper()
	var ms []schemas.Message
	for _, v := range values {
		ms = append(ms, message(v))
	}
	base, err := c.Produce(testContext(t), topic, partition, ms)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// consume reads n records from the given offsets on.
func consume(t testing.TB, c *kafka.Client, topic string, from []int64, n int) (out []schemas.Record) {
	t.Helper()
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	err := c.Consume(ctx, topic, from, func(r schemas.Record) error {
		r.Key, r.Value = slices.Clone(r.Key), slices.Clone(r.Value)
		out = append(out, r)
		if len(out) == n {
			stop()
		}
		return nil
	})
	if err != nil || len(out) < n {
		t.Fatalf("consume %s: %d of %d records, error %v", topic, len(out), n, err)
	}
	return out
}

func values(rs []schemas.Record) (out []string) {
	for _, r := range rs {
		out = append(out, string(r.Value))
	}
	return out
}

// numbers returns prefix0, prefix1, …
func numbers(prefix string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s%04d", prefix, i))
	}
	return out
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprintf("%v", got) != fmt.Sprintf("%v", want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// receive waits for a value, or fails.
func receive[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("no %s", what)
	}
	return v
}

// lines decodes every record into one row of its offset and value; null records make none.
type lines struct {
	offsets []int64
	values  []string
	bytes   int
}

var lineSchema = arrow.NewSchema([]arrow.Field{
	{Name: schemas.Offset, Type: arrow.PrimitiveTypes.Int64}, {Name: "value", Type: arrow.BinaryTypes.String}}, nil)

func newLines(int32) schemas.Decoder { return &lines{} }

func (l *lines) Append(r schemas.Record) {
	if r.Value != nil {
		l.offsets, l.values, l.bytes = append(l.offsets, r.Offset), append(l.values, string(r.Value)), l.bytes+len(r.Value)
	}
}
func (l *lines) Rows() int  { return len(l.offsets) }
func (l *lines) Bytes() int { return l.bytes }
func (l *lines) Flush() arrow.Record {
	if len(l.offsets) == 0 {
		return nil
	}
	b := batch(l.offsets, l.values)
	*l = lines{}
	return b
}

func batch(offsets []int64, values []string) arrow.Record {
	b := array.NewRecordBuilder(schemas.Allocator, lineSchema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(offsets, nil)
	b.Field(1).(*array.StringBuilder).AppendValues(values, nil)
	return b.NewRecord()
}

func rowsOf(b arrow.Record) (out []string) {
	for i := range int(b.NumRows()) {
		out = append(out, strings.Clone(b.Column(1).(*array.String).Value(i))) // its memory goes back to a pool
	}
	return out
}

// joined encodes a batch as messages of at most rows rows each, their values joined by commas.
type joined struct{ rows int }

func (e joined) Encode(b arrow.Record) (ms []schemas.Message, err error) {
	all := rowsOf(b)
	for from := 0; from < len(all); from += e.rows {
		to := min(from+e.rows, len(all))
		ms = append(ms, schemas.Message{Value: []byte(strings.Join(all[from:to], ",")), Row: from, Rows: to - from})
	}
	return ms, nil
}

// consumer runs a source and remembers what its owners finished.
type consumer struct {
	source  kafka.Source
	deliver func(ctx context.Context, p pipeline.Partition, b arrow.Record) error // nil: finishes at once
	mark    func(next int64) []byte
	sink    pipeline.Sink // nil: rows are written nowhere

	opened    chan pipeline.Partition
	closed    chan int32
	delivered chan string // rows, once finished
	committed chan [2]int64
	ran       chan error
	retried   chan error
	reopened  chan error
	share     chan int  // partitions in a new generation
	gap       chan bool // a generation has ended
	stop      context.CancelFunc

	mu       sync.Mutex
	finished map[string]int // times that each row was finished
}

func newConsumer(c *kafka.Client, topic, group string) *consumer {
	r := &consumer{opened: make(chan pipeline.Partition, 1000), closed: make(chan int32, 1000), delivered: make(chan string, 100000),
		committed: make(chan [2]int64, 10000), ran: make(chan error, 1), retried: make(chan error, 10000), finished: map[string]int{},
		reopened: make(chan error, 1000), share: make(chan int, 1000), gap: make(chan bool, 1000)}
	r.source = kafka.Source{Client: c, Topic: topic, Group: group, NewDecoder: newLines, CommitEvery: 20 * time.Millisecond,
		Session: 2 * time.Second, Heartbeat: 100 * time.Millisecond}
	r.source.Events.Retry = func(err error) { r.retried <- err }
	r.source.Events.Reopened = func(_ string, _ int32, err error) { r.reopened <- err }
	r.source.Events.Rebalanced = func(_ int32, ps []int32) { r.share <- len(ps) }
	r.source.Events.Rebalancing = func(int32) { r.gap <- true }
	r.source.Events.Committed = func(_ string, p int32, offset int64) { r.committed <- [2]int64{int64(p), offset} }
	return r
}

func (r *consumer) start(t testing.TB) *consumer {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.ran <- r.source.Run(ctx, r.open) }()
	t.Cleanup(func() {
		cancel()
		for t.Failed() && len(r.retried) > 0 {
			t.Log("retried: ", <-r.retried)
		}
	})
	return r
}

// end stops the source and returns how long that took.
func (r *consumer) end(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	r.stop()
	if err := receive(t, "end of the source", r.ran); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

func (r *consumer) open(ctx context.Context, p pipeline.Partition) (pipeline.Owner, error) {
	o := &testOwner{r: r, p: p}
	if r.sink != nil {
		w, err := r.sink.Open(ctx, p, nil)
		if err != nil {
			return nil, err
		}
		o.w = w
	}
	r.opened <- p
	return o, nil
}

// await waits until every row was finished.
func (r *consumer) await(t testing.TB, rows []string) {
	t.Helper()
	missing := map[string]bool{}
	for _, row := range rows {
		missing[row] = true
	}
	r.mu.Lock()
	for row := range r.finished {
		delete(missing, row)
	}
	r.mu.Unlock()
	for len(missing) > 0 {
		select {
		case row := <-r.delivered:
			delete(missing, row)
		case err := <-r.ran:
			t.Fatalf("the source ended: %v", err)
		case <-time.After(patience):
			t.Fatalf("%d rows were not delivered", len(missing))
		}
	}
}

// awaitShare waits for a generation in which n partitions are the consumer's.
func (r *consumer) awaitShare(t testing.TB, n int) {
	t.Helper()
	for receive(t, fmt.Sprintf("generation with %d partitions", n), r.share) != n {
	}
}

// awaitCommit waits until a partition's committed offset is offset.
func (r *consumer) awaitCommit(t testing.TB, partition, offset int64) {
	t.Helper()
	for receive(t, fmt.Sprintf("commit of %d/%d", partition, offset), r.committed) != [2]int64{partition, offset} {
	}
}

type testOwner struct {
	r *consumer
	p pipeline.Partition
	w pipeline.Writer
}

func (o *testOwner) Deliver(ctx context.Context, d pipeline.Delivery) error {
	b := d.Rows
	if o.r.deliver != nil {
		if err := o.r.deliver(ctx, o.p, b); err != nil {
			return err
		}
	}
	if o.w != nil {
		if err := o.write(ctx, b); err != nil {
			return err
		}
	}
	d.Routed()
	o.r.mu.Lock()
	defer o.r.mu.Unlock()
	for _, row := range rowsOf(b) {
		o.r.finished[row]++
		o.r.delivered <- row
	}
	return nil
}

// write stores the rows that no earlier owner stored.
func (o *testOwner) write(ctx context.Context, b arrow.Record) error {
	var offsets []int64
	var values []string
	for i, v := range rowsOf(b) {
		if at := b.Column(0).(*array.Int64).Value(i); !o.w.Done().Has(at, 0) {
			offsets, values = append(offsets, at), append(values, v)
		}
	}
	fresh := numbered(offsets, values)
	defer fresh.Release()
	return o.w.Write(ctx, fresh)
}

func (o *testOwner) Mark(next int64) []byte {
	if o.r.mark == nil {
		return nil
	}
	return o.r.mark(next)
}

func (o *testOwner) Close() error {
	o.r.closed <- o.p.ID
	if o.w == nil {
		return nil
	}
	return o.w.Close()
}

// line is a network cable: what is plugged in through it breaks when it is cut.
type line struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

var errCut = errors.New("the line is cut")

func (l *line) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		c.Close()
		return nil, errCut
	}
	l.conns = append(l.conns, c)
	return c, nil
}

func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut = cut; cut {
		for _, c := range l.conns {
			c.Close()
		}
		l.conns = nil
	}
}
