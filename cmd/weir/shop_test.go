package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"weir/connectors/broker"
	"weir/connectors/kafka"
	"weir/schemas"
)

const testSpec = `pipeline: shop
objective: 10ms
schema:
  amount: float32
models:
  light: {runtime: linear, path: light.json, inputs: {x: amount}, scores: {output: y, apply: softmax}}
  heavy: {runtime: linear, path: heavy.json, inputs: {x: amount}, scores: {output: y, apply: softmax}}
labels: labels.txt
stages:
  - segment: light
  - predict: {model: light}
  - gate: {name: sure, score: max_probability, at_least: 0.9}
  - segment: heavy
  - predict: {model: heavy}
topics: {partitions: 2}
default: {label: unknown}
`

// shop is a broker with the topics of testSpec.
type shop struct {
	t      *testing.T
	spec   string
	broker string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	b, err := broker.Open(broker.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	s := &shop{t: t, spec: filepath.Join(t.TempDir(), "shop.yaml"), broker: b.Addr()}
	if err := os.WriteFile(s.spec, []byte(testSpec), 0o644); err != nil {
		t.Fatal(err)
	}
	s.run("", "topics", "create", s.spec)
	return s
}

// run performs a command that must succeed, and gives its output.
func (s *shop) run(in string, args ...string) string {
	s.t.Helper()
	got := weir(s.t, in, append(args, "--broker", s.broker)...)
	if got.code != exitOK {
		s.t.Fatalf("weir %v: code %d: %s", args, got.code, got.err)
	}
	return got.out
}

// record is a line of consume --json.
type recordLine struct {
	Partition int32
	Offset    int64
	Time      string
	Key       any
	Value     json.RawMessage
}

// records consumes a topic to its end.
func (s *shop) records(topic string, args ...string) (lines []recordLine) {
	s.t.Helper()
	out := s.run("", append([]string{"consume", topic, "--until-end", "--json"}, args...)...)
	for text := range strings.Lines(out) {
		var l recordLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b recordLine) int { return strings.Compare(string(a.Value), string(b.Value)) })
	return lines
}

func TestTopicsCreate(t *testing.T) {
	s := newShop(t)
	again := s.run("", "topics", "create", s.spec)
	for _, topic := range []string{"queries", "predictions", "decisions", "feedback", "dead"} {
		if !strings.Contains(again, "exists\tshop."+topic+"\n") {
			t.Errorf("a second time: no shop.%s in\n%s", topic, again)
		}
	}
	if strings.Contains(again, "created") {
		t.Errorf("a second time it created topics:\n%s", again)
	}
}

