package e2e_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/gpu/linear"
)

// partitions of the pipelines of these tests.
const partitions = 3

// A pipe is a pipeline on a cluster: its spec's file, and the beginning of its topics' names.
type pipe struct {
	cluster
	spec, name string
}

func (p pipe) topic(use string) string { return p.name + "." + use }

// group is the consumer group of a segment.
func (p pipe) group(segment string) string { return "weir." + p.name + "." + segment }

// create makes the pipeline's topics.
func (p pipe) create(t *testing.T) pipe {
	t.Helper()
	weir(t, "", "topics", "create", p.spec, "--broker", p.addr)
	return p
}

// predictions follows the pipeline's predictions.
func (p pipe) predictions(t *testing.T) *predictions {
	t.Helper()
	return p.follow(t, p.topic("predictions"), partitions)
}

// A worker is a `weir run` that is ready.
type worker struct {
	*process
	admin string // address of /metrics and its like
}

// work starts a worker and waits until it owns its partitions.
func (p pipe) work(t *testing.T, args ...string) worker {
	t.Helper()
	w := p.begin(t, args...)
	w.match(t, w.log, `msg=ready`)
	return w
}

// begin starts a worker and waits until its admin address answers.
func (p pipe) begin(t *testing.T, args ...string) worker {
	t.Helper()
	proc := start(t, command(append([]string{"run", p.spec, "--broker", p.addr, "--admin", "127.0.0.1:0"}, args...)...))
	return worker{proc, proc.match(t, proc.log, `msg=admin addr=(\S+)`)}
}

// toy is a pipeline of linear models whose answers are known: x is a vector with one value that is not 0,
// its place is the class, and values below 3 are not clear enough for the light model.
const toy = `pipeline: NAME
objective: 1s
schema:
  x: fixed_list<float32>[4]
  store: {type: string, null: true}
models:
  light: {runtime: linear, path: light.json, inputs: {input: x}, scores: {output: logits, apply: softmax}}
  heavy: {runtime: linear, path: heavy.json, inputs: {input: x}, scores: {output: logits, apply: softmax}}
labels: labels.txt
stages:
  - segment: light
  - predict: {model: light}
  - gate: {name: first, score: max_probability, at_least: 0.9}
  - segment: heavy
  - predict: {model: heavy}
topics: {partitions: 3}
default: {label: unknown}
`

var toyLabels = [...]string{"red", "green", "blue", "grey"}

// toyFiles writes the files of the toy pipeline, whose spec lines are added to or replaced: a line of edits
// takes the place of the line with the same key, or the spec's end.
func (c cluster) toyFiles(t *testing.T, edits ...string) pipe {
	t.Helper()
	dir, name := t.TempDir(), uniqueName()
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(toy, "NAME", name)), "\n")
	for _, e := range edits {
		key, _, _ := strings.Cut(e, ":")
		if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, key+":") }); i >= 0 {
			lines[i] = e
		} else {
			lines = append(lines, e)
		}
	}
	p := pipe{c, filepath.Join(dir, "toy.yaml"), name}
	writeFile(t, p.spec, strings.Join(lines, "\n")+"\n")
	writeFile(t, filepath.Join(dir, "labels.txt"), strings.Join(toyLabels[:], "\n")+"\n")
	writeDiagonal(t, filepath.Join(dir, "light.json"), 1)
	writeDiagonal(t, filepath.Join(dir, "heavy.json"), 10)
	return p
}

// toyPipe makes a toy pipeline and its topics.
func (c cluster) toyPipe(t *testing.T, edits ...string) pipe {
	t.Helper()
	return c.toyFiles(t, edits...).create(t)
}

