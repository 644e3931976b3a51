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
	// Events are told of the hop times.
	Events Events
}

var _ pipeline.Sink = (*Sink)(nil)

// Open implements pipeline.Sink. A topic that lacks the partition is a Permanent error.
func (s *Sink) Open(ctx context.Context, p pipeline.Partition, _ pipeline.Position) (pipeline.Writer, error) {
	w := &sinkWriter{s: s, partition: p.ID}
	if s.Partition != nil {
		w.partition = s.Partition(p.ID)
	}
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
	return w, nil
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
	partition int32
	position  atomic.Int64
	lingering lingering
}

// Done implements pipeline.Writer: nothing is known of what earlier writers stored.
func (w *sinkWriter) Done() pipeline.RowSet { return pipeline.NoRows{} }

// Position implements pipeline.Writer.
func (w *sinkWriter) Position() pipeline.Position { return pipeline.Position{w.position.Load()} }

// Close implements pipeline.Writer.
func (w *sinkWriter) Close() error {
	w.lingering.wg.Wait()
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
	return &pipeline.TooLargeError{Rows: slices.Compact(rows), Limit: "max.message.bytes of topic " + w.s.Topic}
}

// encode writes b and returns the rows that the broker can never take. A message of several rows that is too
// large is made again from each half of its rows.
func (w *sinkWriter) encode(ctx context.Context, b arrow.Record) (refused []int, err error) {
	msgs, err := w.s.Encode.Encode(b)
	if err != nil {
		return nil, fmt.Errorf("kafka: encode for topic %s: %w", w.s.Topic, err)
	}
	base, err := w.s.Client.Produce(ctx, w.s.Topic, w.partition, msgs)
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
