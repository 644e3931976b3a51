package main

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/loadgen"
)

// An account says of each query of a long run whether it was answered, and how often. It keeps nine bytes a query.
type account struct {
	start time.Time
	due   []time.Duration // by query, since the start
	sent  atomic.Int64    // so many of the first

	mu       sync.Mutex
	answers  []uint8 // by query
	first    int     // queries with an answer
	unknown  int     // predictions of none of the queries
	window   *loadgen.Latencies
	complete chan struct{} // closed once each query has an answer
}

// newAccount draws the arrivals of a run.
func newAccount(rate float64, length time.Duration) *account {
	a := &account{window: loadgen.NewLatencies(), complete: make(chan struct{})}
	gaps := loadgen.NewPoisson(rate, seed)
	for at := gaps.Next(); at < length || len(a.due) == 0; at = gaps.Next() {
		a.due = append(a.due, at)
	}
	a.answers = make([]uint8, len(a.due))
	return a
}

// answered enters a prediction, by its key. Each query's first one counts for the latencies.
func (a *account) answered(key []byte, now time.Time) {
	i, err := strconv.Atoi(string(key))
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil || i < 0 || i >= len(a.answers) {
		a.unknown++
		return
	}
	if a.answers[i] == 0 {
		a.window.Record(now.Sub(a.start.Add(a.due[i])))
		if a.first++; a.first == len(a.answers) {
			close(a.complete)
		}
	}
	a.answers[i] += min(1, ^a.answers[i]) // 255 stays 255
}

// all says whether each query has an answer.
func (a *account) all() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first == len(a.answers)
}

// take gives the latencies since it was called last.
func (a *account) take() *loadgen.Latencies {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.window
	a.window = loadgen.NewLatencies()
	return w
}

// balance counts the queries that were sent, those without an answer and those with several.
func (a *account) balance() (sent, lost, twice, unknown int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sent = int(a.sent.Load())
	for i, n := range a.answers {
		switch {
		case n == 0 && i < sent:
			lost++
		case n > 1:
			twice++
		}
	}
	return sent, lost, twice, a.unknown
}
