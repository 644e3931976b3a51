package kafka

import (
	"context"
	"math"
	"sync"
	"time"

	"weir/schemas"
)

const (
	// batchBytes bounds a batch of more than one record; brokers take 1 MiB by default.
	batchBytes = 900 << 10
	// recordBytes is more than any broker takes: some close the connection on such a request instead of
	// refusing the record, which would look like a network error to be retried for ever.
	recordBytes = 64 << 20
)

// A lane is the way into one partition. It has at most one batch in flight, which is what keeps order;
// messages that arrive meanwhile wait and leave together in the next one.
//
// A fenced lane writes with a producer's identity and counts its records, so that a batch which is sent again
// is stored once, and none is stored after another process has taken over. A batch of it is never given up:
// it may be stored already, and the next one's number depends on that.
type lane struct {
	topic     string
	partition int32
	writer    writer    // sequence is that of the next batch; under mu
	reached   int64     // the offset behind all that is known to be there; under mu
	wait      *backoff  // pause before the batch is sent again
	missing   time.Time // since when the topic has not been found

	mu    sync.Mutex
	queue []*sending
	batch *batch // encoded and not yet acknowledged: sent again byte by byte
	busy  bool   // a request carries the lane, or will
	ended error  // nothing more can be written through the lane
	limit int    // bytes of a batch of several records
}

// A sending is one call of Produce.
type sending struct {
	msgs    []schemas.Message
	inOrder bool // nothing is stored behind a message that is refused
	next    int  // first message that is in no batch yet
	open    int  // messages neither durable nor refused

	base    int64
	refused []int // too large, by index
	largest int   // bytes of the largest of them
	err     error
	gone    bool // its caller has left and taken the messages along
	done    chan struct{}
}

// A batch is made of parts of sendings, in order.
type batch struct {
	raw     []byte
	records int
	parts   []part
}

type part struct {
	s        *sending
	from, to int
}

// add queues s and says whether the lane now needs someone to drive it.
func (l *lane) add(s *sending) (drive bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		s.fail(l.ended)
		return false
	}
	l.queue = append(l.queue, s)
	drive = !l.busy
	l.busy = true
	return drive
}

// leave tells that the caller of s no longer waits; its messages may not be touched from now on.
func (l *lane) leave(s *sending) {
	l.mu.Lock()
	s.gone = true
	l.mu.Unlock()
}

// take returns the batch to send: the one whose answer was lost, else whatever waits. With nothing to send
// it returns nil, and the lane is no longer busy.
func (l *lane) take(now time.Time) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.batch != nil && (l.fenced() || l.batch.wanted()) {
		return l.batch
	}
	l.batch = l.fill(now)
	l.busy = l.batch != nil
	return l.batch
}

// fenced says whether the lane writes with an identity.
func (l *lane) fenced() bool { return l.writer.id >= 0 }

// end refuses further messages. What is in flight may still be stored.
func (l *lane) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended = err
	}
	for _, s := range l.queue {
		s.fail(err)
	}
}

// hasEnded says whether end was called.
func (l *lane) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended != nil
}

// wanted says whether anybody still waits for the batch.
func (b *batch) wanted() bool {
	for _, p := range b.parts {
		if !p.s.gone && p.s.err == nil {
			return true
		}
	}
	return false
}

// fill encodes messages from the head of the queue.
func (l *lane) fill(now time.Time) *batch {
	parts, size := l.choose()
	if len(parts) == 0 {
		return nil
	}
	b := &batch{raw: beginBatch(size), parts: parts}
	for _, p := range parts {
		for i := p.from; i < p.to; i++ {
			b.raw = appendRecord(b.raw, b.records, &p.s.msgs[i])
			b.records++
		}
	}
	endBatch(b.raw, b.records, now.UnixMilli(), l.writer)
	return b
}

