package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// replayReport is the last line of `weir replay --json`.
type replayReport struct {
	Queries, Unanswered, Same, Agreed, Unexplained int
	Different, Explained                           map[string]int
	Recorded, Replayed                             struct {
		Reached map[string]int
		P99     float64 `json:"p99_ms"`
	}
}

// replay replays everything that is recorded, and gives the findings and the report.
func (p pipe) replay(t *testing.T, code int, spec string, args ...string) (findings []map[string]any, r replayReport) {
	t.Helper()
	got := run(t, command(append([]string{"replay", spec, "--from", "earliest", "--json", "--broker", p.addr}, args...)...))
	if got.code != code {
		t.Fatalf("weir replay: code %d, want %d: %s", got.code, code, got.err)
	}
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	for _, l := range lines[:len(lines)-1] {
		var f map[string]any
		if err := json.Unmarshal([]byte(l), &f); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		findings = append(findings, f)
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("%s: %v", lines[len(lines)-1], err)
	}
	return findings, r
}

// live is all that a replay may not change: the ends of the pipeline's topics and what its groups have committed.
func (p pipe) live(t *testing.T) string {
	t.Helper()
	client, out := p.client(t), ""
	sizes := p.sizes(t)
	for _, topic := range slices.Sorted(maps.Keys(sizes)) {
		out += fmt.Sprintf("%s: ends %v", topic, ends(t, client, topic, sizes[topic]))
		for _, segment := range []string{"light", "heavy"} {
			out += fmt.Sprintf(", %s %v", segment, committed(t, client, p.group(segment), topic))
		}
		out += "\n"
	}
	return out
}

// topics are the names of the pipeline's topics, in order.
func (p pipe) topics(t *testing.T) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(p.sizes(t)))
}

// sizes are how many partitions each of the pipeline's topics has.
func (p pipe) sizes(t *testing.T) map[string]int {
	t.Helper()
	sizes := map[string]int{}
	res, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), p.client(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range res.Topics {
		if topic.Topic != nil && strings.HasPrefix(*topic.Topic, p.name+".") {
			sizes[*topic.Topic] = len(topic.Partitions)
		}
	}
	return sizes
}

// candidate writes a changed spec beside the pipeline's.
func (p pipe) candidate(t *testing.T, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(p.spec)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(replace...).Replace(string(text))
	if changed == string(text) {
		t.Fatalf("%s has nothing of %q", text, replace)
	}
	file := filepath.Join(filepath.Dir(p.spec), "candidate.yaml")
	writeFile(t, file, changed)
	return file
}

// recorded makes a pipeline whose workers have answered n toys, an array of three queries and one that is no
// JSON.
func (c cluster) recorded(t *testing.T, n int, layout string) pipe {
	t.Helper()
	p := c.toyPipe(t, "layout: "+layout, "columns: [store]")
	records := toyRecords(p.topic("queries"), 0, n)
	array := "[" + toyQuery(0).json() + "," + strings.ReplaceAll(toyQuery(1).json(), "toy-1", "toy-b") + `,{"x":[1]}]`
	for _, value := range []string{array, "no JSON"} {
		records = append(records, &kgo.Record{Topic: p.topic("queries"), Partition: 1, Value: []byte(value)})
	}
	publish(t, p.client(t), records...)
	w := p.work(t)
	p.predictions(t).await(t, n+4)
	if code, _ := w.stop(t); code != 0 {
		t.Fatalf("%s: exit code %d", w.name, code)
	}
	return p
}

