package audit

import (
	"context"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"

	"weir/connectors/broker"
	"weir/connectors/kafka"
	"weir/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	queriesTopic, predictionsTopic, decisionsTopic, nextTopic = "p.queries", "p.predictions", "p.decisions", "p.heavy"
	group, nextGroup                                          = "weir.p.light", "weir.p.heavy"
)

var schema = schemas.Schema{Fields: []schemas.Field{{Name: "x", Type: schemas.Type{Kind: schemas.Float32}}}}

// A desk is a broker whose topics are written by hand.
type desk struct {
	*testing.T
	addr   string
	client *kafka.Client
	arrow  bool // predictions are written as batches
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
	for _, name := range []string{queriesTopic, predictionsTopic, decisionsTopic, nextTopic} {
		topics = append(topics, kafka.Topic{Name: name, Partitions: 2, Replication: 1})
	}
	if _, err := client.CreateTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
	return &desk{T: t, addr: b.Addr(), client: client}
}

func (d *desk) write(topic string, partition int32, msgs ...schemas.Message) {
	d.Helper()
	if _, err := d.client.Produce(d.Context(), topic, partition, msgs); err != nil {
		d.Fatal(err)
	}
}

// ask publishes records of queries to partition 0.
func (d *desk) ask(values ...string) {
	d.Helper()
	for _, v := range values {
		m := schemas.Message{Value: []byte(v)}
		if v == "" {
			m.Value = nil
		}
		d.write(queriesTopic, 0, m)
	}
}

// asked publishes n queries, each a record.
func (d *desk) asked(n int) {
	d.Helper()
	var msgs []schemas.Message
	more := strings.Repeat("more", min(n, 500)) // so that many do not come at once
	for i := range n {
		msgs = append(msgs, schemas.Message{Value: fmt.Appendf(nil, `{"query_id":"q%d","x":1,"more":"%s"}`, i, more)})
	}
	d.write(queriesTopic, 0, msgs...)
}

// said is a row of an answer: the place of its query, the epoch of its writer, and what it says.
type said struct {
	offset int64
	row    int32
	epoch  int32
	label  string
}

func says(epoch int32, label string, offsets ...int64) (rows []said) {
	for _, o := range offsets {
		rows = append(rows, said{offset: o, epoch: epoch, label: label})
	}
	return rows
}

// encode writes rows to an output, with their header.
func (d *desk) encode(topic string, partition int32, e schemas.Encoder, rows []said) {
	d.Helper()
	var b strings.Builder
	b.WriteString("_partition _offset _row _query_id _stamp _status _label _confidence _model _model_version _epoch:int32 _ran.light.model _ran.light.version _ran.light.label _key _deadline _event_time _reason_code _reason_column _reason_message _raw\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "0 %d %d q%d 2026-11-23T15:42:07.123Z answered %s 0.5 light v1 %d light v1 %[4]s null null null null null null null\n", r.offset, r.row, r.offset, r.label, r.epoch)
	}
	rec, err := schemas.ParseTable(b.String())
	if err != nil {
		d.Fatal(err)
	}
	defer rec.Release()
	msgs, err := e.Encode(rec)
	if err != nil {
		d.Fatal(err)
	}
	for i, m := range msgs {
		origin := []byte{0} // the version
		last := int64(0)
		for _, r := range rows[m.Row : m.Row+m.Rows] {
			for _, v := range []int64{int64(r.epoch), r.offset - last, int64(r.row), 1} {
				origin = binary.AppendVarint(origin, v)
			}
			last = r.offset
		}
		msgs[i].Headers = append(m.Headers[:len(m.Headers):len(m.Headers)], schemas.Header{Key: kafka.OriginHeader, Value: origin})
	}
	d.write(topic, partition, msgs...)
}

func (d *desk) predict(rows ...said) {
	d.Helper()
	d.encode(predictionsTopic, 0, schemas.NewPredictions(schemas.PredictionOptions{Topic: queriesTopic, Arrow: d.arrow}), rows)
}

func (d *desk) decide(rows ...said) {
	d.Helper()
	d.encode(decisionsTopic, 0, schemas.NewDecisions(schemas.DecisionOptions{Topic: queriesTopic, Schema: schema}), rows)
}

// answer predicts and decides.
func (d *desk) answer(rows ...said) {
	d.Helper()
	d.predict(rows...)
	d.decide(rows...)
}

// pass writes rows to the topic between the segments, each in a record.
func (d *desk) pass(offsets ...int64) {
	d.Helper()
	for _, o := range offsets {
		d.encode(nextTopic, 0, schemas.NewNext(), says(1, "Bag", o))
	}
}

// commit commits partition 0 of a topic.
func (d *desk) commit(group, topic string, offset int64) {
	d.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(d.addr), kgo.MaxVersions(kversion.V3_0_0())) // later ones name topics by number
	if err != nil {
		d.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = group
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(d.Context(), c)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		d.Fatal(err)
	}
}

