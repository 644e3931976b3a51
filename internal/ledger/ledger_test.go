package ledger

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// prediction is a record of the predictions topic.
func prediction(at int64, id string, offset int64, label string) *kgo.Record {
	return &kgo.Record{Topic: "p", Offset: at, Value: fmt.Appendf(nil,
		`{"query_id":"%s","status":"answered","late":%v,"label":"%s","source":{"topic":"q","partition":0,"offset":%d,"row":0}}`, id, at%2 == 0, label, offset)}
}

func (l *Ledger) fetch(records ...*kgo.Record) {
	l.take(kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "p", Partitions: []kgo.FetchPartition{{Records: records}}}}}})
}

// Each kind of fault is found, and nothing else.
func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name    string
		records []*kgo.Record
		want    string
	}{
		{"clean", []*kgo.Record{prediction(0, "a", 0, "Bag"), prediction(1, "b", 1, "Bag")}, "answered 2, lost 0 [], twice 0 [], contradictory 0 [], unknown 0 []"},
		{"lost", []*kgo.Record{prediction(0, "a", 0, "Bag")}, `lost 1 ["b at {0 1}"]`},
		{"twice", []*kgo.Record{prediction(0, "a", 0, "Bag"), prediction(1, "b", 1, "Bag"), prediction(2, "b", 1, "Bag"), prediction(5, "b", 1, "Bag")},
			`twice 2 ["b at {0 1}: answers at {0 1} and {0 2}" "b at {0 1}: answers at {0 1} and {0 5}"], contradictory 0`},
		{"contradictory", []*kgo.Record{prediction(0, "a", 0, "Bag"), prediction(1, "b", 1, "Bag"), prediction(2, "b", 1, "Coat")}, "twice 1"},
		{"wrong", []*kgo.Record{prediction(0, "a", 0, "Tee"), prediction(1, "b", 1, "Bag")}, `contradictory 1 ["a at {0 0}: the answer at {0 0} is wrong`},
		{"unknown", []*kgo.Record{prediction(0, "a", 0, "Bag"), prediction(1, "b", 1, "Bag"), prediction(2, "b", 7, "Bag")}, "unknown 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New()
			l.Sent("a", Place{0, 0})
			l.fetch(c.records...)
			l.Sent("b", Place{0, 1}) // an answer may come before the acknowledgement
			v := l.Verdict(func(_ string, fields map[string]any) bool { return fields["label"] != "Tee" })
			if got := v.String(); !strings.Contains(got, c.want) || v.Clean() != (c.name == "clean") {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if c.name == "contradictory" && len(v.Contradictory) != 1 {
				t.Errorf("got %s", v)
			}
		})
	}
}

// A query whose answer lies behind that of a later one of its key is out of order; other keys, other partitions
// and second answers do not matter.
func TestDisorder(t *testing.T) {
	l := New()
	keyed := func(at int64, id, key string, offset int64) *kgo.Record {
		r := prediction(at, id, offset, "Bag")
		r.Key = []byte(key)
		return r
	}
	for i, id := range []string{"a", "b", "c", "d", "e"} {
		l.Sent(id, Place{0, int64(i)})
	}
	l.fetch(keyed(0, "a", "u", 0), keyed(1, "e", "", 4), keyed(2, "d", "", 3), keyed(3, "c", "v", 2))
	if got := l.Disorder(); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	l.fetch(keyed(4, "b", "v", 1), keyed(5, "a", "u", 0))
	if got, want := l.Disorder(), `["b at {0 1}: its answer at {0 4} lies behind that of c at {0 3}"]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

// Waiting ends with what was waited for, with the context, and with a prediction that cannot be read.
func TestAwait(t *testing.T) {
	l := New()
	l.Sent("a", Place{0, 0})
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if l.Await(ctx, 1) == nil || l.AwaitFirst(ctx, 1) == nil || l.AwaitRead(ctx, map[int32]int64{0: 1}) == nil {
		t.Error("an unanswered query was waited for in vain, without an error")
	}
	waited := make(chan error, 1)
	go func() { waited <- l.AwaitRead(t.Context(), map[int32]int64{0: 2}) }()
	l.fetch(prediction(0, "a", 0, "Bag"))
	l.fetch(&kgo.Record{Topic: "p", Offset: 1, Value: prediction(0, "a", 0, "Bag").Value})
	if err := <-waited; err != nil || l.Answered() != 1 {
		t.Errorf("%v, %d answered", err, l.Answered())
	}
	l.Sent("b", Place{0, 1})
	l.Sent("c", Place{0, 2})
	l.fetch(prediction(3, "c", 2, "Bag"))
	if err := l.Await(t.Context(), 2); err != nil {
		t.Error(err)
	}
	if l.AwaitFirst(t.Context(), 1) != nil || l.AwaitFirst(ctx, 2) == nil {
		t.Error("the second query is not answered, the third one is")
	}
	l.fetch(prediction(4, "b", 1, "Bag"))
	if err := l.AwaitFirst(ctx, 3); err != nil || l.Sum() != 3 {
		t.Errorf("%v, %d sent", err, l.Sum())
	}
	l.fetch(&kgo.Record{Topic: "p", Offset: 2, Value: []byte("{")})
	if err := l.Await(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "p/0/2") {
		t.Errorf("got %v", err)
	}
}

// Silence is the longest that any partition was silent, the time until now included, and begins anew when it was
// asked for.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		for i, after := range []time.Duration{time.Second, 3 * time.Second, 2 * time.Second} {
			time.Sleep(after)
			l.fetch(prediction(int64(i), "a", int64(i), "Bag"))
		}
		time.Sleep(2500 * time.Millisecond)
		if got := l.Silence(); got != 3*time.Second {
			t.Errorf("got %v, want 3s", got)
		}
		time.Sleep(2 * time.Second)
		if got := l.Silence(); got != 2*time.Second {
			t.Errorf("got %v, want 2s, from the last question on", got)
		}
	})
}
