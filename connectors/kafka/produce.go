package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/connectors/kafka/driver"
	"weir/schemas"
)

const (
	// inFlight bounds the requests in flight to one leader.
	inFlight = 4
	// requestBytes bounds one request; a batch beyond it waits for the next.
	requestBytes = 8 << 20
	// missingFor is how long a topic may be unknown before a message to it fails: brokers learn of a new
	// topic one after the other.
	missingFor = 2 * time.Second
)

// A producer sends what waits in lanes to the lanes' leaders. There is no timer: an idle partition's message
// leaves at once, a busy one's with the next request.
type producer struct {
	c *Client

	mu      sync.Mutex
	lanes   map[place]*lane
	outbox  map[int32]*outbox // by leader
	closing bool
}

type place struct {
	topic     string
	partition int32
}

// An outbox holds the lanes that wait for a request to one leader.
type outbox struct {
	waiting []*lane
	flying  int
}

func (p *producer) init(c *Client) {
	p.c, p.lanes, p.outbox = c, map[place]*lane{}, map[int32]*outbox{}
}

// Produce appends messages to a partition, in order, and returns the offset of the first once all replicas
// in sync have them. Messages that wait for the same partition travel together. It retries for as long as
// the broker may come back and ctx lives; when ctx ends first, the messages may or may not be written.
// Messages that the broker can never take are told by a *TooLargeError; all others are durable then.
func (c *Client) Produce(ctx context.Context, topic string, partition int32, msgs []schemas.Message) (base int64, err error) {
	if len(msgs) == 0 {
		return -1, nil
	}
	if err := ctx.Err(); err != nil {
		return -1, err
	}
	return c.producer.produce(ctx, c.producer.lane(place{topic, partition}), msgs)
}

// lane is the shared way into a partition, for messages that bear no identity.
func (p *producer) lane(at place) *lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[at]
	if l == nil {
		l = newLane(at, writer{-1, -1, -1})
		p.lanes[at] = l
	}
	return l
}

func newLane(at place, w writer) *lane {
	return &lane{topic: at.topic, partition: at.partition, writer: w, limit: batchBytes, wait: newBackoff()}
}

// produce sends messages through a lane and waits until they are durable.
func (p *producer) produce(ctx context.Context, l *lane, msgs []schemas.Message) (base int64, err error) {
	return p.send(ctx, l, &sending{msgs: msgs})
}

// send is produce of a sending that has its messages.
func (p *producer) send(ctx context.Context, l *lane, s *sending) (base int64, err error) {
	s.open, s.base, s.done = len(s.msgs), -1, make(chan struct{})
	if err = p.add(l, s); err == nil {
		base, err = l.await(ctx, s)
	}
	var large *TooLargeError
	if err != nil && !errors.As(err, &large) {
		return -1, fmt.Errorf("kafka: write %s/%d: %w", l.topic, l.partition, err)
	}
	return base, err
}

// add queues s in its lane and sees that the lane is driven.
func (p *producer) add(l *lane, s *sending) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return errClosed
	}
	if l.add(s) {
		p.c.wg.Go(func() { p.drive(l) })
	}
	return nil
}

// close refuses further messages; the client's context ends those that wait.
func (p *producer) close() {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
}

// drive brings a busy lane to its leader's outbox, and sends requests from there while there is something to
// send and not enough of them are in flight.
func (p *producer) drive(l *lane) {
	leader, ok := p.route(l)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.outbox[leader]
	if o == nil {
		o = &outbox{}
		p.outbox[leader] = o
	}
	o.waiting = append(o.waiting, l)
	if o.flying == inFlight {
		return
	}
	o.flying++
	for len(o.waiting) > 0 {
		lanes := o.waiting
		o.waiting = nil
		p.mu.Unlock()
		again := p.request(leader, lanes)
		p.mu.Lock()
		o.waiting = append(again, o.waiting...)
	}
	o.flying--
}

