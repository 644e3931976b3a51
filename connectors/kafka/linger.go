package kafka

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/pipeline"
	"weir/schemas"
)

// joinedRows bounds what one encode joins; a group that reaches it leaves without waiting any longer.
const joinedRows = 4096

// lingering joins writes that arrive within a while into one.
type lingering struct {
	w    *sinkWriter
	wait time.Duration
	wg   sync.WaitGroup

	mu      sync.Mutex
	current *joint // takes more writes; nil: the next write begins one
}

// A joint is a group of writes that are encoded together. It retains their batches, because a caller whose
// context ends takes its own away.
type joint struct {
	batches []arrow.Record
	rows    int
	full    chan struct{} // closed when it should wait no longer
	done    chan struct{}
	err     error

	// The joint's own context ends when the last of its callers has left.
	ctx     context.Context
	cancel  context.CancelFunc
	waiting int
}

func (l *lingering) init(w *sinkWriter, wait time.Duration) { l.w, l.wait = w, wait }

// write joins b to the current group and waits until that is durable.
func (l *lingering) write(ctx context.Context, b arrow.Record) error {
	j, from := l.join(ctx, b)
	select {
	case <-j.done:
		return share(j.err, from, int(b.NumRows()))
	case <-ctx.Done():
		l.mu.Lock()
		if j.waiting--; j.waiting == 0 {
			j.cancel()
			l.end(j)
		}
		l.mu.Unlock()
		return ctx.Err()
	}
}

// join adds b to the current group, or begins one, and returns b's first row in it.
func (l *lingering) join(ctx context.Context, b arrow.Record) (*joint, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.current
	if j == nil {
		j = &joint{full: make(chan struct{}), done: make(chan struct{})}
		j.ctx, j.cancel = context.WithCancel(context.WithoutCancel(ctx))
		l.current = j
		l.wg.Go(func() { l.run(j) })
	}
	from := j.rows
	b.Retain()
	j.batches = append(j.batches, b)
	j.rows += int(b.NumRows())
	j.waiting++
	if j.rows >= joinedRows {
		l.end(j)
	}
	return j, from
}

// end lets a group leave without waiting any longer. The caller holds l.mu.
func (l *lingering) end(j *joint) {
	if l.current == j {
		l.current = nil
		close(j.full)
	}
}

// run waits for others to join and writes the group.
func (l *lingering) run(j *joint) {
	defer j.cancel()
	t := time.NewTimer(l.wait)
	select {
	case <-t.C:
	case <-j.full:
	}
	t.Stop()
	l.mu.Lock()
	l.end(j)
	l.mu.Unlock()
	j.err = l.store(j)
	for _, b := range j.batches {
		b.Release()
	}
	close(j.done)
}

func (l *lingering) store(j *joint) error {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	if len(j.batches) == 1 {
		return l.w.store(j.ctx, j.batches[0])
	}
	all, err := schemas.Concat(j.batches)
	if err != nil {
		return err
	}
	defer all.Release()
	return l.w.store(j.ctx, all)
}

// share is a group's error for one of its writes: only rows that are its own are too large, if any.
func share(err error, from, n int) error {
	var large *pipeline.TooLargeError
	if !errors.As(err, &large) {
		return err
	}
	first, _ := slices.BinarySearch(large.Rows, from)
	end, _ := slices.BinarySearch(large.Rows, from+n)
	if first == end {
		return nil
	}
	own := &pipeline.TooLargeError{Limit: large.Limit}
	for _, r := range large.Rows[first:end] {
		own.Rows = append(own.Rows, r-from)
	}
	return own
}
