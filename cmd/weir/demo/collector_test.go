package demo

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// base is a moment of virtual time: the collector reads no clock.
var base = time.Date(2026, 11, 23, 15, 42, 7, 0, time.UTC)

func at(ms float64) time.Time { return base.Add(time.Duration(ms * float64(time.Millisecond))) }

func labelled(labels ...string) (rows []Row) {
	for _, l := range labels {
		r := Row{Query: []byte(`{"x":1}`)}
		if l != "" {
			r.Label, _ = json.Marshal(l)
		}
		rows = append(rows, r)
	}
	return rows
}

// answer is a prediction of query n as the contract writes it.
func answer(t *testing.T, c *Collector, n int, status, label, model string, batches ...int) Prediction {
	t.Helper()
	stages := ""
	for i, b := range batches {
		if i > 0 {
			stages += ","
		}
		stages += fmt.Sprintf(`{"name":"s","wait_ms":0.4,"run_ms":0.2,"batch":%d}`, b)
	}
	p, err := ParsePrediction([]byte(fmt.Sprintf(
		`{"query_id":%q,"status":%q,"late":%t,"label":%q,"model":%q,"ref":"0.%d.0","trace":{"stages":[%s]}}`,
		c.ID(n), status, label == "late", label, model, n, stages)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestCollectorCounts(t *testing.T) {
	c := NewCollector("run-", labelled("Bag", "Coat", "late"))
	for i := range 6 {
		if n := c.Sent(at(float64(10 * i))); n != i {
			t.Fatalf("query %d got number %d", i, n)
		}
	}
	final := func(n int, ms float64, p Prediction, want bool) {
		t.Helper()
		if got, first := c.Final(p, at(ms)); got != n || first != want {
			t.Errorf("query %d: got (%d, %v), want (%d, %v)", n, got, first, n, want)
		}
	}
	final(0, 2, answer(t, c, 0, "answered", "Bag", "light", 1), true)
	final(2, 30, answer(t, c, 2, "answered", "late", "light", 2), true) // late, and right
	final(3, 35, answer(t, c, 3, "answered", "Coat", "heavy", 2, 4), true)
	final(0, 40, answer(t, c, 0, "answered", "Bag", "light", 1), false) // duplicate
	final(1, 41, answer(t, c, 1, "degraded", "Coat", "light", 2), true) // right, but not answered
	final(4, 42, answer(t, c, 4, "rejected", "", ""), true)             // no model, no label
	final(7, 43, answer(t, c, 7, "answered", "Bag", "light", 1), false) // never sent
	stranger := answer(t, c, 5, "answered", "late", "light", 1)
	stranger.QueryID = "other-5"
	final(0, 44, stranger, false)

	settled := c.Stop()
	if closed(settled) {
		t.Error("settled with query 5 in flight")
	}
	c.Freeze()
	final(5, 99, answer(t, c, 5, "answered", "late", "light", 1), false) // after the freeze: lost all the same
	final(1, 99, answer(t, c, 1, "answered", "Coat", "light", 1), false) // duplicates still count

	want := Totals{Published: 6, Final: 5, Lost: 1, Duplicates: 2, Late: 1,
		ByStatus: map[string]int{"answered": 3, "degraded": 1, "rejected": 1},
		ByModel:  map[string]int{"light": 3, "heavy": 1}}
	if got := c.Counts(); !reflect.DeepEqual(got, want) {
		t.Errorf("counts:\n got %+v\nwant %+v", got, want)
	}
	s := c.Summary()
	// Queries 0 and 2 were answered rightly, of five final ones; 3 asked row 0, whose label is Bag.
	if s.Accuracy == nil || *s.Accuracy != 0.4 {
		t.Errorf("accuracy: got %v, want 0.4", s.Accuracy)
	}
	// Rows that models ran: five; runs: 1/1 + 1/2 + 1/2 + 1/4 + 1/2.
	if want := round(5/2.75, 2); s.MeanBatch != want {
		t.Errorf("mean batch: got %v, want %v", s.MeanBatch, want)
	}
	// From the first intended publishing to the last first prediction: 42 ms.
	if s.Seconds != 0.042 || s.Rate != 119 {
		t.Errorf("seconds and rate: got %v and %v, want 0.042 and 119", s.Seconds, s.Rate)
	}
}

// Latency counts from the intended time, whatever became of the publishing.
func TestCollectorLatency(t *testing.T) {
	c := NewCollector("run-", labelled("Bag"))
	for i := range 1000 {
		c.Sent(at(float64(i)))
	}
	for i := range 1000 {
		took := 2.0
		switch {
		case i >= 998:
			took = 300
		case i >= 980:
			took = 40
		}
		p := answer(t, c, i, "answered", "Bag", "light", 1)
		if _, first := c.Final(p, at(float64(i)+took)); !first {
			t.Fatalf("query %d did not count", i)
		}
		c.Final(p, at(float64(i)+10_000)) // a duplicate has no latency
	}
	s := c.Summary()
	for _, q := range []struct {
		name      string
		got, want float64
	}{{"p50", s.P50, 2}, {"p99", s.P99, 40}, {"p99.9", s.P999, 300}} {
		if q.got < q.want*0.998 || q.got > q.want*1.002 {
			t.Errorf("%s: got %v ms, want %v", q.name, q.got, q.want)
		}
	}
}

// The wait for the last answers ends with the last one, or at once where none is missing.
func TestCollectorSettles(t *testing.T) {
	c := NewCollector("run-", labelled("Bag"))
	if !closed(c.Stop()) {
		t.Error("nothing was sent, and it waits")
	}
	c = NewCollector("run-", labelled("Bag"))
	c.Sent(at(0))
	c.Sent(at(1))
	c.Final(answer(t, c, 1, "answered", "Bag", "light", 1), at(2))
	settled := c.Stop()
	if closed(settled) {
		t.Error("settled with query 0 in flight")
	}
	c.Final(answer(t, c, 1, "answered", "Bag", "light", 1), at(3))
	if closed(settled) {
		t.Error("settled by a duplicate")
	}
	c.Final(answer(t, c, 0, "failed", "", ""), at(4))
	if !closed(settled) {
		t.Error("everything is final, and it waits")
	}
	c.Freeze()
	if got := c.Counts(); got.Lost != 0 || got.Final != 2 {
		t.Errorf("got %d lost and %d final, want 0 and 2", got.Lost, got.Final)
	}
}

// Live rates and quantiles are those of the last seconds, so a stall is seen, and is seen to end.
func TestCollectorLive(t *testing.T) {
	c := NewCollector("run-", labelled("Bag"))
	n := 0
	second := func(s int, took float64) {
		for i := range 100 {
			sent := float64(s*1000 + i*10)
			c.Sent(at(sent))
			c.Final(answer(t, c, n, "answered", "Bag", "light", 1), at(sent+took))
			n++
		}
	}
	for s := range 3 {
		second(s, 200)
	}
	l := c.Live(at(3000))
	if l.In != 100 || l.P50.Milliseconds() != 200 {
		t.Errorf("after 3 s: in %.1f/s, p50 %v, want 100/s and 200 ms", l.In, l.P50)
	}
	for s := 3; s < 12; s++ {
		second(s, 2)
	}
	l = c.Live(at(12_000))
	if l.In != 100 || l.Out != 100 || l.P99 > 3*time.Millisecond {
		t.Errorf("after 12 s: in %.1f/s, out %.1f/s, p99 %v, want 100/s, 100/s and 2 ms", l.In, l.Out, l.P99)
	}
	if l.InFlight != 0 || l.Elapsed != 12*time.Second || *l.Accuracy != 1 {
		t.Errorf("got %d in flight, %v elapsed, accuracy %v", l.InFlight, l.Elapsed, *l.Accuracy)
	}
	if l = c.Live(at(60_000)); l.In != 0 || l.Out != 0 {
		t.Errorf("after a long silence: in %.1f/s, out %.1f/s, want none", l.In, l.Out)
	}
}

func TestAgreementWeighsRowsByTheirQueries(t *testing.T) {
	rows := labelled("Bag", "Coat", "Shirt", "")
	// 6 queries over 4 rows: rows 0 and 1 were asked twice, row 3 has no label.
	got := agreement(rows, []string{"Bag", "Dress", "Shirt", "Bag"}, 6)
	if want := 3.0 / 5; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
