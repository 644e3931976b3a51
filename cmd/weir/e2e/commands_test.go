package e2e_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What a user types, against a pipeline that works: topics create, ask, publish, consume, feedback, check,
// version.
func TestCommands(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.toyFiles(t)
		topicsCreate(t, p)
		p.work(t)
		askEach(t, p)
		publishAndConsume(t, p)
		consumeLatest(t, p)
		feedback(t, p)
		checkSpec(t, p)
	})
}

func topicsCreate(t *testing.T, p pipe) {
	t.Helper()
	first := weir(t, "", "topics", "create", p.spec, "--broker", p.addr)
	second := weir(t, "", "topics", "create", p.spec, "--broker", p.addr)
	for _, use := range []string{"queries", "heavy", "predictions", "decisions", "feedback", "dead"} {
		created := fmt.Sprintf("created\t%s\t%d partitions, replication 1\n", p.topic(use), partitions)
		if !strings.Contains(first, created) || !strings.Contains(second, "exists\t"+p.topic(use)+"\n") {
			t.Errorf("%s: created first and there a second time? Got\n%s%s", use, first, second)
		}
	}
}

func askEach(t *testing.T, p pipe) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "query.json")
	writeFile(t, file, "{\n \"x\": [0, 0, 8, 0]\n}\n")
	for _, c := range []struct{ stdin, query, id, label string }{
		{"", `{"query_id":"mine","x":[8,0,0,0]}`, "mine", "red"},
		{"", `{"x":[0,8,0,0]}`, "ask-", "green"},
		{"", "@" + file, "ask-", "blue"},
		{`{"x":[0,0,0,8]}`, "-", "ask-", "grey"},
	} {
		out := weir(t, c.stdin, "ask", p.spec, c.query, "--broker", p.addr)
		got, err := parsePrediction(&kgo.Record{Value: []byte(out)})
		if err != nil || !strings.HasPrefix(got.QueryID, c.id) || got.Label != c.label || strings.Count(out, "\n") != 1 {
			t.Errorf("ask %s: got %s, %v; want label %s", c.query, out, err, c.label)
		}
	}
}

// publishAndConsume publishes lines and reads back what became of them in each of the ways there are.
func publishAndConsume(t *testing.T, p pipe) {
	t.Helper()
	const n = 30
	var lines strings.Builder
	for i := range n {
		fmt.Fprintln(&lines, toyQuery(i).json())
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(lines.String())); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "day.ndjson.gz")
	if err := os.WriteFile(file, zipped.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	before := parseConsumed(t, weir(t, "", "consume", p.topic("predictions"), "--from", "earliest", "--until-end", "--json", "--broker", p.addr))
	if len(before) != 4 { // of askEach
		t.Errorf("%d predictions before, want 4", len(before))
	}
	weir(t, "", "publish", p.topic("queries"), file, "--key-field", "store", "--broker", p.addr)
	weir(t, "not JSON\n", "publish", p.topic("queries"), "--broker", p.addr)
	p.predictions(t).await(t, n+5)

	consume := func(args ...string) []consumed {
		return parseConsumed(t, weir(t, "", append([]string{"consume", p.topic("predictions"), "--json", "--until-end", "--broker", p.addr}, args...)...))
	}
	all := consume("--from", "earliest")
	if len(all) != n+5 || len(consume("--from", "-1h")) != n+5 || len(consume("--from", "latest")) != 0 {
		t.Errorf("%d predictions from earliest, want %d, as many from -1h, none from latest", len(all), n+5)
	}
	if got := len(consume("--from", "earliest", "-n", "3")); got != 3 {
		t.Errorf("%d lines with -n 3", got)
	}
	beyond := 0
	for _, l := range all {
		if l.Offset >= 2 {
			beyond++
		}
	}
	if got := len(consume("--from", "2")); got != beyond {
		t.Errorf("%d predictions from offset 2 on, want %d", got, beyond)
	}
	byID := map[string]prediction{}
	for _, l := range all {
		pr, err := parsePrediction(&kgo.Record{Value: l.Value})
		if err != nil {
			t.Fatal(err)
		}
		byID[pr.QueryID] = pr
		if i := slices.IndexFunc(toyIDs(n), func(id string) bool { return id == pr.QueryID }); i >= 0 {
			toyQuery(i).check(t, pr)
			if want := fmt.Sprintf("s%d", i%7); l.Key != want || l.Partition != pr.Source.Partition {
				t.Errorf("prediction of %s: key %v in partition %d, want %s and %d", pr.QueryID, l.Key, l.Partition, want, pr.Source.Partition)
			}
		}
	}
	if len(byID) != n+5 {
		t.Errorf("%d queries, want %d", len(byID), n+5)
	}
	plain := weir(t, "", "consume", p.topic("dead"), "--from", "earliest", "--until-end", "--broker", p.addr)
	if fields := strings.Split(strings.TrimSpace(plain), "\t"); len(fields) != 5 || fields[3] != "-" || fields[4] != `"not JSON"` {
		t.Errorf("the dead letter: got %q", plain)
	}
}

