package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/connectors/kafka/driver"
)

const (
	// longPoll is how long a poll waits for the first record, and shortPoll how long the last one allowed
	// to a leader does.
	longPoll  = 500 * time.Millisecond
	shortPoll = 20 * time.Millisecond
	// maxPolls bounds the polls in flight to one leader.
	maxPolls = 4
	// together: polls that end as close to each other become one.
	together = 5 * time.Millisecond
	// chunksAhead is how many answers of a partition may wait for their reader: one being read, one ready.
	chunksAhead = 2
	// cursorBytes is what a partition may bring at once, pollBytes all partitions of a poll. Brokers send
	// a larger batch all the same if it is the first, or else the cursor grows.
	cursorBytes  = 1 << 20
	growBytes    = 256 << 20
	pollBytes    = 16 << 20
	pollPatience = longPoll + requestTimeout
)

// A cursor reads one partition. It is in at most one poll at a time, and in none while chunksAhead answers
// wait for its reader.
type cursor struct {
	partition int32
	out       chan<- chunk // has room for chunksAhead
	high      atomic.Int64 // offset that the next record will have, -1 unknown

	// These belong to the poll that the cursor is in, else to the fetcher's lock.
	next  int64 // offset to ask for
	bytes int32
	wait  *backoff

	ahead  int  // chunks not yet read; under the fetcher's lock
	paused bool // full: waits for its reader, in no poll; under the fetcher's lock
	gone   bool // under the fetcher's lock
}

// A chunk is what one poll brought of one partition: checked and committed batches from offset from up to next.
type chunk struct {
	cursor     *cursor
	batches    []byte
	records    int
	from, next int64
}

func newCursor(partition int32, from int64, out chan<- chunk) *cursor {
	c := &cursor{partition: partition, out: out, next: from, bytes: cursorBytes, wait: newBackoff()}
	c.high.Store(-1)
	return c
}

// A fetcher keeps polls in flight for its cursors until its context ends. All ready cursors of a leader share
// one poll. One that becomes ready while a poll is out does not wait for that to end, which may take long,
// but gets another; polls are timed so that they end together, and then become one again.
type fetcher struct {
	c      *Client
	topic  string
	events *Events
	ctx    context.Context
	wg     sync.WaitGroup

	mu      sync.Mutex
	leaders map[int32]*leader
}

// A leader has polls in flight, and cursors that wait for the next to return.
type leader struct {
	polls   []*poll
	waiting []*cursor
}

type poll struct{ due time.Time }

func newFetcher(ctx context.Context, c *Client, topic string, events *Events) *fetcher {
	return &fetcher{c: c, topic: topic, events: events, ctx: ctx, leaders: map[int32]*leader{}}
}

// join waits for the polls, whose context must have ended.
func (f *fetcher) join() { f.wg.Wait() }

// read starts to poll for cursors.
func (f *fetcher) read(cs ...*cursor) {
	f.wg.Go(func() { f.enter(cs) })
}

// done tells that a chunk of the cursor was read, so that another one may be fetched.
func (f *fetcher) done(c *cursor) {
	f.mu.Lock()
	c.ahead--
	resume := c.paused && !c.gone
	c.paused = false
	f.mu.Unlock()
	if resume {
		f.read(c)
	}
}

// drop stops polling for a cursor; chunks of a poll in flight may still come.
func (f *fetcher) drop(c *cursor) {
	f.mu.Lock()
	c.gone = true
	f.mu.Unlock()
}

// enter puts cursors into polls of their leaders, and waits with the last group's.
func (f *fetcher) enter(cs []*cursor) {
	groups := map[int32][]*cursor{}
	for _, c := range cs {
		l, err := f.c.topics.leader(f.ctx, f.topic, c.partition)
		if err != nil {
			f.later(c, err)
			continue
		}
		groups[l] = append(groups[l], c)
	}
	for id, group := range groups {
		f.wg.Go(func() { f.poll(id, group) })
	}
}

// later enters a cursor again after a pause.
func (f *fetcher) later(c *cursor, err error) {
	if f.ctx.Err() != nil {
		return
	}
	f.c.topics.forget(f.topic)
	f.events.retry(fmt.Errorf("kafka: read %s/%d: %w", f.topic, c.partition, err))
	f.wg.Go(func() {
		if c.wait.sleep(f.ctx) == nil {
			f.enter([]*cursor{c})
		}
	})
}

// poll asks a leader for the records of cursors, again and again, until none is left to ask for.
func (f *fetcher) poll(id int32, cs []*cursor) {
	var p *poll
	for {
		var wait time.Duration
		began := time.Now()
		if p, cs, wait = f.begin(began, id, p, cs); p == nil {
			return
		}
		parts, err := f.c.fetch(f.ctx, id, f.topic, cs, wait, true)
		if f.ctx.Err() != nil {
			return
		}
		if err != nil {
			for _, c := range cs {
				f.later(c, err)
			}
			cs = nil
			continue
		}
		cs = f.accept(cs, parts, time.Since(began))
	}
}

