package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/pipeline"
	"weir/schemas"
)

// Sink writes batches to a topic. It implements pipeline.Sink.
type Sink struct {
	Client *Client
	Topic  string
	Encode schemas.Encoder
	// Partition is the output partition of an input partition. Default: the same.
	Partition func(input int32) int32
	// Linger is how long a write waits for others to join it, so that small batches become one record.
	// Default 0: a write leaves at once.
	Linger time.Duration
	// Fence makes this process the only one that writes for an input partition, and lets a new owner find
	// what its predecessor wrote. nil: no fence; a crash repeats rows, and so does a process that was frozen.
	Fence *Fence
	// AcceptLoss goes on where records were deleted that tell what is finished.
	AcceptLoss bool
	// Events are told of the hop times.
	Events Events
}

var _ pipeline.Sink = (*Sink)(nil)

// Open implements pipeline.Sink. A topic that lacks the partition is a Permanent error.
func (s *Sink) Open(ctx context.Context, p pipeline.Partition, from pipeline.Position) (pipeline.Writer, error) {
	w := &sinkWriter{s: s, input: p.ID, partition: s.partition(p.ID), done: written{}}
	w.position.Store(-1)
	w.lingering.init(w, s.Linger)
	n, err := s.partitions(ctx)
	switch {
	case unknownTopic(err):
		return nil, pipeline.Permanent(err)
	case err != nil:
		return nil, err
	case int(w.partition) >= n:
		return nil, pipeline.Permanent(fmt.Errorf(
			"kafka: input %s/%d writes to %s/%d, which has only %d partitions; give both topics the same number",
			p.Topic, p.ID, s.Topic, w.partition, n))
	}
	at := place{s.Topic, w.partition}
	if s.Fence == nil {
		w.lane = s.Client.producer.lane(at)
		return w, nil
	}
	if err := w.takeOver(ctx, p, at, from); err != nil {
		return nil, err
	}
	return w, nil
}

// partition is the output partition of an input partition.
func (s *Sink) partition(input int32) int32 {
	if s.Partition == nil {
		return input
	}
	return s.Partition(input)
}

// takeOver makes w the only writer and reads what earlier ones wrote. From the fence on none of them can
// write, so that nothing is missed.
func (w *sinkWriter) takeOver(ctx context.Context, p pipeline.Partition, at place, from pipeline.Position) error {
	who, err := w.s.Fence.open(ctx, w.input, len(p.Mark) > 0)
	if err != nil {
		return err
	}
	start := int64(-1)
	if len(from) == 1 {
		start = from[0]
	}
	rows, end, err := w.s.recover(ctx, p, at, start)
	if err != nil {
		w.s.Fence.close(w.input)
		return err
	}
	w.done, w.epoch = rows, w.s.Fence.number(who.Epoch)
	w.position.Store(end)
	w.lane = newLane(at, writer{who.ID, who.Epoch, 0})
	w.lane.reached = end
	return nil
}

// partitions allows for a topic that was made a moment ago and that not every broker knows yet.
func (s *Sink) partitions(ctx context.Context) (n int, err error) {
	began := time.Now()
	for wait := newBackoff(); ; {
		n, err = s.Client.Partitions(ctx, s.Topic)
		if !unknownTopic(err) || time.Since(began) > missingFor || wait.sleep(ctx) != nil {
			return n, err
		}
	}
}

// sinkWriter writes the rows of one input partition to one output partition.
type sinkWriter struct {
	s         *Sink
	input     int32
	partition int32
	lane      *lane
	epoch     int32   // of the fence, 0 without one
	done      written // by earlier writers, since the opening position
	position  atomic.Int64
	anew      atomic.Bool // the topic was made anew: what was written lies anywhere in it
	lingering lingering
}

// Done implements pipeline.Writer: nothing is known of what earlier writers stored.
func (w *sinkWriter) Done() pipeline.RowSet { return w.done }

// Epoch implements pipeline.Writer.
func (w *sinkWriter) Epoch() int32 { return w.epoch }

// Position implements pipeline.Writer.
func (w *sinkWriter) Position() pipeline.Position {
	if w.anew.Load() {
		return pipeline.Position{0}
	}
	return pipeline.Position{w.position.Load()}
}