// A replay of the same spec gives the same answers, however the pipeline was cut, and changes nothing. What a
// changed spec answers otherwise is explained; what was tampered with is not.
func TestReplay(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, layout := range []string{"fused", "{cut: [heavy], spread: {heavy: 2}}"} {
			t.Run(layout, func(t *testing.T) {
				t.Parallel()
				const n = 3000
				p := c.recorded(t, n, layout)
				before := p.live(t)
				findings, r := p.replay(t, 0, p.spec)
				if r.Queries != n+4 || r.Same != n+4 || r.Agreed != n+4 || r.Unexplained != 0 || r.Unanswered != 0 || len(findings) != 0 {
					t.Errorf("the same spec: %+v, %v", r, findings)
				}
				other := p.candidate(t, "pipeline: "+p.name, "pipeline: other-"+p.name, "layout: "+layout, "layout: fused")
				_, r = p.replay(t, 0, other, "--recorded", p.spec, "--speed", "100000")
				if r.Same != n+4 || r.Recorded.P99 <= 0 || r.Replayed.P99 <= 0 {
					t.Errorf("under another name, with a pace: %+v", r)
				}
				_, r = p.replay(t, 0, p.candidate(t, "at_least: 0.9", "at_least: 0.3"))
				// Of the array's rows, one was for the heavy model.
				if r.Same != n*3/4+3 || r.Different["model"] != n/4+1 || r.Explained["threshold"] != n/4+1 || r.Agreed != n+4 || r.Unexplained != 0 {
					t.Errorf("another threshold: %+v", r)
				}
				if r.Recorded.Reached["heavy"] != n/4+1 || r.Replayed.Reached["heavy"] != 0 || r.Replayed.Reached["light"] != n+2 {
					t.Errorf("another threshold: %+v", r)
				}
				// Every decodable row asked the light model, as the decisions of those that the heavy one answered tell.
				_, r = p.replay(t, 0, p.candidate(t, "path: light.json", "path: heavy.json"))
				if r.Same != 2 || r.Different["model"] != n+2 || r.Explained["version"] != n+2 || r.Unexplained != 0 {
					t.Errorf("another model: %+v", r)
				}
				_, r = p.replay(t, 0, p.candidate(t, "columns: [store]", ""))
				if r.Same != 2 || r.Different["other"] != n+2 || r.Explained["spec"] != n+2 || r.Unexplained != 0 {
					t.Errorf("without the carried column: %+v", r)
				}
				if after := p.live(t); after != before {
					t.Errorf("the replays changed\n%sto\n%s", before, after)
				}
				p.tamper(t)
			})
		}
	})
}

// tamper answers a query by hand, wrongly: nothing explains that.
func (p pipe) tamper(t *testing.T) {
	t.Helper()
	client, topic := p.client(t), p.topic("queries")
	q := toyQuery(1)
	at := ends(t, client, topic, partitions)[0]
	publish(t, client, &kgo.Record{Topic: topic, Value: []byte(q.json())}, &kgo.Record{Topic: topic, Value: []byte(q.json())},
		&kgo.Record{Topic: p.topic("predictions"), Value: fmt.Appendf(nil,
			`{"query_id":"toy-1","status":"answered","label":"blue","model":"light","source":{"topic":%q,"partition":0,"offset":%d,"row":0}}`, topic, at)})
	findings, r := p.replay(t, 1, p.spec)
	if r.Different["label"] != 1 || r.Unexplained != 1 || r.Unanswered != 1 || len(findings) != 2 {
		t.Fatalf("a tampered prediction: %+v, %v", r, findings)
	}
	if f := findings[0]; f["difference"] != "label" || f["query_id"] != "toy-1" || f["offset"] != float64(at) || f["explained"] != nil {
		t.Errorf("a tampered prediction: %v", f)
	}
	got := run(t, command("replay", p.spec, "--broker", p.addr))
	if want := fmt.Sprintf("label\ttoy-1\t%s/0/%d/0\tUNEXPLAINED\twas: answered blue by light", topic, at); got.code != 1 || !strings.Contains(got.out, want) {
		t.Errorf("code %d, no %q in\n%s%s", got.code, want, got.out, got.err)
	}
}

// A replay that is interrupted leaves no topics behind, one that shall keep them names them.
func TestReplayTopics(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.recorded(t, 100, "fused")
		before := p.topics(t)
		slow := start(t, command("replay", p.spec, "--broker", p.addr, "--speed", "0.000001"))
		eventually(t, "the replay has topics", func() bool { return len(p.topics(t)) == len(before)+3 })
		if code, _ := slow.stop(t); code != 1 || !strings.Contains(slow.log.String(), "replay: interrupted") {
			t.Errorf("interrupted: code %d", code)
		}
		eventually(t, "they are gone", func() bool { return slices.Equal(p.topics(t), before) })
		got := run(t, command("replay", p.spec, "--broker", p.addr, "--keep"))
		_, names, _ := strings.Cut(strings.TrimSpace(got.err), "kept: ")
		kept := strings.Fields(names)
		if got.code != 0 || len(kept) != 3 {
			t.Fatalf("--keep: code %d, %s", got.code, got.err)
		}
		total := int64(0)
		for _, end := range ends(t, p.client(t), kept[0], partitions) {
			total += end
		}
		if total != 104 {
			t.Errorf("%s: %d predictions, want 104", kept[0], total)
		}
		slow = start(t, command("replay", p.spec, "--broker", p.addr, "--speed", "0.000001"))
		slow.signal(t, syscall.SIGINT)
		slow.wait(t)
		eventually(t, "only what was kept is there", func() bool { return len(p.topics(t)) == len(before)+3 })
	})
}