// consumeLatest follows the predictions from where they end now.
func consumeLatest(t *testing.T, p pipe) {
	t.Helper()
	first := ends(t, p.client(t), p.topic("predictions"), partitions)
	latest := start(t, command("consume", p.topic("predictions"), "--json", "-n", "1", "--broker", p.addr))
	client, asked := p.client(t), 1000
	// It does not say when it has begun, so it is given something to read until it has read something.
	eventually(t, "a prediction from now on", func() bool {
		publish(t, client, toyQuery(asked).record(p.topic("queries")))
		asked++
		return !latest.running()
	})
	lines := parseConsumed(t, latest.out.String())
	if code := latest.wait(t); code != 0 || len(lines) != 1 || lines[0].Offset < first[lines[0].Partition] {
		t.Errorf("code %d, lines %v; want one that came after %v", code, lines, first)
	}
}

func toyIDs(n int) (ids []string) {
	for i := range n {
		ids = append(ids, toyQuery(i).id())
	}
	return ids
}

func feedback(t *testing.T, p pipe) {
	t.Helper()
	weir(t, "", "feedback", p.spec, "mine", "--label", "red", "--ref", "1.2.0", "--broker", p.addr)
	weir(t, `{"query_id":"toy-1","reward":0.5}`+"\n", "feedback", p.spec, "--broker", p.addr)
	var got []string
	for _, r := range p.records(t, p.topic("feedback"), partitions) {
		got = append(got, string(r.Key)+" "+string(r.Value))
	}
	slices.Sort(got)
	if want := []string{`mine {"label":"red","query_id":"mine","ref":"1.2.0"}`, `toy-1 {"query_id":"toy-1","reward":0.5}`}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func checkSpec(t *testing.T, p pipe) {
	t.Helper()
	text := weir(t, "", "check", p.spec)
	for _, want := range []string{p.name, "x: fixed_list<float32>[4]", "light: linear, light.json", "light + heavy: " + p.topic("queries") + " -> " + p.topic("predictions")} {
		if !strings.Contains(text, want) {
			t.Errorf("check: no %q in\n%s", want, text)
		}
	}
	if got := weir(t, "", "version"); !strings.HasPrefix(got, "weir ") {
		t.Errorf("version: got %q", got)
	}
}

// Headers and columns that the spec names come back with the prediction, however the query ended and
// whichever segments it passed.
func TestCarried(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	for _, layout := range []string{"layout: fused", "layout: {cut: [heavy]}"} {
		p := c.toyPipe(t, layout, "columns: [store]", "headers: [traceparent, reply-to]")
		p.work(t)
		var records []*kgo.Record
		for i := range 16 {
			r := toyQuery(i).record(p.topic("queries"))
			r.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: fmt.Appendf(nil, "00-%032x-01", i)}, {Key: "other", Value: []byte("no")}}
			records = append(records, r)
		}
		bad := &kgo.Record{Topic: p.topic("queries"), Value: []byte("?"), Headers: []kgo.RecordHeader{{Key: "reply-to", Value: []byte("me")}}, Key: []byte("k")}
		publish(t, p.client(t), append(records, bad)...)
		got := p.predictions(t)
		got.await(t, 17)
		byID := got.once(t)
		for i := range 16 {
			pr := byID[toyQuery(i).id()]
			toyQuery(i).check(t, pr)
			if pr.Columns["store"] != fmt.Sprintf("s%d", i%7) || pr.header("traceparent") != fmt.Sprintf("00-%032x-01", i) ||
				pr.header("other") != "" || pr.header("content-type") != "application/json" || string(pr.record.Key) != toyQuery(i).id() {
				t.Errorf("%s: columns %v, headers %s, key %s", pr.QueryID, pr.Columns, pr.record.Headers, pr.record.Key)
			}
		}
		rejected := byID[fmt.Sprintf("%s/0/%d/0", p.topic("queries"), bad.Offset)]
		if rejected.Status != "rejected" || rejected.header("reply-to") != "me" || string(rejected.record.Key) != "k" {
			t.Errorf("the rejected query: %+v, headers %s", rejected, rejected.record.Headers)
		}
	}
}