// Close implements pipeline.Writer.
func (w *sinkWriter) Close() error {
	w.lingering.wg.Wait()
	if w.s.Fence != nil {
		w.lane.end(errEnded)
		w.s.Fence.close(w.input)
	}
	return nil
}

// Write implements pipeline.Writer.
func (w *sinkWriter) Write(ctx context.Context, b arrow.Record) error {
	if b.NumRows() == 0 {
		return nil
	}
	began := time.Now()
	var err error
	if w.s.Linger > 0 {
		err = w.lingering.write(ctx, b)
	} else {
		err = w.store(ctx, b)
	}
	if err == nil {
		w.s.Events.hop(w.s.Topic, time.Since(began))
	}
	return err
}

// store encodes b and waits until it is durable.
func (w *sinkWriter) store(ctx context.Context, b arrow.Record) error {
	rows, err := w.encode(ctx, b)
	if err != nil || len(rows) == 0 {
		return err
	}
	slices.Sort(rows)
	return w.tooLarge(slices.Compact(rows)...)
}

func (w *sinkWriter) tooLarge(rows ...int) error {
	return &pipeline.TooLargeError{Rows: rows, Limit: "max.message.bytes of topic " + w.s.Topic}
}

// encode writes b and returns the rows that the broker can never take. A message of several rows that is too
// large is made again from each half of its rows.
func (w *sinkWriter) encode(ctx context.Context, b arrow.Record) (refused []int, err error) {
	msgs, err := w.messages(b)
	if err != nil {
		return nil, err
	}
	base, err := w.s.Client.producer.produce(ctx, w.lane, msgs)
	if remade(err) {
		w.anew.Store(true)
	}
	var large *TooLargeError
	if !errors.As(err, &large) {
		w.advance(base, len(msgs))
		return nil, err
	}
	w.advance(base, len(msgs)-len(large.Messages))
	for _, i := range large.Messages {
		m := msgs[i]
		if m.Rows <= 1 {
			refused = append(refused, m.Row)
			continue
		}
		half := m.Rows / 2
		for _, part := range [2][2]int{{m.Row, m.Row + half}, {m.Row + half, m.Row + m.Rows}} {
			rows, err := w.encodeRows(ctx, b, part[0], part[1])
			if err != nil {
				return nil, err
			}
			refused = append(refused, rows...)
		}
	}
	return refused, nil
}

// messages encodes b.
func (w *sinkWriter) messages(b arrow.Record) ([]schemas.Message, error) {
	msgs, err := w.s.Encode.Encode(b)
	if err == nil {
		err = w.sign(b, msgs)
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: encode for topic %s: %w", w.s.Topic, err)
	}
	return msgs, nil
}

// sign says in every message's header which rows it holds.
func (w *sinkWriter) sign(b arrow.Record, msgs []schemas.Message) error {
	if w.s.Fence == nil || len(msgs) == 0 {
		return nil
	}
	o, err := originsOf(b, w.epoch)
	if err != nil {
		return err
	}
	headers := make([]schemas.Header, 0, 4*len(msgs))
	var block []byte
	for i := range msgs {
		m := &msgs[i]
		from := len(block)
		block = o.append(block, w.s.Fence.Version, m.Row, m.Row+m.Rows)
		first := len(headers)
		headers = append(headers, m.Headers...) // the encoder's may be shared by all messages
		headers = append(headers, schemas.Header{Key: OriginHeader, Value: block[from:len(block):len(block)]})
		m.Headers = headers[first:len(headers):len(headers)]
	}
	return nil
}

// encodeRows is encode for the rows from to to of b.
func (w *sinkWriter) encodeRows(ctx context.Context, b arrow.Record, from, to int) ([]int, error) {
	part := b.NewSlice(int64(from), int64(to))
	defer part.Release()
	rows, err := w.encode(ctx, part)
	for i := range rows {
		rows[i] += from
	}
	return rows, err
}

// advance moves the position behind n messages from base on.
func (w *sinkWriter) advance(base int64, n int) {
	if base < 0 {
		return
	}
	for next := base + int64(n); ; {
		old := w.position.Load()
		if next <= old || w.position.CompareAndSwap(old, next) {
			return
		}
	}
}
