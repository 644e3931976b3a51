package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A writer is who wrote a prediction: a fenced producer. A partition that changes hands gets another one.
type writer struct {
	id    int64
	epoch int16
}

// An answer is when a prediction arrived, when its query was due, and who wrote it.
type answer struct {
	at, due time.Time
	by      writer
}

// A watch sees the answers of each partition as they arrive. It reads with a library that tells who wrote a
// record, other than the product's.
type watch struct {
	client *kgo.Client
	due    func(query int) time.Time

	mu      sync.Mutex
	answers [][]answer    // by partition, in the order of arrival, since forget
	changed chan struct{} // closed and replaced with each fetch
}

// watch reads a topic's partitions from their ends on.
func newWatch(addr, topic string, n int, due func(query int) time.Time) (*watch, error) {
	at := map[int32]kgo.Offset{}
	for p := range n {
		at[int32(p)] = kgo.NewOffset().AtEnd()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}))
	return &watch{client: client, due: due, answers: make([][]answer, n), changed: make(chan struct{})}, err
}

// follow reads until ctx ends.
func (w *watch) follow(ctx context.Context) error {
	defer w.client.Close()
	for ctx.Err() == nil {
		f := w.client.PollFetches(ctx)
		now := time.Now()
		w.mu.Lock()
		f.EachRecord(func(r *kgo.Record) {
			if i, err := strconv.Atoi(string(r.Key)); err == nil {
				w.answers[r.Partition] = append(w.answers[r.Partition], answer{now, w.due(i), writer{r.ProducerID, r.ProducerEpoch}})
			}
		})
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
	}
	return nil
}

// forget drops all but the last answer of each partition.
func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, all := range w.answers {
		w.answers[p] = append(all[:0], all[max(len(all)-1, 0):]...)
	}
}

// until waits until a condition holds, which sees the answers of each partition.
func (w *watch) until(ctx context.Context, what string, holds func(answers [][]answer) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, overdue, fmt.Errorf("not after %v: %s", overdue, what))
	defer cancel()
	for {
		w.mu.Lock()
		done, changed := holds(w.answers), w.changed
		w.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// seen are copies of the answers.
func (w *watch) seen() (all [][]answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, some := range w.answers {
		all = append(all, slices.Clone(some))
	}
	return all
}

// gap is the longest time without an answer between two moments.
func gap(answers []answer, from, to time.Time) (longest time.Duration) {
	last := from
	for _, a := range answers {
		if a.at.Before(from) || a.at.After(to) {
			continue
		}
		longest, last = max(longest, a.at.Sub(last)), a.at
	}
	return max(longest, to.Sub(last))
}

// heir finds the first answer after a moment by another writer than the last before it.
func heir(answers []answer, after time.Time) (first answer, found bool) {
	var before writer
	for _, a := range answers {
		switch {
		case a.at.Before(after):
			before = a.by
		case a.by != before:
			return a, true
		}
	}
	return first, false
}
