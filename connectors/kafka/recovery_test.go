package kafka_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/connectors/kafka"
	"weir/internal/racing"
	"weir/pipeline"
	"weir/schemas"
)

const (
	recoveryQueries     = 300
	recoveryMisfortunes = 4 // of each segment
	// recoverySession is how long a dead or frozen process keeps its partition: the embedded broker takes short ones.
	recoverySession = 150 * time.Millisecond
)

// The worlds of internal/sim, a few of them, with the real connector on the embedded broker: processes of two
// segments die at any moment, or freeze and wake when others have taken over, and the threshold between the
// segments moves. Each query gets one prediction, and the decision that belongs to it. WEIR_SIM_SEED repeats one
// seed.
func TestRecovery(t *testing.T) {
	first, count := uint64(1), uint64(50)
	if racing.Enabled() {
		count = 5
	}
	if s := os.Getenv("WEIR_SIM_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, count = n, 1
	}
	addr := embedded(t).Addr()
	t.Run("seeds", func(t *testing.T) {
		for seed := first; seed < first+count; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				w := newRecoveryWorld(t, addr, seed)
				w.run(t)
				w.judge(t)
			})
		}
	})
}

// A recoveryWorld is a pipeline of two segments, light and heavy, with a topic between them.
type recoveryWorld struct {
	addr                              string
	client                            *kafka.Client // of the test itself
	queries, next, answers, decisions string

	mu      sync.Mutex
	rng     *rand.Rand
	moving  bool // every process has a threshold of its own
	dropped int  // decisions that no process could make up for any more
}

func newRecoveryWorld(t *testing.T, addr string, seed uint64) *recoveryWorld {
	c := dial(t, addr, kafka.Options{})
	w := &recoveryWorld{addr: addr, client: c, rng: rand.New(rand.NewPCG(seed, 1)), moving: seed%2 == 0,
		queries: newTopic(t, c, 1), next: newTopic(t, c, 1), answers: newTopic(t, c, 1), decisions: newTopic(t, c, 1)}
	return w
}

