package replay

import (
	"context"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"golang.org/x/sync/errgroup"

	"weir/pipeline"
	"weir/schemas"
)

const (
	// deliveryRows and deliveryBytes bound a delivery, as they do where the pipeline serves.
	deliveryRows, deliveryBytes = 256, 1 << 20
	// inFlight bounds the deliveries of a partition that are not yet routed.
	inFlight = 4
	// chunkRows ends a chunk before its span does.
	chunkRows = 4 << 10
)

// A chunk is some neighbouring queries of a partition, which are compared together.
type chunk struct {
	from, to int64 // offsets of the queries
	rows     int
	flights  errgroup.Group // its deliveries
}

// A feeder delivers one partition's recorded queries when they are due. It is used from one goroutine.
type feeder struct {
	pace    pace
	span    func(offset int64) int // of an offset; a chunk lies within one
	decoder schemas.Decoder
	owner   pipeline.Owner
	chunks  chan<- *chunk // that were delivered, though perhaps not finished

	chunk *chunk
	next  int64 // offset behind what was taken
	after int64 // and behind the last delivery, 0 before the first
	slots chan struct{}
	all   sync.WaitGroup // of deliveries
}

func newFeeder(p pace, span func(int64) int, decoder schemas.Decoder, owner pipeline.Owner, chunks chan<- *chunk) *feeder {
	return &feeder{pace: p, span: span, decoder: decoder, owner: owner, chunks: chunks, slots: make(chan struct{}, inFlight)}
}

// take takes the next record. It waits until the record is due, and while too much is in flight.
func (f *feeder) take(ctx context.Context, r *schemas.Record) error {
	if c := f.chunk; c != nil && (f.span(r.Offset) != f.span(c.from) || c.rows >= chunkRows) {
		if err := f.end(ctx, r.Offset); err != nil {
			return err
		}
	}
	if f.chunk == nil {
		f.chunk = &chunk{from: r.Offset}
	}
	if err := f.await(ctx, r); err != nil {
		return err
	}
	before := f.decoder.Rows()
	f.decoder.Append(*r)
	f.chunk.rows += f.decoder.Rows() - before
	f.next = r.Offset + 1
	if f.decoder.Rows() >= deliveryRows || f.decoder.Bytes() >= deliveryBytes {
		return f.flush(ctx)
	}
	return nil
}

// await waits until a record is due and stamps it with that time: from there its budget counts.
func (f *feeder) await(ctx context.Context, r *schemas.Record) error {
	if f.pace.flatOut() {
		r.Time = time.Now()
		return ctx.Err()
	}
	due := f.pace.due(r.Time)
	if time.Until(due) > 0 {
		if err := f.flush(ctx); err != nil {
			return err
		}
		if err := until(ctx, due); err != nil {
			return err
		}
	}
	r.Time = due
	return nil
}

// pause delivers what was taken, unless more is due at once.
func (f *feeder) pause(ctx context.Context) error {
	if f.pace.flatOut() {
		return nil
	}
	return f.flush(ctx)
}

// flush delivers what the decoder holds.
func (f *feeder) flush(ctx context.Context) error {
	rows := f.decoder.Flush()
	if rows == nil {
		return nil
	}
	if f.pace.flatOut() {
		rows = withoutDeadline(rows)
	}
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		rows.Release()
		return ctx.Err()
	}
	d := pipeline.Delivery{Rows: rows, Next: f.next, After: f.after, Routed: func() { <-f.slots }}
	f.after = f.next
	f.all.Add(1)
	f.chunk.flights.Go(func() error {
		defer f.all.Done()
		defer rows.Release()
		return f.owner.Deliver(ctx, d)
	})
	return nil
}

// withoutDeadline takes the hard deadlines off rows. It consumes rows.
func withoutDeadline(rows arrow.Record) arrow.Record {
	deadline, err := schemas.Column[*array.Timestamp](rows, schemas.Deadline)
	if err != nil || deadline.NullN() == deadline.Len() {
		return rows
	}
	defer rows.Release()
	none := schemas.Nulls(deadline.DataType(), deadline.Len())
	defer none.Release()
	return schemas.With(rows, schemas.Named{Name: schemas.Deadline, Array: none})
}

// end ends the chunk in hand before an offset and passes it on.
func (f *feeder) end(ctx context.Context, to int64) error {
	if f.chunk == nil {
		return nil
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	f.chunk.to = to
	select {
	case f.chunks <- f.chunk:
		f.chunk = nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join waits until nothing is in flight any more, and lets go of what was not delivered.
func (f *feeder) join() {
	f.all.Wait()
	if rows := f.decoder.Flush(); rows != nil {
		rows.Release()
	}
}
