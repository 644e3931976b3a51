// Package ledger judges a pipeline from outside: what was published, what came back, and whether the one is the
// answer to the other, once.
//
//	publisher ──► Sent(id, partition, offset) ──┐
//	predictions ──► Follow, its own consumer ───┴──► Verdict: lost, twice, contradictory, unknown; Disorder
//
// It shares no code with the pipeline, not even the client library, so that a fault of that cannot hide itself.
package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A Place is where a query was published.
type Place struct {
	Partition int32
	Offset    int64
}

// A Ledger is the account of one pipeline. It is safe for concurrent use.
type Ledger struct {
	mu       sync.Mutex
	sent     map[string][]Place
	answers  map[string][]answer
	order    []string // ids, as they were sent
	whole    int      // so many of the first of them are answered
	answered int      // ids that were sent and have an answer
	reached  map[int32]int64
	heard    map[int32]time.Time // when a partition brought something last
	silence  time.Duration       // the longest between two of those
	err      error
	changed  chan struct{} // closed and replaced with each fetch
}

type answer struct {
	place  Place
	at     Place // of the prediction itself
	key    string
	fields map[string]any
}

// New makes an empty ledger.
func New() *Ledger {
	return &Ledger{sent: map[string][]Place{}, answers: map[string][]answer{}, reached: map[int32]int64{},
		heard: map[int32]time.Time{}, changed: make(chan struct{})}
}

// Sent notes a query of one row whose record the broker has acknowledged.
func (l *Ledger) Sent(id string, at Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sent[id]) == 0 && len(l.answers[id]) > 0 {
		l.answered++
	}
	l.sent[id] = append(l.sent[id], at)
	l.order = append(l.order, id)
}

// Sum is how many queries were sent.
func (l *Ledger) Sum() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.order)
}

// Follow reads predictions with a client that consumes their topic from its start, until ctx ends. The client
// keeps control records, so that the end of a partition can be reached.
func (l *Ledger) Follow(ctx context.Context, client *kgo.Client) {
	for ctx.Err() == nil {
		l.take(client.PollFetches(ctx))
	}
}

func (l *Ledger) take(f kgo.Fetches) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	f.EachRecord(func(r *kgo.Record) {
		if last, ok := l.heard[r.Partition]; ok {
			l.silence = max(l.silence, now.Sub(last))
		}
		l.heard[r.Partition] = now
		l.reached[r.Partition] = r.Offset + 1
		if r.Attrs.IsControl() {
			return
		}
		if err := l.note(r); err != nil && l.err == nil {
			l.err = fmt.Errorf("ledger: prediction at %s/%d/%d: %w", r.Topic, r.Partition, r.Offset, err)
		}
	})
	close(l.changed)
	l.changed = make(chan struct{})
}

// Silence is the longest time in which a partition of the predictions brought nothing, since Silence was asked
// last. It says something only while every partition is asked all the time.
func (l *Ledger) Silence() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, longest := time.Now(), l.silence
	for p, last := range l.heard {
		longest = max(longest, now.Sub(last))
		l.heard[p] = now
	}
	l.silence = 0
	return longest
}

func (l *Ledger) note(r *kgo.Record) error {
	var fields map[string]any
	if err := json.Unmarshal(r.Value, &fields); err != nil {
		return err
	}
	var p struct {
		QueryID string `json:"query_id"`
		Source  Place
	}
	if err := json.Unmarshal(r.Value, &p); err != nil {
		return err
	}
	delete(fields, "trace")
	delete(fields, "late")
	if len(l.answers[p.QueryID]) == 0 && len(l.sent[p.QueryID]) > 0 {
		l.answered++
	}
	l.answers[p.QueryID] = append(l.answers[p.QueryID], answer{p.Source, Place{r.Partition, r.Offset}, string(r.Key), fields})
	return nil
}

// Await waits until any n of the queries that were sent are answered.
func (l *Ledger) Await(ctx context.Context, n int) error {
	return l.until(ctx, func() bool { return l.answered >= n })
}