// audit audits everything. Findings come as lines: kind, query id, offset.row, places.
func (d *desk) audit(change func(*Options)) (*Report, []string) {
	d.Helper()
	var lines []string
	o := Options{
		Client: d.client, Queries: queriesTopic, Predictions: predictionsTopic, Decisions: decisionsTopic, Group: group,
		Next: []Next{{nextTopic, nextGroup, 1}}, From: kafka.Earliest, To: kafka.Latest,
		NewDecoder: func() schemas.Decoder {
			return schemas.NewQueries(schemas.QueryOptions{Schema: schema, Topic: queriesTopic})
		},
		Found: func(f Finding) error {
			lines = append(lines, fmt.Sprintf("%s %s %d.%d %v", f.Kind, f.QueryID, f.Offset, f.Row, f.At))
			return nil
		},
	}
	if change != nil {
		change(&o)
	}
	r, err := Run(d.Context(), o)
	if err != nil {
		d.Fatal(err)
	}
	return r, lines
}

// compare compares an audit with what it must say: accepted, lost, twice, contradictory, unknown, unreadable,
// pending, undecided; and its findings.
func (d *desk) compare(r *Report, got []string, counts [8]int64, lines []string) {
	d.Helper()
	f := r.Findings
	have := [8]int64{r.Accepted, f[Lost], f[Twice], f[Contradictory], f[Unknown], f[Unreadable], r.Pending, r.Undecided}
	if have != counts {
		d.Errorf("accepted, lost, twice, contradictory, unknown, unreadable, pending, undecided: got %v, want %v", have, counts)
	}
	if len(lines)+len(got) > 0 && !reflect.DeepEqual(got, lines) {
		d.Errorf("findings:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
	if r.Clean() != (len(lines) == 0) {
		d.Errorf("clean: %v", r.Clean())
	}
}

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name   string
		write  func(d *desk)
		counts [8]int64
		lines  []string
	}{
		{"nothing", func(d *desk) {}, [8]int64{}, nil},
		{"clean", func(d *desk) {
			d.asked(3)
			d.answer(says(1, "Bag", 0, 2, 1)...)
			d.commit(group, queriesTopic, 3)
		}, [8]int64{3}, nil},
		{"arrays, lines and null records", func(d *desk) {
			d.ask(`[{"query_id":"a","x":1},{"query_id":"b","x":1}]`, "", `{"x":2}`, "{\"x\":1}\n{\"x\":2}\n", `not JSON`)
			d.answer(said{0, 0, 1, "Bag"}, said{0, 1, 1, "Bag"}, said{2, 0, 1, "Bag"}, said{3, 1, 1, "Bag"}, said{4, 0, 1, "Bag"})
			d.commit(group, queriesTopic, 5)
		}, [8]int64{6, 1}, []string{"lost p.queries/0/3/0 3.0 []"}},
		{"lost and pending", func(d *desk) {
			d.asked(5)
			d.answer(says(1, "Bag", 0, 2)...)
			d.commit(group, queriesTopic, 4)
		}, [8]int64{5, 2, 0, 0, 0, 0, 1}, []string{"lost q1 1.0 []", "lost q3 3.0 []"}},
		{"nothing committed", func(d *desk) { d.asked(2) }, [8]int64{2, 0, 0, 0, 0, 0, 2}, nil},
		{"between segments", func(d *desk) {
			d.asked(4)
			d.pass(0, 1, 2)
			d.answer(says(1, "Bag", 0)...)
			d.commit(nextGroup, nextTopic, 2)
			d.commit(group, queriesTopic, 4)
		}, [8]int64{4, 2, 0, 0, 0, 0, 1}, []string{"lost q1 1.0 []", "lost q3 3.0 []"}},
		{"twice alike", func(d *desk) {
			d.asked(3)
			d.answer(says(1, "Bag", 0, 1, 2)...)
			d.answer(says(2, "Bag", 1)...)
		}, [8]int64{3, 0, 1}, []string{"twice q1 1.0 [1 3]"}},
		{"twice in a finished chunk", func(d *desk) {
			d.asked(1)
			d.answer(says(1, "Bag", 0)...)
			d.answer(says(2, "Coat", 0)...)
		}, [8]int64{1, 0, 1, 1}, []string{"twice q0 0.0 [0 1]", "contradictory q0 0.0 [0 1]"}},
		{"a decision that says otherwise", func(d *desk) {
			d.asked(4)
			d.predict(says(2, "Bag", 0, 1, 2, 3)...)
			d.decide(says(1, "Coat", 0, 1)...) // of a prediction that was never stored: it does not count
			d.decide(append(says(2, "Bag", 0, 3), says(2, "Coat", 2)...)...)
		}, [8]int64{4, 0, 0, 1, 0, 0, 0, 1}, []string{"contradictory q2 2.0 [2]"}},
		{"a decision before its prediction", func(d *desk) {
			d.asked(2)
			d.decide(says(1, "Bag", 1, 0)...)
			d.predict(said{0, 0, 1, "Bag"}, said{1, 0, 1, "Coat"})
		}, [8]int64{2, 0, 0, 1}, []string{"contradictory q1 1.0 [1]"}},
		{"unknown", func(d *desk) {
			d.ask(`{"x":1}`, "", `{"x":1}`)
			d.answer(append(says(1, "Bag", 0, 1, 2, 7), said{2, 1, 1, "Bag"})...) // 7 is behind the range
			d.encode(predictionsTopic, 1, schemas.NewPredictions(schemas.PredictionOptions{Topic: queriesTopic, Arrow: d.arrow}), says(1, "Bag", 0))
			d.write(queriesTopic, 1, schemas.Message{Value: []byte(`{"x":1}`)})
		}, [8]int64{3, 0, 0, 0, 3, 0, 1}, []string{"unknown q1 1.0 [1]", "unknown q2 2.1 [4]", "unknown q0 0.0 [0]"}},
		{"unreadable", func(d *desk) {
			d.asked(2)
			d.answer(says(1, "Bag", 0)...)
			d.write(predictionsTopic, 0, schemas.Message{Value: []byte("{")})
			d.write(decisionsTopic, 0, schemas.Message{Value: []byte("{")})
		}, [8]int64{2, 0, 0, 0, 0, 2, 1}, []string{"unreadable  0.0 [1]", "unreadable  0.0 []"}},
	} {
		for _, arrow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, arrow %v", c.name, arrow), func(t *testing.T) {
				d := newDesk(t)
				d.arrow = arrow
				c.write(d)
				lines := c.lines
				if arrow { // a record holds several predictions there: the places are others
					lines = nil
					for _, l := range c.lines {
						lines = append(lines, l[:strings.Index(l, "[")])
					}
				}
				r, got := d.audit(nil)
				if arrow {
					for i, l := range got {
						got[i] = l[:strings.Index(l, "[")]
					}
				}
				d.compare(r, got, c.counts, lines)
			})
		}
	}
}