func TestPublishAndConsume(t *testing.T) {
	s := newShop(t)
	const lines = `{"n":1,"user":"ann"}
{"n":2,"user":"bob"}

not JSON at all
`
	s.run(lines, "publish", "shop.queries")
	file := filepath.Join(t.TempDir(), "more.ndjson")
	if err := os.WriteFile(file, []byte("{\"n\":3,\"user\":\"ann\"}\n{\"n\":4,\"user\":7}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.run("", "publish", "shop.queries", file, "--key-field", "user")

	var got []string
	for _, r := range s.records("shop.queries", "--from", "earliest") {
		got = append(got, fmt.Sprintf("%v %s", r.Key, r.Value))
		if len(r.Time) != len("2026-11-23T15:42:07.123Z") {
			t.Errorf("time %q", r.Time)
		}
	}
	want := []string{`<nil> "not JSON at all"`, `<nil> {"n":1,"user":"ann"}`, `<nil> {"n":2,"user":"bob"}`,
		`ann {"n":3,"user":"ann"}`, `7 {"n":4,"user":7}`}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestConsumeFrom(t *testing.T) {
	s := newShop(t)
	s.run("{\"k\":\"a\",\"n\":0}\n{\"k\":\"a\",\"n\":1}\n{\"k\":\"a\",\"n\":2}\n", "publish", "shop.feedback", "--key-field", "k")
	for _, c := range []struct {
		args string
		want int
	}{
		{"--from earliest", 3}, {"--from 1", 2}, {"--from 99", 0}, {"--from -1h", 3}, {"--from latest", 0},
		{"--from earliest -n 2", 2},
	} {
		if got := len(s.records("shop.feedback", strings.Fields(c.args)...)); got != c.want {
			t.Errorf("%s: got %d records, want %d", c.args, got, c.want)
		}
	}
	plain := s.run("", "consume", "shop.feedback", "--from", "2", "-n", "1")
	fields := strings.Split(strings.TrimSpace(plain), "\t")
	if len(fields) != 5 || fields[1] != "2" || fields[3] != "a" || fields[4] != `{"k":"a","n":2}` {
		t.Errorf("got %q", plain)
	}
	got := weir(t, "", "consume", "shop.nothing", "--broker", s.broker)
	if got.code != exitFailure || !strings.Contains(got.err, "topic shop.nothing does not exist") {
		t.Errorf("an unknown topic: code %d, %q", got.code, got.err)
	}
}

func TestPublishFaults(t *testing.T) {
	s := newShop(t)
	got := weir(t, "{\"user\":1}\n{\"other\":1}\n", "publish", "shop.queries", "--key-field", "user", "--broker", s.broker)
	if got.code != exitFailure || !strings.Contains(got.err, `line 2: --key-field: the line has no field "user"`) ||
		!strings.Contains(got.err, "stored in shop.queries: 1\n") {
		t.Errorf("code %d, %q", got.code, got.err)
	}
}

func TestFeedbackCommand(t *testing.T) {
	s := newShop(t)
	s.run("", "feedback", s.spec, "img-1", "--label", "Bag", "--ref", "1.7.0")
	s.run("", "feedback", s.spec, "img-2", "--reward", "-0.5")
	s.run("{\"query_id\":\"img-3\",\"loss\":2}\n{\"ref\":\"0.1.0\",\"label\":4}\n", "feedback", s.spec)
	var got []string
	for _, r := range s.records("shop.feedback", "--from", "earliest") {
		got = append(got, fmt.Sprintf("%v %s", r.Key, r.Value))
	}
	want := []string{
		`img-1 {"label":"Bag","query_id":"img-1","ref":"1.7.0"}`,
		`img-3 {"query_id":"img-3","loss":2}`,
		`<nil> {"ref":"0.1.0","label":4}`,
		`img-2 {"query_id":"img-2","reward":-0.5}`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	bad := weir(t, "{\"query_id\":\"q\"}\n", "feedback", s.spec, "--broker", s.broker)
	if bad.code != exitFailure || !strings.Contains(bad.err, "line 1: no label, reward or loss") {
		t.Errorf("code %d, %q", bad.code, bad.err)
	}
}

// answer plays the worker: it answers each query once, after a stranger's of the same id, until ctx ends.
func (s *shop) answer(ctx context.Context) error {
	client, err := kafka.Dial(ctx, kafka.Options{Brokers: []string{s.broker}})
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Consume(ctx, "shop.queries", []int64{0, 0}, func(r schemas.Record) error {
		var q struct {
			QueryID string `json:"query_id"`
		}
		if err := json.Unmarshal(r.Value, &q); err != nil {
			return err
		}
		var out []schemas.Message
		for label, offset := range []int64{r.Offset + 1, r.Offset} {
			out = append(out, schemas.Message{Rows: 1, Value: fmt.Appendf(nil,
				"{\"query_id\":%q,\n \"label\":%d,\"source\":{\"partition\":%d,\"offset\":%d}}", q.QueryID, label, r.Partition, offset)})
		}
		_, err := client.Produce(ctx, "shop.predictions", r.Partition, out)
		return err
	})
}

func TestAsk(t *testing.T) {
	s := newShop(t)
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error { return s.answer(ctx) })
	if got, want := s.run("", "ask", s.spec, `{"query_id":"mine","amount":3}`), `{"query_id":"mine","label":1,"source":`; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want it to begin with %s", got, want)
	}
	if got := s.run(`{"amount":3}`, "ask", s.spec, "-"); !strings.HasPrefix(got, `{"query_id":"ask-`) {
		t.Errorf("without an id: got %s", got)
	}
	file := filepath.Join(t.TempDir(), "query.json")
	if err := os.WriteFile(file, []byte("{\"query_id\":\"filed\",\n\"amount\":3}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := s.run("", "ask", s.spec, "@"+file); !strings.Contains(got, `"filed"`) {
		t.Errorf("from a file: got %s", got)
	}
	cancel()
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	got := weir(t, "", "ask", s.spec, `{"query_id":"lonely"}`, "--timeout", "100ms", "--broker", s.broker)
	if want := "weir: no answer to query lonely within 100ms; is a worker running? (weir run SPEC)\n"; got.code != exitFailure || got.err != want {
		t.Errorf("without a worker: code %d, %q, want %q", got.code, got.err, want)
	}
}
