package main

import (
	"testing"
	"time"
)

// Answers every 10 ms, from 30 ms on by another writer, after a pause of 40 ms.
func answersWithAPause(from time.Time) (all []answer) {
	for _, ms := range []int{0, 10, 20, 30, 70, 80} {
		a := answer{at: from.Add(time.Duration(ms) * time.Millisecond)}
		if ms > 30 {
			a.by = writer{1, 2}
		}
		all = append(all, a)
	}
	return all
}

func TestGap(t *testing.T) {
	from := time.Unix(1000, 0)
	at := func(ms int) time.Time { return from.Add(time.Duration(ms) * time.Millisecond) }
	all := answersWithAPause(from)
	for _, c := range []struct{ from, to, want int }{
		{0, 25, 10}, {0, 80, 40}, {75, 80, 5}, {80, 100, 20},
		{35, 60, 25}, // not one answer
	} {
		if got := gap(all, at(c.from), at(c.to)); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("from %d to %d ms: got %v, want %d ms", c.from, c.to, got, c.want)
		}
	}
}

func TestHeir(t *testing.T) {
	from := time.Unix(1000, 0)
	all := answersWithAPause(from)
	if a, ok := heir(all, from.Add(15*time.Millisecond)); !ok || a.at != from.Add(70*time.Millisecond) {
		t.Errorf("got %v %v, want the answer after 70 ms", a.at.Sub(from), ok)
	}
	if a, ok := heir(all, from.Add(75*time.Millisecond)); ok {
		t.Errorf("after the change: got an answer after %v, want none", a.at.Sub(from))
	}
}