// Windows of queries give what one pass gives: the same findings, counted once.
func TestWindows(t *testing.T) {
	d := newDesk(t)
	const n = 4000
	d.asked(n)
	var rows []said
	for i := range int64(n) {
		if i%1000 != 7 {
			rows = append(rows, said{offset: i ^ 5, epoch: 1, label: "Bag"}) // out of order
		}
	}
	for len(rows) > 0 {
		step := min(100, len(rows))
		d.predict(rows[:step]...)
		rows = rows[step:]
	}
	d.predict(says(2, "Coat", 1, 3999)...)
	d.write(predictionsTopic, 0, schemas.Message{Value: []byte("{")})
	d.commit(group, queriesTopic, n)
	want := [8]int64{n, 4, 2, 2, 0, 1, 0, n - 4}
	lines := []string{"lost q2 2.0 []", "lost q1002 1002.0 []", "lost q2002 2002.0 []", "lost q3002 3002.0 []",
		"twice q1 1.0 [4 3996]", "contradictory q1 1.0 [4 3996]", "twice q3999 3999.0 [3990 3997]", "contradictory q3999 3999.0 [3990 3997]"}
	for _, open := range []int{0, 500} {
		r, got := d.audit(func(o *Options) { o.openRows = open })
		if several := r.windows > 2; several != (open > 0) { // one of them is the other partition's
			t.Errorf("%d windows of %d rows", r.windows, open)
		}
		for _, l := range lines {
			if !slices.Contains(got, l) {
				t.Errorf("windows of %d rows: no %q", open, l)
			}
		}
		if len(got) != len(lines)+1 { // one is unreadable
			t.Errorf("findings of windows of %d rows: %q", open, got)
		}
		d.compare(r, got, want, got)
	}
}

// Without All only the first findings of a kind are told, but all are counted.
func TestListed(t *testing.T) {
	d := newDesk(t)
	d.asked(50)
	d.answer(append(says(1, "Bag", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23),
		says(1, "Bag", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23)...)...)
	d.commit(group, queriesTopic, 50)
	for _, all := range []bool{false, true} {
		r, got := d.audit(func(o *Options) { o.All = all })
		want := 2 * Listed
		if all {
			want = 27 + 23
		}
		if len(got) != want || r.Findings[Lost] != 27 || r.Findings[Twice] != 23 {
			t.Errorf("all %v: %d findings told, counted %v; want %d", all, len(got), r.Findings, want)
		}
	}
}

// Predictions of queries before and behind the range are nobody's concern.
func TestRange(t *testing.T) {
	d := newDesk(t)
	d.asked(10)
	d.answer(says(1, "Bag", 0, 1, 2, 3, 4, 5, 6, 7, 8)...)
	d.answer(says(1, "Bag", 0, 3)...)
	d.commit(group, queriesTopic, 10)
	r, got := d.audit(func(o *Options) { o.From, o.To = kafka.Exactly(2), kafka.Exactly(9) })
	d.compare(r, got, [8]int64{7, 0, 1}, []string{"twice q3 3.0 [3 10]"})
}

// An audit ends with its context.
func TestEnds(t *testing.T) {
	d := newDesk(t)
	d.asked(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Run(ctx, Options{Client: d.client, Queries: queriesTopic, Predictions: predictionsTopic, Decisions: decisionsTopic, Group: group}); err == nil {
		t.Errorf("got %v", r)
	}
}
