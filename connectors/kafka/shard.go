package kafka

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/pipeline"
	"weir/schemas"
)

// A shard is one partition while it is ours, for as many generations as that lasts: it reads, decodes and
// delivers. One goroutine does that, and one for each delivery in flight waits for its rows to become durable.
type shard struct {
	m      *member
	id     int32
	places func() (map[int32]commitment, error) // where to open first, nil once it was asked
	place  commitment                           // where it was opened
	owner  pipeline.Owner
	cursor *cursor
	cancel context.CancelFunc // ends the ownership
	dec    schemas.Decoder

	// work lives until the deliveries must end, taking only until no more may begin.
	work, taking context.Context
	cancelWork   context.CancelFunc
	stopTaking   context.CancelFunc
	lost         atomic.Bool   // it is not ours any more
	ended        chan struct{} // closed when nothing runs any more and, of a lost one, the owner is closed

	deliveries sync.WaitGroup

	// What the decoder holds, which belongs to the reading goroutine: the offset behind it and the first
	// stamp. held is 0 when there is nothing.
	held  int64
	stamp time.Time
	after int64 // end of the last delivery of rows, 0 before the first

	mu        sync.Mutex
	flights   []*flight // not yet part of the finished prefix, in order
	prefix    int64     // end of the longest finished prefix
	committed int64
	marked    time.Time // when it was committed or, before that, opened
	flying    int       // deliveries that are not yet routed, their rows and bytes
	rows      int
	bytes     int
	room      chan struct{} // closed and replaced when rows leave
	failed    chan struct{} // closed with the first error
	err       error
}

// A flight is one delivery: the records up to next, the first of which was stamped at stamp.
type flight struct {
	next        int64
	stamp       time.Time
	rows, bytes int
	done        bool
}

func newShard(m *member, id int32, places func() (map[int32]commitment, error)) *shard {
	s := &shard{m: m, id: id, places: places, room: make(chan struct{}), ended: make(chan struct{})}
	s.work, s.cancelWork = context.WithCancel(m.work)
	s.taking, s.stopTaking = context.WithCancel(m.taking)
	return s
}

// live works on the partition once an earlier shard of it has ended, until it is lost or told to stop. Unless
// it is lost it leaves the owner open: the last commit still asks that for a mark.
func (s *shard) live(before <-chan struct{}) {
	defer close(s.ended)
	if before != nil {
		<-before // its deliveries are cancelled
	}
	s.run()
	if s.lost.Load() {
		s.close()
	}
}

// lose gives the partition up: somebody else owns it now. What it was writing may still be stored, before
// the new owner's fence, or is refused.
func (s *shard) lose() {
	s.lost.Store(true)
	s.stopTaking()
	s.cancelWork()
}

// own opens the partition and delivers what it reads. It returns nil once no more may be taken, and an error
// that closes the partition; no delivery runs then.
func (s *shard) own() error {
	ctx, cancel := context.WithCancel(s.work)
	s.cancel = cancel
	owner, err := s.m.open(ctx, pipeline.Partition{Topic: s.m.Topic, ID: s.id, Begin: s.place.offset, Mark: s.place.mark, End: s.end})
	if err != nil {
		cancel()
		if s.taking.Err() != nil && !pipeline.IsPermanent(err) {
			return nil
		}
		return fmt.Errorf("kafka: open %s/%d: %w", s.m.Topic, s.id, err)
	}
	chunks := make(chan chunk, chunksAhead)
	s.begin(owner, newCursor(s.id, s.place.offset, chunks))
	s.m.f.read(s.cursor)
	err = s.deliver(ctx, chunks)
	s.m.f.drop(s.cursor)
	if rest := s.dec.Flush(); rest != nil {
		rest.Release()
	}
	if err != nil {
		cancel()
	}
	s.deliveries.Wait()
	if err == nil {
		err = s.fault() // of a delivery that was drained
	}
	return err
}

// end is the offset behind the partition's last record.
func (s *shard) end(ctx context.Context) (int64, error) {
	ends, err := s.m.Client.listOffsets(ctx, s.m.Topic, []int32{s.id}, Latest.time())
	if err != nil {
		return 0, err
	}
	return ends[0], nil
}

// begin resets the shard's state for a new owner.
func (s *shard) begin(owner pipeline.Owner, c *cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.cursor, s.dec = owner, c, s.m.NewDecoder(s.id)
	s.flights, s.flying, s.rows, s.bytes, s.err = nil, 0, 0, 0, nil
	s.held, s.after = 0, 0
	s.failed = make(chan struct{})
	s.prefix, s.committed, s.marked = s.place.offset, s.place.offset, time.Now()
}

// deliver reads chunks until the generation takes no more or something fails.
func (s *shard) deliver(ctx context.Context, chunks <-chan chunk) error {
	for next := s.place.offset; ; {
		select {
		case <-s.taking.Done():
			return nil
		case <-s.failed:
			return s.fault()
		case ch := <-chunks:
			if ch.from < next {
				s.flush(ctx)
				return s.beginAgain(next, ch.from)
			}
			next = ch.next
			if err := s.chunk(ctx, ch); err != nil {
				return fmt.Errorf("kafka: read %s/%d: %w", s.m.Topic, s.id, err)
			}
			s.m.f.done(s.cursor)
			s.offer(ctx)
		case <-s.departed():
			s.offer(ctx)
		}
	}
}

