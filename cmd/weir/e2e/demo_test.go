package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// summary is what `weir demo --json` prints: these fields and no others.
type summary struct {
	Published  *int           `json:"published"`
	Final      *int           `json:"final"`
	Lost       *int           `json:"lost"`
	Duplicates *int           `json:"duplicates"`
	ByStatus   map[string]int `json:"by_status"`
	ByModel    map[string]int `json:"by_model"`
	Late       *int           `json:"late"`
	Accuracy   *float64       `json:"accuracy"`
	HeavyAlone *float64       `json:"heavy_accuracy_alone"`
	P50        *float64       `json:"p50_ms"`
	P99        *float64       `json:"p99_ms"`
	P999       *float64       `json:"p999_ms"`
	Rate       *float64       `json:"rate_qps"`
	MeanBatch  *float64       `json:"mean_batch"`
	Seconds    *float64       `json:"seconds"`
}

// demo runs `weir demo --json` and reads its summary, of which every field must be there.
func demo(t *testing.T, args ...string) summary {
	t.Helper()
	out := weir(t, "", append([]string{"demo", "--json"}, args...)...)
	var s summary
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "}\n") {
		t.Fatalf("standard output is not one JSON object on one line: %v\n%s", err, out)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(out), &fields); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(fields) != 15 || bytes.Contains(again, []byte("null")) {
		t.Fatalf("want 15 fields, none of them null: %s", out)
	}
	t.Logf("%s", out)
	return s
}

// check finds fault with a run of n queries in which no worker died.
func (s summary) check(t *testing.T, n int) {
	t.Helper()
	for name, v := range map[string][2]int{
		"published": {*s.Published, n}, "final": {*s.Final, n}, "lost": {*s.Lost, 0}, "duplicates": {*s.Duplicates, 0},
	} {
		if v[0] != v[1] {
			t.Errorf("%s: got %d, want %d", name, v[0], v[1])
		}
	}
	total := 0
	for _, count := range s.ByStatus {
		total += count
	}
	if answered := s.ByStatus["answered"]; total != n || float64(answered) < 0.999*float64(n) {
		t.Errorf("by_status: got %v, want %d together, 99.9 %% of them answered", s.ByStatus, n)
	}
	if *s.P50 <= 0 || *s.P99 < *s.P50 || *s.P999 < *s.P99 || *s.Rate <= 0 || *s.MeanBatch < 1 || *s.Seconds <= 0 {
		t.Errorf("the times or rates make no sense: p50 %v, p99 %v, p99.9 %v ms, %v/s, batch %v, %v s",
			*s.P50, *s.P99, *s.P999, *s.Rate, *s.MeanBatch, *s.Seconds)
	}
}

// The example does what it promises: no query is lost, the cascade is nearly as good as its last model
// alone, which it asks for less than half of the queries.
func TestDemoFashion(t *testing.T) {
	needONNX(t)
	t.Parallel()
	const n = 1000
	s := demo(t, "--pipeline", filepath.Join(exampleDir(t), "fashion.yaml"), "--queries", fmt.Sprint(n))
	s.check(t, n)
	if *s.Accuracy < *s.HeavyAlone-0.005 {
		t.Errorf("accuracy %v, the heavy model alone has %v on the same rows: more than 0.5 points below", *s.Accuracy, *s.HeavyAlone)
	}
	if heavy, light := s.ByModel["heavy"], s.ByModel["light"]; heavy == 0 || 2*heavy >= n || heavy+light != n {
		t.Errorf("by_model: got %v, want less than half by heavy", s.ByModel)
	}
}

// toyData writes rows for the toy pipeline; every tenth has a wrong label.
func toyData(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		label := toyQuery(i).label()
		if i%10 == 0 {
			label = "no such colour"
		}
		fmt.Fprintf(&b, `{"x":%s,"label":%q}`+"\n", toyQuery(i).x(), label)
	}
	file := filepath.Join(t.TempDir(), "rows.ndjson")
	writeFile(t, file, b.String())
	return file
}

// Another pipeline, on another broker; its directory keeps the logs.
func TestDemoPipeline(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		const n = 400
		p, dir := c.toyFiles(t), t.TempDir()
		s := demo(t, "--pipeline", p.spec, "--data", toyData(t, 40), "--broker", c.addr, "--queries", fmt.Sprint(n), "--rate", "800", "--data-dir", dir)
		s.check(t, n)
		if *s.Accuracy != 0.9 || *s.HeavyAlone != 0.9 || s.ByModel["heavy"] != n/4 || s.ByModel["light"] != 3*n/4 {
			t.Errorf("accuracy %v, alone %v, by_model %v; want 0.9, 0.9, a quarter by heavy", *s.Accuracy, *s.HeavyAlone, s.ByModel)
		}
		if _, err := os.Stat(filepath.Join(dir, "worker-1.log")); err != nil {
			t.Error(err)
		}
		// The truth went to the feedback topic, with the place of the query that it is about.
		feedback := c.records(t, p.topic("feedback"), partitions)
		for _, r := range feedback {
			var f struct{ QueryID, Ref, Label string }
			if err := json.Unmarshal(bytes.ReplaceAll(r.Value, []byte("query_id"), []byte("QueryID")), &f); err != nil || f.QueryID == "" || f.Ref == "" || f.Label == "" {
				t.Fatalf("feedback %s: %v", r.Value, err)
			}
		}
		if len(feedback) != n {
			t.Errorf("%d records of feedback, want %d", len(feedback), n)
		}
	})
}

// Ctrl-C ends the demo with its summary, and with everything that it had started.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	c := cluster{}
	p := c.toyFiles(t)
	d := start(t, command("demo", "--json", "--pipeline", p.spec, "--data", toyData(t, 40)))
	d.match(t, d.log, `(?m)^0:0[1-9] .*out [1-9]`)
	code, took := d.stop(t)
	var s summary
	if err := json.Unmarshal([]byte(d.out.String()), &s); err != nil || code != 0 {
		t.Fatalf("code %d, %v: %q", code, err, d.out)
	}
	if *s.Published == 0 {
		t.Error("nothing was published")
	}
	s.check(t, *s.Published)
	t.Logf("ended %v after the interrupt", took)
}