// A query that is out of time ends without a model; one that has time does not.
func TestTimeout(t *testing.T) {
	t.Parallel()
	p := embedded(t).toyPipe(t)
	p.work(t)
	publish(t, p.client(t), &kgo.Record{Topic: p.topic("queries"), Value: []byte(
		`[{"query_id":"none","x":[8,0,0,0]},{"query_id":"short","x":[8,0,0,0],"timeout_ms":0.001},{"query_id":"long","x":[8,0,0,0],"timeout_ms":600000}]`)})
	got := p.predictions(t)
	got.await(t, 3)
	for id, pr := range got.once(t) {
		want := "answered  red"
		if id == "short" {
			want = "expired deadline "
			if !*pr.Late {
				t.Error("an expired query is not late")
			}
		}
		if have := pr.Status + " " + pr.Reason.Code + " " + pr.Label; have != want {
			t.Errorf("%s: got %q, want %q: %s", id, have, want, pr.record.Value)
		}
	}
}

// A query record in Arrow is answered row by row, whoever compressed it; predictions in Arrow read as those
// in JSON do.
func TestArrow(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	p := c.toyPipe(t, "format: arrow")
	p.work(t)
	const rows = 100
	var ids []string
	var vectors [][]float32
	for i := range rows {
		var x []float32
		if err := json.Unmarshal([]byte(toyQuery(i).x()), &x); err != nil {
			t.Fatal(err)
		}
		ids, vectors = append(ids, toyQuery(i).id()), append(vectors, x)
	}
	record := &kgo.Record{Topic: p.topic("queries"), Partition: 1, Value: arrowStream(column("query_id", array.NewStringBuilder, ids...), xColumn(vectors...)),
		Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte(arrowType)}}}
	publish(t, p.client(t), record)
	p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)

	lines := parseConsumed(t, weir(t, "", "consume", p.topic("predictions"), "--from", "earliest", "--until-end", "--json", "--broker", p.addr))
	if len(lines) != rows {
		t.Fatalf("%d predictions, want %d", len(lines), rows)
	}
	for _, l := range lines {
		var pr struct {
			QueryID string `json:"query_id"`
			Status  string `json:"status"`
			Label   string `json:"label"`
			Model   string `json:"model"`
			Ref     string `json:"ref"`
		}
		if err := json.Unmarshal(l.Value, &pr); err != nil {
			t.Fatal(err)
		}
		row := slices.Index(ids, pr.QueryID)
		q := toyQuery(row)
		if row < 0 || pr.Status != "answered" || pr.Label != q.label() || pr.Model != q.model() || pr.Ref != fmt.Sprintf("1.%d.%d", record.Offset, row) {
			t.Errorf("got %s, want %s by %s", l.Value, q.label(), q.model())
		}
	}
	// ask understands them too.
	if out := weir(t, "", "ask", p.spec, `{"query_id":"asked","x":[8,0,0,0]}`, "--broker", p.addr); !strings.Contains(out, `"label":"red"`) {
		t.Errorf("ask: got %s", out)
	}
}

// Producers compress as they like.
func TestCompression(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	p := c.toyPipe(t)
	p.work(t)
	codecs := []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	const each = 50
	for i, codec := range codecs {
		publish(t, p.client(t, kgo.ProducerBatchCompression(codec)), toyRecords(p.topic("queries"), i*each, (i+1)*each)...)
	}
	got := p.predictions(t)
	got.await(t, len(codecs)*each)
	got.once(t)
	checkToys(t, got.all(t), len(codecs)*each)
}