// offer delivers what the decoder holds while few deliveries are in flight. Otherwise it stays, and grows by
// what comes meanwhile: each delivery costs the same again, however few rows it has, so under load small ones
// would use up the time that their rows need. Thus the size of a delivery follows the load, without a timer.
func (s *shard) offer(ctx context.Context) {
	s.mu.Lock()
	few := s.flying < s.m.Deliveries
	s.mu.Unlock()
	if few {
		s.flush(ctx)
	}
}

// departed is closed when a delivery has made room for what the decoder holds; nil while it holds nothing.
func (s *shard) departed() <-chan struct{} {
	if s.held == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room
}

// chunk decodes the records of a chunk, and delivers them as often as the decoder is full.
func (s *shard) chunk(ctx context.Context, ch chunk) error {
	err := eachRecord(s.id, ch.batches, ch.from, func(r *schemas.Record) error {
		if s.taking.Err() != nil {
			return s.taking.Err()
		}
		if s.held == 0 {
			s.stamp = r.Time
		}
		s.dec.Append(*r)
		s.held = r.Offset + 1
		if s.dec.Rows() >= s.m.MaxRows || s.dec.Bytes() >= s.m.MaxBytes {
			s.flush(ctx)
		}
		return nil
	})
	if s.taking.Err() != nil {
		return nil
	}
	if err == nil {
		s.held = ch.next
	}
	return err
}

// flush delivers what the decoder holds, once there is room for it.
func (s *shard) flush(ctx context.Context) {
	if s.held == 0 {
		return
	}
	fl := &flight{next: s.held, stamp: s.stamp, rows: s.dec.Rows(), bytes: s.dec.Bytes()}
	if !s.depart(fl) {
		return
	}
	s.held = 0
	b := s.dec.Flush()
	if b == nil { // null records only, or records of a transaction's end
		s.routed(fl)
		s.arrive(fl, nil)
		return
	}
	after := s.after
	s.after = fl.next
	s.deliveries.Go(func() { s.fly(ctx, b, fl, after) })
}

func (s *shard) fly(ctx context.Context, b arrow.Record, fl *flight, after int64) {
	defer b.Release()
	var once sync.Once
	routed := func() { once.Do(func() { s.routed(fl) }) }
	err := s.owner.Deliver(ctx, pipeline.Delivery{Rows: b, Next: fl.next, After: after, Routed: routed})
	routed()
	s.arrive(fl, err)
}

// depart waits for room in the in-flight bound. It returns false when the shard is to stop.
func (s *shard) depart(fl *flight) bool {
	for {
		s.mu.Lock()
		if s.flying == 0 || s.flying < s.m.Deliveries && s.rows+fl.rows <= s.m.InFlightRows && s.bytes+fl.bytes <= s.m.InFlightBytes {
			s.flying++
			s.rows += fl.rows
			s.bytes += fl.bytes
			s.flights = append(s.flights, fl)
			s.mu.Unlock()
			return true
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-s.failed:
			return false
		case <-s.taking.Done():
			return false
		}
	}
}

// routed takes a delivery out of the in-flight bound.
func (s *shard) routed(fl *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	s.rows -= fl.rows
	s.bytes -= fl.bytes
	close(s.room)
	s.room = make(chan struct{})
}

// arrive ends a delivery: the finished prefix grows, or the shard fails.
func (s *shard) arrive(fl *flight, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failLocked(err)
		return
	}
	fl.done = true
	for len(s.flights) > 0 && s.flights[0].done {
		s.prefix = s.flights[0].next
		s.flights = s.flights[1:]
	}
}

// fail closes the shard; its owner is opened again. Only the first error counts.
func (s *shard) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failLocked(err)
}

func (s *shard) failLocked(err error) {
	if s.err == nil {
		s.err = err
		close(s.failed)
	}
}

func (s *shard) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || s.work.Err() != nil && !pipeline.IsPermanent(s.err) {
		return nil // cancelled at the end of the drain
	}
	return s.err
}

func (s *shard) setCommitted(offset int64) {
	s.mu.Lock()
	s.committed, s.marked = offset, time.Now()
	s.mu.Unlock()
}

// uncommitted returns the finished prefix and its mark where it has grown, or the mark is old. The caller holds
// m.commits.
func (s *shard) uncommitted() (next int64, mark []byte, ok bool) {
	s.mu.Lock()
	owner, next := s.owner, s.prefix
	ok = owner != nil && (next > s.committed || next == s.committed && time.Since(s.marked) >= s.m.MarkEvery)
	s.mu.Unlock()
	if !ok {
		return 0, nil, false
	}
	return next, owner.Mark(next), true
}

// close closes the owner, if there is one.
func (s *shard) close() {
	s.m.commits.Lock()
	defer s.m.commits.Unlock()
	s.mu.Lock()
	owner := s.owner
	s.owner = nil
	s.mu.Unlock()
	if owner == nil {
		return
	}
	if err := owner.Close(); err != nil {
		s.m.Events.retry(fmt.Errorf("kafka: close %s/%d: %w", s.m.Topic, s.id, err))
	}
	s.cancel()
}

// reportLag tells how far the shard is behind.
func (s *shard) reportLag(now time.Time) {
	s.mu.Lock()
	cursor, prefix, age := s.cursor, s.prefix, time.Duration(0)
	if len(s.flights) > 0 {
		age = max(now.Sub(s.flights[0].stamp), 0)
	}
	s.mu.Unlock()
	if cursor == nil {
		return
	}
	if high := cursor.high.Load(); high >= 0 {
		s.m.Events.lag(s.m.Topic, s.id, max(high-prefix, 0), age.Seconds())
	}
}