// AwaitFirst waits until the first n queries that were sent are answered, every one of them.
func (l *Ledger) AwaitFirst(ctx context.Context, n int) error {
	return l.until(ctx, func() bool {
		for l.whole < len(l.order) && len(l.answers[l.order[l.whole]]) > 0 {
			l.whole++
		}
		return l.whole >= n
	})
}

// AwaitRead waits until the predictions before some offsets, by partition, were read.
func (l *Ledger) AwaitRead(ctx context.Context, ends map[int32]int64) error {
	return l.until(ctx, func() bool {
		for p, end := range ends {
			if l.reached[p] < end {
				return false
			}
		}
		return true
	})
}

// until waits until a condition holds, which is looked at under the lock, with each fetch.
func (l *Ledger) until(ctx context.Context, holds func() bool) error {
	for {
		l.mu.Lock()
		done, err, changed := holds(), l.err, l.changed
		have, of := l.answered, len(l.order)
		l.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("ledger: %d of %d queries are answered: %w", have, of, context.Cause(ctx))
		}
	}
}

// Answered is how many of the queries that were sent have an answer.
func (l *Ledger) Answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered
}

// A Verdict tells what is wrong, each as a line for people, by id.
type Verdict struct {
	Sent, Answered                      int
	Lost, Twice, Contradictory, Unknown []string
}

// Clean says that every query has its one answer.
func (v *Verdict) Clean() bool {
	return len(v.Lost)+len(v.Twice)+len(v.Contradictory)+len(v.Unknown) == 0
}

// String is the verdict in a few lines.
func (v *Verdict) String() string {
	some := func(lines []string) []string { return lines[:min(len(lines), 10)] }
	return fmt.Sprintf("sent %d, answered %d, lost %d %q, twice %d %q, contradictory %d %q, unknown %d %q", v.Sent, v.Answered,
		len(v.Lost), some(v.Lost), len(v.Twice), some(v.Twice), len(v.Contradictory), some(v.Contradictory), len(v.Unknown), some(v.Unknown))
}

// Verdict judges what is in the books. right says whether an answer is the right one for its query; nil takes
// any, but only one.
func (l *Ledger) Verdict(right func(id string, fields map[string]any) bool) *Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &Verdict{Answered: l.answered}
	for _, id := range slices.Sorted(maps.Keys(l.sent)) {
		v.Sent += len(l.sent[id])
		for _, at := range l.sent[id] {
			v.judge(id, at, l.answers[id], right)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.answers)) {
		for _, a := range l.answers[id] {
			if !slices.Contains(l.sent[id], a.place) {
				v.Unknown = append(v.Unknown, fmt.Sprintf("%s, answered at %v, was not sent at %v", id, a.at, a.place))
			}
		}
	}
	return v
}

// judge judges one query.
func (v *Verdict) judge(id string, at Place, answers []answer, right func(string, map[string]any) bool) {
	var first *answer
	for i := range answers {
		a := &answers[i]
		if a.place != at {
			continue
		}
		if right != nil && !right(id, a.fields) {
			v.Contradictory = append(v.Contradictory, fmt.Sprintf("%s at %v: the answer at %v is wrong: %v", id, at, a.at, a.fields))
		}
		if first == nil {
			first = a
			continue
		}
		v.Twice = append(v.Twice, fmt.Sprintf("%s at %v: answers at %v and %v", id, at, first.at, a.at))
		if !same(first.fields, a.fields) {
			v.Contradictory = append(v.Contradictory, fmt.Sprintf("%s at %v: %v, then %v", id, at, first.fields, a.fields))
		}
	}
	if first == nil {
		v.Lost = append(v.Lost, fmt.Sprintf("%s at %v", id, at))
	}
}

// same compares two answers; numbers may differ in their last digits, as a model's do with the batch.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case float64:
		b, ok := b.(float64)
		return ok && math.Abs(a-b) <= 1e-5*max(1, math.Abs(a))
	}
	return a == b
}