// fetch asks a leader once for the records of cursors. With committed it reads no further than the first
// transaction that is open.
func (c *Client) fetch(ctx context.Context, leader int32, topic string, cs []*cursor, wait time.Duration, committed bool) (parts []driver.Fetched, err error) {
	f := driver.Fetch{Topic: topic, Wait: int32(wait / time.Millisecond), MaxBytes: pollBytes, Committed: committed,
		Partitions: make([]driver.FetchPartition, len(cs))}
	for i, c := range cs {
		f.Partitions[i] = driver.FetchPartition{Partition: c.partition, From: c.next, MaxBytes: c.bytes}
	}
	err = c.request(ctx, pollPatience, func(ctx context.Context) error {
		parts, err = c.cluster.Fetch(ctx, leader, f)
		return err
	})
	return parts, err
}

// begin starts the next poll of cs and of what waits for the leader, in the place of p if that is not nil.
// It returns a nil poll where there is nothing to poll for, or another poll will take care of it.
func (f *fetcher) begin(now time.Time, id int32, p *poll, cs []*cursor) (*poll, []*cursor, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.leaders[id]
	if l == nil {
		l = &leader{}
		f.leaders[id] = l
	}
	if p != nil {
		l.polls = slices.DeleteFunc(l.polls, func(o *poll) bool { return o == p })
	}
	cs = slices.DeleteFunc(append(cs, l.waiting...), func(c *cursor) bool { return c.gone })
	l.waiting = nil
	if len(l.polls) == maxPolls || len(cs) == 0 || l.ending(now) {
		l.waiting = cs
		return nil, nil, 0
	}
	wait := l.wait(now)
	p = &poll{due: now.Add(wait)}
	l.polls = append(l.polls, p)
	return p, cs, wait
}

// ending says whether a poll returns in a moment, and can take more cursors along when it starts again.
func (l *leader) ending(now time.Time) bool {
	for _, p := range l.polls {
		if left := p.due.Sub(now); left > -together && left < together {
			return true
		}
	}
	return false
}

// wait is the time of the next poll: it should end when another one does.
func (l *leader) wait(now time.Time) time.Duration {
	if len(l.polls) == maxPolls-1 {
		return shortPoll
	}
	wait := longPoll
	for _, p := range l.polls {
		if left := p.due.Sub(now); left >= shortPoll && left < wait {
			wait = left
		}
	}
	return wait
}

// accept hands out what a poll brought and returns the cursors to poll for again.
func (f *fetcher) accept(cs []*cursor, parts []driver.Fetched, took time.Duration) []*cursor {
	again := make([]*cursor, 0, len(cs))
	left := slices.Clone(cs)
	for k := range parts {
		part := &parts[k]
		i := k // brokers answer in the order of the question
		if i >= len(left) || left[i] == nil || left[i].partition != part.Partition {
			i = slices.IndexFunc(left, func(c *cursor) bool { return c != nil && c.partition == part.Partition })
		}
		if i < 0 {
			continue
		}
		c := left[i]
		left[i] = nil
		err := part.Err
		if err == nil {
			err = f.take(c, part, took)
		}
		switch {
		case errors.Is(err, driver.OffsetOutOfRange):
			f.wg.Go(func() { f.reset(c) })
		case err != nil:
			f.later(c, err)
		case !f.full(c):
			again = append(again, c)
		}
	}
	for _, c := range left {
		if c != nil {
			f.later(c, fmt.Errorf("the broker's answer lacks the partition"))
		}
	}
	return again
}

// take passes on the records of one partition.
func (f *fetcher) take(c *cursor, part *driver.Fetched, took time.Duration) error {
	c.high.Store(part.End)
	batches, records, next, err := whole(part.Batches, c.next)
	if len(batches) == 0 && err == nil && len(part.Batches) > 0 {
		c.bytes = min(2*c.bytes, growBytes) // a batch larger than was asked for
		return nil
	}
	if next == c.next {
		if err != nil {
			err = fmt.Errorf("offset %d: %w", next, err)
		}
		return err
	}
	f.mu.Lock()
	c.ahead++
	f.mu.Unlock()
	f.events.fetched(f.topic, c.partition, records, len(batches), took)
	c.out <- chunk{c, committed(batches, part.Aborted), records, c.next, next}
	c.next, c.wait = next, newBackoff()
	return nil
}

// full says whether a cursor must wait for its reader.
func (f *fetcher) full(c *cursor) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.paused = c.ahead >= chunksAhead
	return c.paused
}

// reset moves a cursor whose offset does not exist to the earliest one that does. Records were deleted
// before they were read, or the topic was made anew: reading everything there is loses the least.
func (f *fetcher) reset(c *cursor) {
	first, err := f.c.listOffsets(f.ctx, f.topic, []int32{c.partition}, Earliest.time())
	if err != nil {
		f.later(c, err)
		return
	}
	f.events.outOfRange(f.topic, c.partition, c.next, first[0])
	if first[0] == c.next {
		f.later(c, driver.OffsetOutOfRange)
		return
	}
	c.next = first[0]
	f.enter([]*cursor{c})
}
