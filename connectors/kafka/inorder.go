package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/pipeline"
	"weir/schemas"
)

var _ pipeline.OrderedWriter = (*sinkWriter)(nil)

// WriteInOrder implements pipeline.OrderedWriter. It does not linger: order is for predictions, which leave at
// once.
func (w *sinkWriter) WriteInOrder(ctx context.Context, b arrow.Record) (stored int, err error) {
	began := time.Now()
	if stored, err = w.storeInOrder(ctx, b); stored > 0 && err == nil {
		w.s.Events.hop(w.s.Topic, time.Since(began))
	}
	return stored, err
}

// storeInOrder encodes b and waits until all of it is durable, or all before the first row that never will be.
func (w *sinkWriter) storeInOrder(ctx context.Context, b arrow.Record) (stored int, err error) {
	n := int(b.NumRows())
	msgs, err := w.messages(b)
	if err != nil || n == 0 {
		return 0, err
	}
	base, err := w.s.Client.producer.send(ctx, w.lane, &sending{msgs: msgs, inOrder: true})
	var large *TooLargeError
	if !errors.As(err, &large) {
		if err != nil {
			return 0, err
		}
		w.advance(base, len(msgs))
		return n, nil
	}
	w.advance(base, large.Messages[0])
	return w.writePieces(ctx, b, msgs[large.Messages[0]])
}

// writePieces goes on with the rows from a message on that is too large: in messages of half as many rows.
func (w *sinkWriter) writePieces(ctx context.Context, b arrow.Record, m schemas.Message) (stored int, err error) {
	stored = m.Row
	if m.Rows <= 1 {
		return stored, w.tooLarge(m.Row)
	}
	for n := int(b.NumRows()); stored < n && err == nil; {
		piece := b.NewSlice(int64(stored), int64(min(stored+m.Rows/2, n)))
		some, e := w.storeInOrder(ctx, piece)
		piece.Release()
		stored, err = stored+some, e
	}
	if large := (*pipeline.TooLargeError)(nil); errors.As(err, &large) {
		err = w.tooLarge(stored)
	}
	return stored, err
}