// choose takes messages off the queue until the batch is full; one record is always taken.
func (l *lane) choose() (parts []part, size int) {
	for len(l.queue) > 0 {
		s := l.queue[0]
		if s.gone || s.next == len(s.msgs) {
			l.queue = l.queue[1:]
			continue
		}
		from := s.next
		for s.next < len(s.msgs) {
			n := recordSize(&s.msgs[s.next])
			if size > 0 && size+n > min(l.limit, recordBytes) {
				return appendPart(parts, s, from), size
			}
			if n > recordBytes {
				s.next = s.refuse(s.next)
				from = s.next
				continue
			}
			size += n
			s.next++
		}
		parts = appendPart(parts, s, from)
	}
	return parts, size
}

func appendPart(parts []part, s *sending, from int) []part {
	if s.next == from {
		return parts
	}
	return append(parts, part{s, from, s.next})
}

// acknowledge tells the senders that the batch is durable from offset base on.
func (l *lane) acknowledge(base int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fenced() {
		l.writer.sequence = int32((int64(l.writer.sequence) + int64(l.batch.records)) & math.MaxInt32)
		l.reached = max(l.reached, base+int64(l.batch.records))
	}
	for _, p := range l.batch.parts {
		if p.s.base < 0 {
			p.s.base = base
		}
		if base >= 0 { // a batch that was stored before may not say where
			base += int64(p.to - p.from)
		}
		p.s.settle(p.to - p.from)
	}
	l.batch = nil
}

// shrink takes back a batch that was too large. Its records go out again in smaller batches; a record that
// was alone is refused.
func (l *lane) shrink() {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.batch
	l.batch = nil
	if b.records == 1 {
		s := b.parts[0].s
		s.next = s.refuse(b.parts[0].from)
		return
	}
	l.limit = max(min(l.limit, len(b.raw))/2, 1)
	again := make([]*sending, 0, len(b.parts)+len(l.queue))
	for _, p := range b.parts {
		p.s.next = p.from
		again = append(again, p.s)
	}
	// A sending whose rest still waits stands here twice; the second time nothing is left of it.
	l.queue = append(again, l.queue...)
}

// fail ends the senders of the batch, or of everything that waits.
func (l *lane) fail(err error, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.batch != nil {
		for _, p := range l.batch.parts {
			p.s.fail(err)
		}
		l.batch = nil
	}
	if all {
		for _, s := range l.queue {
			s.fail(err)
		}
		l.queue, l.busy = nil, false
	}
}

// abandoned says that nobody waits for anything in the lane, which then is no longer busy.
func (l *lane) abandoned() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.batch != nil && l.ended == nil && (l.fenced() || l.batch.wanted()) {
		return false
	}
	for _, s := range l.queue {
		if !s.gone {
			return false
		}
	}
	l.batch, l.queue, l.busy = nil, nil, false
	return true
}

// refuse gives up a message that no broker takes, in order also those behind it. It returns which is next.
func (s *sending) refuse(i int) int {
	end := i + 1
	if s.inOrder {
		end = len(s.msgs)
	}
	if !s.gone {
		s.largest = max(s.largest, recordSize(&s.msgs[i]))
		for j := i; j < end; j++ {
			s.refused = append(s.refused, j)
		}
	}
	s.settle(end - i)
	return end
}

// settle counts n messages as durable or refused.
func (s *sending) settle(n int) {
	if s.open -= n; s.open == 0 && s.err == nil {
		close(s.done)
	}
}

func (s *sending) fail(err error) {
	if s.err == nil && s.open > 0 {
		s.err = err
		s.next = len(s.msgs)
		close(s.done)
	}
}

// await waits until s is settled or ctx ends.
func (l *lane) await(ctx context.Context, s *sending) (int64, error) {
	select {
	case <-s.done:
	case <-ctx.Done():
		l.leave(s)
		return -1, ctx.Err()
	}
	if s.err != nil {
		return -1, s.err
	}
	if len(s.refused) > 0 {
		return s.base, &TooLargeError{Topic: l.topic, Messages: s.refused, Bytes: s.largest}
	}
	return s.base, nil
}
