package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A prediction is a record of the predictions topic: the fields of the contract and nothing else.
type prediction struct {
	QueryID string `json:"query_id"`
	Status  string `json:"status"`
	Late    *bool  `json:"late"`
	Reason  struct {
		Code, Column, Message string
	} `json:"reason"`
	Label        string    `json:"label"`
	Confidence   float64   `json:"confidence"`
	Scores       []float64 `json:"scores"`
	Model        string    `json:"model"`
	ModelVersion string    `json:"model_version"`
	Gates        []struct {
		Name    string  `json:"name"`
		Score   float64 `json:"score"`
		AtLeast float64 `json:"at_least"`
		Version string  `json:"version"`
	} `json:"gates"`
	Columns map[string]any `json:"columns"`
	Source  struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Row       int    `json:"row"`
	} `json:"source"`
	Ref   string `json:"ref"`
	Trace struct {
		Stamp  time.Time `json:"stamp"`
		Total  float64   `json:"total_ms"`
		Stages []struct {
			Name  string  `json:"name"`
			Wait  float64 `json:"wait_ms"`
			Run   float64 `json:"run_ms"`
			Batch int     `json:"batch"`
		} `json:"stages"`
	} `json:"trace"`

	record *kgo.Record
}

func parsePrediction(r *kgo.Record) (prediction, error) {
	p := prediction{record: r}
	d := json.NewDecoder(bytes.NewReader(r.Value))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("%s: %w", r.Value, err)
	}
	return p, nil
}

// header is a Kafka header of the prediction.
func (p *prediction) header(key string) string { return header(p.record, key) }

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// answer is the fields of the prediction without what is no part of the answer.
func (p *prediction) answer(t *testing.T) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(p.record.Value, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "trace")
	delete(fields, "late")
	return fields
}

// alike compares JSON values. ONNX Runtime's last bits depend on the batch that a row is in, so numbers are
// compared within a tolerance, everything else exactly.
func alike(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Abs(a-b) <= 1e-5*max(1, math.Abs(a))
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, alike)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, alike)
	}
	return reflect.DeepEqual(a, b)
}

// predictions are those of a pipeline, from the earliest on, read as they come. A query's place, its ref,
// is what tells two predictions of one query from those of two.
type predictions struct {
	topic      string
	partitions int
	client     *kgo.Client

	mu      sync.Mutex
	byRef   map[string][]prediction
	reached map[int32]int64
	err     error
	changed chan struct{} // closed and replaced by each fetch
}

// follow reads a pipeline's predictions until the test ends.
func (c cluster) follow(t *testing.T, topic string, partitions int) *predictions {
	t.Helper()
	p := &predictions{
		topic: topic, partitions: partitions, byRef: map[string][]prediction{}, reached: map[int32]int64{}, changed: make(chan struct{}),
		client: c.client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords(),
			kgo.FetchMaxWait(100*time.Millisecond)),
	}
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			p.take(p.client.PollFetches(ctx))
		}
	})
	t.Cleanup(func() { cancel(); reading.Wait() })
	return p
}

func (p *predictions) take(f kgo.Fetches) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.EachRecord(func(r *kgo.Record) {
		p.reached[r.Partition] = r.Offset + 1
		if r.Attrs.IsControl() {
			return
		}
		pr, err := parsePrediction(r)
		if err != nil {
			p.err = err
		}
		p.byRef[pr.Ref] = append(p.byRef[pr.Ref], pr)
	})
	close(p.changed)
	p.changed = make(chan struct{})
}

// until waits until a condition on what was read holds. The condition is checked under the lock.
func (p *predictions) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		done, err, changed := holds(), p.err, p.changed
		n := len(p.byRef)
		p.mu.Unlock()
		if err != nil {
			t.Fatalf("%s: %v", p.topic, err)
		}
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s: not within %v: %s; there are predictions of %d queries", p.topic, patience, what, n)
		}
	}
}

// reach waits until n queries have a prediction, for a goroutine that is not the test's.
func (p *predictions) reach(ctx context.Context, n int) error {
	for {
		p.mu.Lock()
		have, changed := len(p.byRef), p.changed
		p.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// await waits until n queries have a prediction.
func (p *predictions) await(t *testing.T, n int) {
	t.Helper()
	p.until(t, fmt.Sprintf("predictions of %d queries", n), func() bool { return len(p.byRef) >= n })
}

// all reads what the topic holds now to its end and gives it by ref, each query's predictions in order.
func (p *predictions) all(t *testing.T) map[string][]prediction {
	t.Helper()
	want := ends(t, p.client, p.topic, p.partitions)
	p.until(t, "the end of the topic", func() bool {
		for part, end := range want {
			if p.reached[part] < end {
				return false
			}
		}
		return true
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.byRef)
}

// once is all, where every query must have exactly one prediction; by query id, which must be unique too.
func (p *predictions) once(t *testing.T) map[string]prediction {
	t.Helper()
	out := map[string]prediction{}
	for ref, some := range p.all(t) {
		if len(some) != 1 {
			t.Errorf("%d predictions of the query at %s: %s", len(some), ref, some[0].record.Value)
		}
		if other, twice := out[some[0].QueryID]; twice {
			t.Errorf("query %s was answered at %s and at %s", some[0].QueryID, other.Ref, ref)
		}
		out[some[0].QueryID] = some[0]
	}
	return out
}

// duplicates counts the predictions beyond the first of each query, which must be equal to it.
func (p *predictions) duplicates(t *testing.T) (n int) {
	t.Helper()
	all := p.all(t)
	for _, ref := range slices.Sorted(maps.Keys(all)) {
		first := all[ref][0].answer(t)
		for _, other := range all[ref][1:] {
			n++
			if got := other.answer(t); !alike(got, first) {
				t.Errorf("the query at %s was answered twice, differently:\n%v\n%v", ref, first, got)
			}
		}
	}
	return n
}

// records reads a topic from its begin to its present end.
func (c cluster) records(t *testing.T, topic string, partitions int) (out []*kgo.Record) {
	t.Helper()
	client := c.client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond))
	left := ends(t, client, topic, partitions)
	maps.DeleteFunc(left, func(_ int32, end int64) bool { return end == 0 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(left) > 0 {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
		if ctx.Err() != nil {
			t.Fatalf("%s: the ends of %v were not reached within %v", topic, left, patience)
		}
	}
	return out
}

// consumed is a line of `weir consume --json`.
type consumed struct {
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Time      time.Time       `json:"time"`
	Key       any             `json:"key"`
	Value     json.RawMessage `json:"value"`
}

func parseConsumed(t *testing.T, text string) (lines []consumed) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l consumed
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lines = append(lines, l)
	}
	return lines
}
