package main

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An account tells lost queries from those that were not sent, and counts what came twice.
func TestAccount(t *testing.T) {
	a := newAccount(1000, 20*time.Millisecond)
	if len(a.due) < 5 {
		t.Fatalf("20 ms at 1000 queries/s: got %d queries", len(a.due))
	}
	a.start = time.Now()
	key := func(i int) []byte { return []byte(strconv.Itoa(i)) }
	for _, i := range []int{0, 1, 1, 3} {
		a.answered(key(i), a.start.Add(a.due[i]+5*time.Millisecond))
	}
	a.answered([]byte("query-0000001"), time.Now())
	a.sent.Store(4)
	sent, lost, twice, unknown := a.balance()
	if sent != 4 || lost != 1 || twice != 1 || unknown != 1 {
		t.Errorf("got %d sent, %d lost, %d twice, %d unknown; want 4, 1, 1, 1", sent, lost, twice, unknown)
	}
	if a.all() {
		t.Error("all are said to be answered, and one is lost")
	}
	h := a.take()
	if h.Count() != 3 || h.Quantile(1).Round(100*time.Microsecond) != 5*time.Millisecond {
		t.Errorf("got %d latencies up to %v, want 3 of 5 ms", h.Count(), h.Quantile(1))
	}
	if h := a.take(); h.Count() != 0 {
		t.Errorf("the next window begins with %d latencies", h.Count())
	}
	for i := range a.due {
		a.answered(key(i), time.Now())
	}
	select {
	case <-a.complete:
	default:
		t.Error("all are answered, and nobody is told")
	}
}

// A run that grows or slows down is no flat one; one that does neither is.
func TestFlatness(t *testing.T) {
	run := func(perHour, slowdown float64) conclusion {
		var samples []sample
		for i := range 360 {
			wave := math.Sin(float64(i)) // of the collector
			samples = append(samples, sample{Minute: float64(i) / 6, RSS: 100 + wave + perHour*float64(i)/360, P99: 5 + wave/5 + slowdown*float64(i)/360})
		}
		c := conclusion{long: true}
		c.memory, c.tail = flatness(samples)
		return c
	}
	for _, c := range []struct {
		name              string
		perHour, slowdown float64
		want              bool
	}{{"flat", 0, 0, true}, {"grows", 20, 0, false}, {"slows down", 0, 5, false}, {"shrinks and gets faster", -20, -1, true}} {
		got := run(c.perHour, c.slowdown)
		if got.flat() != c.want {
			t.Errorf("%s: flat is %v; %s", c.name, got.flat(), got)
		}
		if err := got.fault(); (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	short := run(20, 5)
	short.long = false
	if err := short.fault(); err != nil {
		t.Errorf("a run too short to be judged: %v", err)
	}
	short.lost = 1
	if short.fault() == nil {
		t.Error("a lost query is no fault")
	}
}

func TestReadGauges(t *testing.T) {
	got, err := readGauges(strings.NewReader("# HELP a x\na 1.5e+06\nab 3\nb{l=\"1\"} 4\nc 7\n"), "a", "c", "missing")
	if err != nil || got[0] != 1.5e6 || got[1] != 7 || got[2] != 0 {
		t.Errorf("got %v %v, want 1.5e6, 7, 0", got, err)
	}
}