// route finds a lane's leader. It returns false once nobody waits in the lane any more.
func (p *producer) route(l *lane) (leader int32, ok bool) {
	for {
		leader, err := p.c.topics.leader(p.c.ctx, l.topic, l.partition)
		if err == nil {
			l.missing = time.Time{}
			return leader, true
		}
		if !p.pause(l, err) {
			return -1, false
		}
	}
}

// pause waits before a lane is tried again. It returns false where that makes no sense.
func (p *producer) pause(l *lane, err error) bool {
	missing := unknownTopic(err) || errors.Is(err, driver.UnknownTopicOrPartition)
	if !missing {
		l.missing = time.Time{}
	} else if l.missing.IsZero() {
		l.missing = time.Now()
	}
	switch {
	case p.c.ctx.Err() != nil:
		l.fail(errClosed, true)
		return false
	case l.hasEnded():
		l.fail(errEnded, true)
		return false
	case missing && time.Since(l.missing) > missingFor, !missing && !retriable(err):
		l.fail(err, true)
		return false
	case l.abandoned():
		return false
	}
	p.c.opts.Events.retry(fmt.Errorf("kafka: write %s/%d: %w", l.topic, l.partition, err))
	if l.wait.sleep(p.c.ctx) != nil {
		l.fail(errClosed, true)
		return false
	}
	return true
}

// request sends one batch of each lane to their leader and returns the lanes that have more to send there.
// A lane that failed goes its own way, so that it delays no other.
func (p *producer) request(leader int32, lanes []*lane) (again []*lane) {
	var batches []driver.Batch
	flying := map[place]*lane{}
	now, size := time.Now(), 0
	for i, l := range lanes {
		if size >= requestBytes {
			again = append(again, lanes[i:]...)
			break
		}
		if flying[place{l.topic, l.partition}] != nil { // an older identity's last batch is in this request
			again = append(again, l)
			continue
		}
		b := l.take(now)
		if b == nil {
			continue
		}
		size += len(b.raw)
		flying[place{l.topic, l.partition}] = l
		batches = append(batches, driver.Batch{Place: driver.Place{Topic: l.topic, Partition: l.partition}, Raw: b.raw})
	}
	if len(flying) == 0 {
		return again
	}
	var stored []driver.Stored
	err := p.c.request(p.c.ctx, requestTimeout, func(ctx context.Context) (err error) {
		stored, err = p.c.cluster.Produce(ctx, leader, batches)
		return err
	})
	took := time.Since(now)
	if err == nil {
		for _, st := range stored {
			at := place{st.Topic, st.Partition}
			if l := flying[at]; l != nil {
				delete(flying, at)
				again = p.result(again, l, st.Base, st.Err, took)
			}
		}
		err = errors.New("the broker's answer lacks the partition")
	}
	for _, l := range flying {
		again = p.result(again, l, -1, err, took)
	}
	return again
}

// result ends or repeats a lane's batch, and appends the lane to again where it may go on at once.
func (p *producer) result(again []*lane, l *lane, base int64, err error, took time.Duration) []*lane {
	records, size := l.batch.records, len(l.batch.raw)
	if err == nil {
		if err := l.begunAgain(base); err != nil { // its owner opens it anew, and sees what is there now
			l.end(err)
			l.fail(err, true)
			return again
		}
	}
	switch {
	case err == nil, l.fenced() && errors.Is(err, driver.DuplicateSequenceNumber): // it was stored before
		l.acknowledge(base)
		l.wait = newBackoff()
		p.c.opts.Events.produced(l.topic, l.partition, records, size, took)
	case tooLarge(err):
		l.shrink()
	case l.fenced() && fencedOff(err):
		err = &FencedError{Topic: l.topic, Partition: l.partition, Cause: err}
		p.c.opts.Events.fenced(l.topic, l.partition)
		l.end(err)
		l.fail(err, true)
		return again
	case retriable(err):
		p.c.topics.forget(l.topic)
		p.c.wg.Go(func() {
			if p.pause(l, err) {
				p.drive(l)
			}
		})
		return again
	default:
		l.fail(err, false)
	}
	return append(again, l)
}
