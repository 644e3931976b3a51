package sim

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/pipeline"
	"weir/schemas"
)

// sink is one output of a process.
type sink struct {
	p     *process
	topic string
}

// Open implements pipeline.Sink: the process takes over once for all outputs, then reads what is there.
func (s *sink) Open(ctx context.Context, in pipeline.Partition, from pipeline.Position) (pipeline.Writer, error) {
	if err := s.p.takeOver(ctx); err != nil {
		return nil, err
	}
	end, err := in.End(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{sink: s, epoch: s.p.epoch, done: map[int64]int32{}, position: s.p.log.end(s.topic)}
	start := int64(0)
	switch {
	case s.p.faults.ScanNothing, in.Begin >= end:
		start = w.position
	case len(from) == 1 && from[0] == pipeline.Unwritten:
		start = w.position
	case len(from) == 1:
		start = from[0]
	}
	for _, r := range s.p.log.read(s.topic, start) {
		if r.writer != s.p.group {
			for _, row := range r.rows { // its epochs are not ours
				if _, known := w.done[row.Offset]; !known {
					w.done[row.Offset] = pipeline.OtherSegment
				}
			}
			continue
		}
		for _, row := range r.rows {
			w.done[row.Offset] = row.Epoch
			if row.By != s.p.threshold {
				w.done[row.Offset] = pipeline.OtherVersion
				s.p.world.moved(row.Offset)
			}
		}
	}
	return w, s.p.step(ctx)
}

type writer struct {
	*sink
	epoch    int32
	done     map[int64]int32
	position int64
}

// Done implements pipeline.Writer.
func (w *writer) Done() pipeline.RowSet { return rowSet(w.done) }

// Epoch implements pipeline.Writer.
func (w *writer) Epoch() int32 { return w.epoch }

// Close implements pipeline.Writer.
func (w *writer) Close() error { return nil }

// Position implements pipeline.Writer. The topic has no other writer.
func (w *writer) Position() pipeline.Position {
	return pipeline.Position{w.p.log.end(w.topic)}
}

// Write implements pipeline.Writer. The record is on its way once it is sent: it arrives even if the process
// dies meanwhile.
func (w *writer) Write(ctx context.Context, b arrow.Record) error {
	if b.NumRows() == 0 {
		return nil
	}
	rows := w.rows(b)
	if err := w.p.step(ctx); err != nil {
		return err
	}
	arrived := make(chan error, 1)
	delay := w.p.world.delay()
	w.p.world.network.Go(func() {
		pause(delay)
		arrived <- w.p.log.append(w.topic, w.p.group, record{epoch: w.epoch, rows: rows})
	})
	select {
	case err := <-arrived:
		if err != nil {
			return err
		}
		return w.p.step(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WriteInOrder implements pipeline.OrderedWriter: no row is too large here.
func (w *writer) WriteInOrder(ctx context.Context, b arrow.Record) (int, error) {
	if err := w.Write(ctx, b); err != nil {
		return 0, err
	}
	return int(b.NumRows()), nil
}

func (w *writer) rows(b arrow.Record) []Row {
	x := column[*array.Int64](b, "x")
	offsets := column[*array.Int64](b, schemas.Offset)
	status := column[*array.Uint8](b, schemas.StatusColumn)
	epochs, _ := schemas.Column[*array.Int32](b, schemas.Epoch)
	rows := make([]Row, b.NumRows())
	for i := range rows {
		rows[i] = Row{Offset: offsets.Value(i), X: x.Value(i), Status: status.Value(i), Writer: w.p.group, Epoch: w.epoch, By: w.p.threshold}
		if epochs != nil {
			rows[i].Epoch = epochs.Value(i)
		}
	}
	return rows
}

func column[T arrow.Array](b arrow.Record, name string) T {
	c, err := schemas.Column[T](b, name)
	if err != nil {
		panic(err)
	}
	return c
}

type rowSet map[int64]int32

// Has implements pipeline.RowSet.
func (s rowSet) Has(offset int64, _ int32) bool { _, ok := s[offset]; return ok }

// Epoch implements pipeline.RowSet.
func (s rowSet) Epoch(offset int64, _ int32) int32 { return s[offset] }