// writeDiagonal writes a linear model whose scores are its inputs, times a factor.
func writeDiagonal(t *testing.T, path string, factor float32) {
	t.Helper()
	m := linear.Model{Input: "input", Output: "logits", Features: 4, Outputs: 4, Weights: make([]float32, 16)}
	for i := range 4 {
		m.Weights[4*i+i] = factor
	}
	if err := linear.Write(path, m); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A toyQuery is the n-th of a fixed sequence, of which every fourth is for the heavy model.
type toyQuery int

func (q toyQuery) id() string    { return fmt.Sprintf("toy-%d", int(q)) }
func (q toyQuery) class() int    { return int(q) / 4 % 4 }
func (q toyQuery) label() string { return toyLabels[q.class()] }

func (q toyQuery) model() string {
	if q%4 == 0 {
		return "heavy"
	}
	return "light"
}

// x is the query's vector as JSON.
func (q toyQuery) x() string {
	value := 8
	if q.model() == "heavy" {
		value = 1
	}
	var x [4]int
	x[q.class()] = value
	return strings.ReplaceAll(fmt.Sprint(x), " ", ",")
}

func (q toyQuery) json() string {
	return fmt.Sprintf(`{"query_id":"%s","x":%s,"store":"s%d"}`, q.id(), q.x(), int(q)%7)
}

// record is the query in its partition.
func (q toyQuery) record(topic string) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: int32(q) % partitions, Key: []byte(q.id()), Value: []byte(q.json())}
}

// check compares a prediction with what the query must get.
func (q toyQuery) check(t *testing.T, p prediction) {
	t.Helper()
	if p.QueryID != q.id() || p.Status != "answered" || p.Label != q.label() || p.Model != q.model() {
		t.Errorf("query %s %s: got %s, want %s by %s", q.id(), q.x(), p.record.Value, q.label(), q.model())
	}
}

// checkToys compares the first prediction of each of the first n toy queries with what it must get.
func checkToys(t *testing.T, byRef map[string][]prediction, n int) {
	t.Helper()
	byID := map[string]prediction{}
	for _, some := range byRef {
		byID[some[0].QueryID] = some[0]
	}
	for i := range n {
		q := toyQuery(i)
		if p, ok := byID[q.id()]; ok {
			q.check(t, p)
		} else {
			t.Errorf("query %s has no prediction", q.id())
		}
	}
}

func toyRecords(topic string, from, to int) (out []*kgo.Record) {
	for i := from; i < to; i++ {
		out = append(out, toyQuery(i).record(topic))
	}
	return out
}

// fashion makes the example's pipeline, which needs ONNX Runtime, under a name of its own, and its topics.
// Pairs of texts are replaced in its spec.
func (c cluster) fashion(t *testing.T, replace ...string) pipe {
	t.Helper()
	needONNX(t)
	dir := exampleDir(t)
	text, err := os.ReadFile(filepath.Join(dir, "fashion.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p := pipe{c, filepath.Join(t.TempDir(), "fashion.yaml"), uniqueName()}
	replace = append(replace, "pipeline: fashion", "pipeline: "+p.name,
		"path: models/", "path: "+dir+"/models/", "labels: labels.txt", "labels: "+dir+"/labels.txt")
	spec := string(text)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(spec, replace[i]) {
			t.Fatalf("fashion.yaml has no %q to replace", replace[i])
		}
		spec = strings.ReplaceAll(spec, replace[i], replace[i+1])
	}
	writeFile(t, p.spec, spec+fmt.Sprintf("topics: {partitions: %d}\n", partitions))
	return p.create(t)
}

func exampleDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../examples/fashion")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// needONNX skips a test where ONNX Runtime's library was not fetched.
func needONNX(t *testing.T) {
	t.Helper()
	path, err := exec.Command("../../../scripts/onnxruntime", "--print").Output()
	if err == nil {
		_, err = os.Stat(strings.TrimSpace(string(path)))
	}
	if err != nil {
		t.Skipf("ONNX Runtime: %v; `make runtime` fetches it", err)
	}
}

// images are the first queries of the example's sample. Their labels come along, as a column that the
// pipeline does not know.
func images(t *testing.T, n int) (queries [][]byte) {
	t.Helper()
	f, err := os.Open(filepath.Join(exampleDir(t), "sample.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	for len(queries) < n && lines.Scan() {
		before, after, ok := bytes.Cut(bytes.Clone(lines.Bytes()), []byte(`"pixels"`))
		if !ok {
			t.Fatalf("no pixels in %s", before)
		}
		queries = append(queries, fmt.Appendf(nil, `{"query_id":"image-%d","pixels"%s`, len(queries), after))
	}
	if err := lines.Err(); err != nil || len(queries) < n {
		t.Fatalf("%d images in the sample, want %d: %v", len(queries), n, err)
	}
	return queries
}

// spread makes records of queries, over all partitions.
func spread(topic string, queries [][]byte) (records []*kgo.Record) {
	for i, q := range queries {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: q})
	}
	return records
}