func (w *recoveryWorld) intn(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// pause waits for a drawn time: what happens to a process happens at any moment of its life.
func (w *recoveryWorld) pause(n time.Duration) { <-time.After(time.Duration(w.intn(int(n)))) }

// ask publishes the queries while the processes come and go, several at once and then none for a while.
func (w *recoveryWorld) ask(t *testing.T) {
	for i := 0; i < recoveryQueries; {
		var lot []string
		for range min(1+w.intn(20), recoveryQueries-i) {
			lot = append(lot, recoveryRow{Offset: int64(i), X: int64(w.intn(100))}.json())
			i++
		}
		produce(t, w.client, w.queries, 0, lot...)
		w.pause(recoverySession / 3)
	}
}

// run has both segments live through misfortunes, then run to the end.
func (w *recoveryWorld) run(t *testing.T) {
	var segments, all sync.WaitGroup
	segments.Go(func() { w.ask(t) })
	for _, segment := range []string{"light", "heavy"} {
		segments.Go(func() { w.live(t, segment, &all) })
	}
	segments.Wait()
	all.Wait()
}

// live starts one process of a segment after the other; each is killed, or frozen and woken when its successor is
// at work.
func (w *recoveryWorld) live(t *testing.T, segment string, all *sync.WaitGroup) {
	for range recoveryMisfortunes {
		p := w.process(t, segment, all)
		w.pause(2 * recoverySession)
		if w.intn(2) == 0 {
			p.kill()
			continue
		}
		p.wire.freeze()
		all.Go(func() {
			w.pause(4 * recoverySession)
			p.wire.wake()
			w.pause(recoverySession)
			p.kill()
		})
	}
	// The embedded broker keeps the partition of a member that died in its join until another one joins.
	for !w.done(t, segment) {
		p := w.process(t, segment, all)
		for deadline := time.Now().Add(8 * recoverySession); time.Now().Before(deadline) && !w.done(t, segment); {
			w.pause(20 * time.Millisecond)
		}
		p.stop()
	}
}

// done says whether a segment has committed all of its input, which will not grow.
func (w *recoveryWorld) done(t *testing.T, segment string) bool {
	whole := func(segment, topic string) bool {
		end, err := w.client.End(testContext(t), topic)
		if err != nil {
			t.Error(err)
			return true
		}
		at, err := w.client.Committed(testContext(t), w.group(segment), topic)
		if err != nil {
			t.Error(err)
			return true
		}
		return at[0] >= end[0]
	}
	asked, err := w.client.End(testContext(t), w.queries)
	if err != nil || asked[0] < recoveryQueries {
		return err != nil
	}
	return whole("light", w.queries) && (segment == "light" || whole("heavy", w.next))
}

func (w *recoveryWorld) group(segment string) string { return w.queries + "." + segment }

// A recoveryProcess is one process of a segment, behind a wire of its own.
type recoveryProcess struct {
	wire *wire
	stop context.CancelFunc
}

func (p *recoveryProcess) kill() {
	p.wire.cut()
	p.stop()
}

// process starts one; all waits for its end.
func (w *recoveryWorld) process(t *testing.T, segment string, all *sync.WaitGroup) *recoveryProcess {
	threshold := int64(50)
	if w.moving {
		threshold = int64(20 + w.intn(60))
	}
	p := &recoveryProcess{wire: &wire{}}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	all.Go(func() {
		c, err := kafka.Dial(ctx, kafka.Options{Brokers: []string{w.addr}, Dialer: p.wire.DialContext, Patience: patience})
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		defer c.Close()
		source := kafka.Source{Client: c, Topic: w.queries, Group: w.group(segment), NewDecoder: newRecoveryRows, Fenced: true,
			MaxRows: 8, CommitEvery: 5 * time.Millisecond, Drain: 50 * time.Millisecond,
			Session: recoverySession, Heartbeat: 20 * time.Millisecond, Rebalance: 2 * recoverySession, JoinBackoff: 20 * time.Millisecond}
		if segment == "heavy" {
			source.Topic = w.next
		}
		if err := source.Run(ctx, w.segment(c, segment, threshold).Open); err != nil && ctx.Err() == nil {
			t.Errorf("%s: %v", segment, err)
		}
	})
	return p
}

// segment is what a process runs: light answers what is below the threshold and passes on the rest.
func (w *recoveryWorld) segment(c *kafka.Client, name string, threshold int64) *pipeline.Segment {
	f := &kafka.Fence{Client: c, Name: w.group(name), Segment: 1, Version: uint32(threshold), Session: recoverySession}
	if name == "heavy" {
		f.Segment, f.Version = 2, 0
	}
	sink := func(topic string, linger time.Duration) *kafka.Sink {
		s := &kafka.Sink{Client: c, Topic: topic, Encode: recoveryRows{by: int64(f.Version)}, Linger: linger}
		f.Guard(s, 1)
		return s
	}
	s := &pipeline.Segment{Name: name, Objective: time.Second, Outputs: pipeline.Outputs{
		Predictions: sink(w.answers, 0), Decisions: sink(w.decisions, 2*time.Millisecond)}}
	if name == "light" {
		s.Outputs.Next = sink(w.next, 0)
		s.Stages = []pipeline.NamedStage{{Name: "gate", Stage: below(threshold)}}
	}
	s.Events.Dropped = func(_, _ string, rows int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dropped += rows
	}
	return s
}

// below answers what is below the threshold.
type below int64

// Process implements pipeline.Stage.
func (g below) Process(_ context.Context, in arrow.Record) (arrow.Record, error) {
	x, err := schemas.Column[*array.Int64](in, "x")
	if err != nil {
		return nil, err
	}
	var ends []schemas.Ending
	for i, v := range x.Int64Values() {
		if v < int64(g) {
			ends = append(ends, schemas.Ending{Row: i, Status: schemas.Answered})
		}
	}
	return schemas.End(in, ends), nil
}

// judge reads the topics as a user would.
func (w *recoveryWorld) judge(t *testing.T) {
	answers, decisions := w.rows(t, w.answers), w.rows(t, w.decisions)
	undecided := 0
	for o := range int64(recoveryQueries) {
		if len(answers[o]) != 1 {
			t.Errorf("query %d: %d predictions: %v", o, len(answers[o]), answers[o])
			continue
		}
		valid := 0
		for _, d := range decisions[o] {
			if d == answers[o][0] {
				valid++
			}
		}
		if valid == 0 {
			undecided++
		}
		if valid > 1 {
			t.Errorf("query %d: %d decisions of its prediction: %v", o, valid, decisions[o])
		}
	}
	if undecided > w.dropped {
		t.Errorf("%d queries without their decision, only %d were given up", undecided, w.dropped)
	}
}

// rows are those of a topic, by query.
func (w *recoveryWorld) rows(t *testing.T, topic string) map[int64][]recoveryRow {
	t.Helper()
	end, err := w.client.End(testContext(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[int64][]recoveryRow{}
	r := w.client.Reader(topic, 0, 0, end[0])
	for more := true; more; {
		more, err = r.Next(testContext(t), func(r *schemas.Record) error {
			var row recoveryRow
			if err := json.Unmarshal(r.Value, &row); err != nil {
				return err
			}
			rows[row.Offset] = append(rows[row.Offset], row)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// A recoveryRow is a record of one of the world's topics.
type recoveryRow struct {
	Offset int64 // of its query
	X      int64
	Epoch  int32 // of its prediction
	By     int64 // the version of the process that wrote it
}

func (r recoveryRow) json() string {
	text, _ := json.Marshal(r) // numbers only
	return string(text)
}

// recoveryRows decodes records into rows, and encodes each row as a record.
type recoveryRows struct {
	by   int64
	rows []recoveryRow
}

func newRecoveryRows(int32) schemas.Decoder { return &recoveryRows{} }

func (r *recoveryRows) Append(rec schemas.Record) {
	var row recoveryRow
	if json.Unmarshal(rec.Value, &row) == nil {
		r.rows = append(r.rows, row)
	}
}

func (r *recoveryRows) Rows() int  { return len(r.rows) }
func (r *recoveryRows) Bytes() int { return 100 * len(r.rows) }

func (r *recoveryRows) Flush() arrow.Record {
	if len(r.rows) == 0 {
		return nil
	}
	b := array.NewRecordBuilder(schemas.Allocator, arrow.NewSchema([]arrow.Field{
		{Name: "x", Type: arrow.PrimitiveTypes.Int64},
		{Name: schemas.Offset, Type: arrow.PrimitiveTypes.Int64},
		{Name: schemas.Row, Type: arrow.PrimitiveTypes.Int32},
		{Name: schemas.Stamp, Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: schemas.StatusColumn, Type: arrow.PrimitiveTypes.Uint8},
	}, nil))
	defer b.Release()
	for _, row := range r.rows {
		b.Field(0).(*array.Int64Builder).Append(row.X)
		b.Field(1).(*array.Int64Builder).Append(row.Offset)
		b.Field(2).(*array.Int32Builder).Append(0)
		b.Field(3).(*array.TimestampBuilder).Append(0)
		b.Field(4).(*array.Uint8Builder).Append(0)
	}
	r.rows = nil
	return b.NewRecord()
}

// Encode implements schemas.Encoder.
func (r recoveryRows) Encode(b arrow.Record) (ms []schemas.Message, err error) {
	x, err1 := schemas.Column[*array.Int64](b, "x")
	offsets, err2 := schemas.Column[*array.Int64](b, schemas.Offset)
	if err := cmp.Or(err1, err2); err != nil {
		return nil, err
	}
	epochs, _ := schemas.Column[*array.Int32](b, schemas.Epoch) // none on the way to the next segment
	for i := range int(b.NumRows()) {
		row := recoveryRow{Offset: offsets.Value(i), X: x.Value(i), By: r.by}
		if epochs != nil {
			row.Epoch = epochs.Value(i)
		}
		ms = append(ms, schemas.Message{Value: []byte(row.json()), Row: i, Rows: 1})
	}
	return ms, nil
}

// A wire is the network of a process. Cut, its connections break and no others come up. Frozen, nothing passes,
// and what was on its way arrives when it wakes.
type wire struct {
	mu     sync.Mutex
	gone   bool
	frozen chan struct{} // closed when it wakes; nil while it is awake
	conns  []net.Conn
}

// DialContext opens a connection.
func (w *wire) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		c.Close()
		return nil, errCut
	}
	w.conns = append(w.conns, c)
	return wired{c, w}, nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	for _, c := range w.conns {
		c.Close()
	}
}

func (w *wire) freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen = make(chan struct{})
}

func (w *wire) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.frozen)
	w.frozen = nil
}

func (w *wire) wait() {
	w.mu.Lock()
	frozen := w.frozen
	w.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

// wired is a connection through a wire.
type wired struct {
	net.Conn
	w *wire
}

func (c wired) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.w.wait()
	return n, err
}

func (c wired) Write(b []byte) (int, error) {
	c.w.wait()
	return c.Conn.Write(b)
}
