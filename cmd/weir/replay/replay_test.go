package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/broker"
	"weir/connectors/kafka"
	"weir/pipeline"
	"weir/schemas"
)

// A desk is a broker whose live topics are written by hand, with one partition each.
type desk struct {
	*testing.T
	addr   string
	client *kafka.Client
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	before := schemas.Allocator.InUse()
	b, err := broker.Open(broker.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	client, err := kafka.Dial(t.Context(), kafka.Options{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	t.Cleanup(func() {
		if leak := schemas.Allocator.InUse() - before; leak != 0 && !t.Failed() {
			t.Errorf("%d bytes of Arrow memory leaked", leak)
		}
	})
	var topics []kafka.Topic
	for _, name := range []string{"p.queries", "p.predictions", "p.decisions", "p.again"} {
		topics = append(topics, kafka.Topic{Name: name})
	}
	if _, err := client.CreateTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
	return &desk{t, b.Addr(), client}
}

// ask publishes queries from one number to another, each a record.
func (d *desk) ask(from, to int) {
	d.Helper()
	var msgs []schemas.Message
	for i := from; i < to; i++ {
		msgs = append(msgs, schemas.Message{Value: fmt.Appendf(nil, `{"query_id":"q%d","x":1}`, i)})
	}
	d.write("p.queries", msgs)
}

// answer writes what the candidate will say too of a query, or a label.
func (d *desk) answer(label string, offsets ...int) {
	d.Helper()
	var msgs []schemas.Message
	for _, o := range offsets {
		msgs = append(msgs, schemas.Message{Rows: 1, Value: fmt.Appendf(nil,
			`{"query_id":"q%d","status":"answered"%s,"source":{"topic":"p.queries","partition":0,"offset":%d,"row":0}}`, o, label, o)})
	}
	d.write("p.predictions", msgs)
}

func (d *desk) write(topic string, msgs []schemas.Message) {
	d.Helper()
	for some := range slices.Chunk(msgs, 500) {
		if _, err := d.client.Produce(d.Context(), topic, 0, some); err != nil {
			d.Fatal(err)
		}
	}
}

// forget deletes what lies before an offset of a topic, as retention does.
func (d *desk) forget(topic string, before int64) {
	d.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.addr))
	if err != nil {
		d.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = before
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), 5000
	if res, err := req.RequestWith(d.Context(), cl); err != nil || res.Topics[0].Partitions[0].ErrorCode != 0 {
		d.Fatalf("delete records: %v %+v", err, res)
	}
}

func (d *desk) recorded() Recorded {
	return Recorded{Client: d.client, Queries: "p.queries", Predictions: "p.predictions", Decisions: "p.decisions",
		From: kafka.Earliest, To: kafka.Latest}
}

// replay runs a candidate without stages, which answers each query. Findings come as lines.
func (d *desk) replay(r *Range, change func(*Options)) (*Report, []string, error) {
	var lines []string
	o := Options{
		Segment: &pipeline.Segment{Name: "main", Objective: time.Second, Outputs: pipeline.Outputs{Predictions: &kafka.Sink{
			Client: d.client, Topic: "p.again", Encode: schemas.NewPredictions(schemas.PredictionOptions{Topic: "p.queries"})}}},
		Predictions: "p.again",
		NewDecoder: func() schemas.Decoder {
			return schemas.NewQueries(schemas.QueryOptions{Schema: schema, Topic: "p.queries"})
		},
		Found: func(f Finding) error {
			lines = append(lines, fmt.Sprintf("%s %s %d was:%s is:%s", f.Kind, f.QueryID, f.Offset, f.Was, f.Is))
			return nil
		},
	}
	if change != nil {
		change(&o)
	}
	report, err := r.Replay(d.Context(), o)
	return report, lines, err
}

func (d *desk) look(rec Recorded) *Range {
	d.Helper()
	r, err := Look(d.Context(), rec)
	if err != nil {
		d.Fatal(err)
	}
	return r
}

// A range of several spans and chunks, whose recorded answers lie far apart and out of order.
func TestReplay(t *testing.T) {
	d := newDesk(t)
	const n = 5000
	d.ask(0, n)
	var early, tardy []int
	for i := range n {
		switch {
		case i == 4000 || i == 17: // never answered
		case i%3 == 0:
			tardy = append(tardy, i^1)
		default:
			early = append(early, i^1)
		}
	}
	early = slices.DeleteFunc(early, func(i int) bool { return i == 1500 })
	d.answer("", early...)
	d.answer(`,"label":"Bag"`, 1500)
	d.answer("", tardy...)
	d.answer(`,"label":"Coat"`, 1500, 2) // of several the first counts
	d.write("p.predictions", []schemas.Message{{Value: []byte("{")}})
	r := d.look(d.recorded())
	var last [2]int64
	report, lines, err := d.replay(r, func(o *Options) { o.Progress = func(done, of int64) { last = [2]int64{done, of} } })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{" q16 16 was: is:answered", "label q1500 1500 was:answered Bag is:answered", " q4001 4001 was: is:answered"}
	if !slices.Equal(lines, want) {
		t.Errorf("findings\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if report.Queries != n || report.Unanswered != 2 || report.Same != n-3 || report.Agreed != n-3 || report.Different[Label] != 1 || report.Unexplained != 1 {
		t.Errorf("%+v", report)
	}
	if last != [2]int64{n, n} {
		t.Errorf("progress ends with %v", last)
	}
}

// Only the range is replayed, and only its answers count.
func TestRange(t *testing.T) {
	d := newDesk(t)
	d.ask(0, 10)
	d.answer("", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	rec := d.recorded()
	rec.From, rec.To = kafka.Exactly(3), kafka.Exactly(8)
	report, lines, err := d.replay(d.look(rec), nil)
	if err != nil || report.Queries != 5 || report.Same != 5 || len(lines) != 0 {
		t.Errorf("%v: %+v %q", err, report, lines)
	}
}

// Without All only the first findings of a kind are told, but all are counted.
func TestListed(t *testing.T) {
	for _, all := range []bool{false, true} {
		d := newDesk(t)
		d.ask(0, 50)
		d.answer(`,"label":"Bag"`, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22)
		want := 2 * Listed
		if all {
			want = 50
		}
		report, lines, err := d.replay(d.look(d.recorded()), func(o *Options) { o.All = all })
		if err != nil || len(lines) != want || report.Unexplained != 23 || report.Unanswered != 27 {
			t.Errorf("all %v: %v: %d lines of %+v", all, err, len(lines), report)
		}
	}
}

// What retention took is told; where nothing is left the error says so.
func TestRetention(t *testing.T) {
	d := newDesk(t)
	d.ask(0, 5)
	d.answer("", 0, 1, 2, 3, 4)
	d.ask(5, 8)
	d.answer("", 5, 6, 7)
	rec := d.recorded()
	rec.From = kafka.At(time.Now().Add(-time.Hour))
	if r := d.look(rec); len(r.Notes) != 0 || r.offsets() != 8 {
		t.Errorf("nothing is deleted: %q, %d queries", r.Notes, r.offsets())
	}
	d.forget("p.queries", 2)
	if r := d.look(rec); !slices.Equal(r.Notes, []string{"older queries were deleted (retention): partition 0 begins at p.queries/0/2"}) || r.offsets() != 6 {
		t.Errorf("two queries are deleted: %q, %d queries", r.Notes, r.offsets())
	}
	d.forget("p.predictions", 8)
	rec.From = kafka.Earliest
	if r, err := Look(t.Context(), rec); err == nil || !strings.Contains(err.Error(), "nothing is left of that range: older predictions were deleted") {
		t.Errorf("all predictions are deleted: %v, %v", r, err)
	}
}

// Of a partition retention may have left nothing of the range that another one still has.
func TestRetentionOfAPartition(t *testing.T) {
	d := newDesk(t)
	rec := d.recorded()
	rec.Queries, rec.Predictions, rec.Decisions = "w.queries", "w.predictions", "w.decisions"
	rec.To = kafka.Exactly(10)
	for _, topic := range []string{rec.Queries, rec.Predictions, rec.Decisions, "w.again"} {
		if _, err := d.client.CreateTopics(t.Context(), []kafka.Topic{{Name: topic, Partitions: 2}}); err != nil {
			t.Fatal(err)
		}
	}
	msgs := make([]schemas.Message, 4000)
	for i := range msgs {
		msgs[i] = schemas.Message{Value: []byte(`{"x":1}`)}
	}
	for partition := range int32(2) {
		for some := range slices.Chunk(msgs, 500) {
			if _, err := d.client.Produce(t.Context(), rec.Queries, partition, some); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.write(rec.Predictions, msgs[:2])
	d.forget(rec.Predictions, 2)
	r := d.look(rec)
	report, _, err := d.replay(r, func(o *Options) {
		o.Segment.Outputs.Predictions.(*kafka.Sink).Topic, o.Predictions = "w.again", "w.again"
	})
	if err != nil || report.Queries != 10 || r.offsets() != 10 || len(r.Notes) != 1 {
		t.Errorf("%v: %+v of %d offsets, %q", err, report, r.offsets(), r.Notes)
	}
}

func TestLookFaults(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct {
		change func(*Recorded)
		want   string
	}{
		{func(*Recorded) {}, "replay: topic p.queries holds no queries of that range"},
		{func(r *Recorded) { r.Queries = "p.none" }, "topic p.none does not exist"},
		{func(r *Recorded) { r.Predictions = "p.none" }, "--recorded SPEC"},
	} {
		rec := d.recorded()
		c.change(&rec)
		if _, err := Look(t.Context(), rec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if _, err := d.client.CreateTopics(t.Context(), []kafka.Topic{{Name: "p.wide", Partitions: 2}}); err != nil {
		t.Fatal(err)
	}
	rec := d.recorded()
	rec.Queries = "p.wide"
	if _, err := Look(t.Context(), rec); err == nil || !strings.Contains(err.Error(), "topic p.predictions has 1 partitions, the queries have 2") {
		t.Errorf("got %v", err)
	}
}

// broken is a stage that cannot go on.
type broken struct{ err error }

// Process implements pipeline.Stage.
func (b broken) Process(context.Context, arrow.Record) (arrow.Record, error) { return nil, b.err }

// A replay ends with the candidate's permanent error, with that of whoever hears the findings, and with ctx.
func TestEnds(t *testing.T) {
	d := newDesk(t)
	d.ask(0, 3000)
	boom := errors.New("boom")
	_, _, err := d.replay(d.look(d.recorded()), func(o *Options) {
		o.Segment.Stages = []pipeline.NamedStage{{Name: "broken", Stage: broken{pipeline.Permanent(boom)}}}
	})
	if !errors.Is(err, boom) {
		t.Errorf("a broken candidate: %v", err)
	}
	_, _, err = d.replay(d.look(d.recorded()), func(o *Options) { o.Found = func(Finding) error { return boom } })
	if !errors.Is(err, boom) {
		t.Errorf("a broken listener: %v", err)
	}
	r := d.look(d.recorded())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := r.Replay(ctx, Options{Segment: &pipeline.Segment{}, Predictions: "p.again", NewDecoder: queries}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", report, err)
	}
}

// lossy is a sink that loses everything.
type lossy struct{ pipeline.Sink }

// Open implements pipeline.Sink.
func (l lossy) Open(ctx context.Context, p pipeline.Partition, from pipeline.Position) (pipeline.Writer, error) {
	w, err := l.Sink.Open(ctx, p, from)
	return lossyWriter{w}, err
}

type lossyWriter struct{ pipeline.Writer }

// Write implements pipeline.Writer.
func (lossyWriter) Write(context.Context, arrow.Record) error { return nil }

// A query that the replay does not answer is a difference, whether it was answered or not.
func TestAbsent(t *testing.T) {
	d := newDesk(t)
	d.ask(0, 3)
	d.answer("", 0, 1)
	report, lines, err := d.replay(d.look(d.recorded()), func(o *Options) {
		o.Segment.Outputs.Predictions = lossy{o.Segment.Outputs.Predictions}
	})
	want := []string{"absent q0 0 was:answered is:", "absent q1 1 was:answered is:"}
	if err != nil || report.Different[Absent] != 3 || report.Unexplained != 3 || report.Compared() != 0 || !slices.Equal(lines, want) {
		t.Errorf("%v: %+v, %q", err, report, lines)
	}
}
