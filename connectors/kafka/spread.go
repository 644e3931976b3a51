package kafka

import (
	"context"
	"errors"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"weir/pipeline"
	"weir/schemas"
)

// Spread is a Sink whose topic has Of partitions for each input partition: input p writes to the partitions
// p·Of up to (p+1)·Of, rows of one key to the same one. So a segment behind it can run on more members than
// the queries have partitions, and every output partition still has one writer.
type Spread struct {
	Sink
	Of int
}

var _ pipeline.Sink = Spread{}

// Open implements pipeline.Sink.
func (s Spread) Open(ctx context.Context, p pipeline.Partition, from pipeline.Position) (pipeline.Writer, error) {
	if s.Of <= 1 {
		return s.Sink.Open(ctx, p, from)
	}
	w := &spreadWriter{}
	for i := range s.Of {
		one := s.Sink
		one.Partition = func(input int32) int32 { return input*int32(s.Of) + int32(i) }
		var at pipeline.Position
		switch {
		case slices.Equal(from, pipeline.Position{pipeline.Unwritten}):
			at = from
		case i < len(from):
			at = from[i : i+1]
		}
		part, err := one.Open(ctx, p, at)
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		w.parts = append(w.parts, part)
	}
	return w, nil
}

// spreadWriter has one writer for each output partition.
type spreadWriter struct{ parts []pipeline.Writer }

// Done implements pipeline.Writer.
func (w *spreadWriter) Done() pipeline.RowSet { return spreadRows{w.parts} }

// Epoch implements pipeline.Writer.
func (w *spreadWriter) Epoch() int32 { return w.parts[0].Epoch() }

// spreadRows are the rows of all parts.
type spreadRows struct{ parts []pipeline.Writer }

// Has implements pipeline.RowSet.
func (r spreadRows) Has(offset int64, row int32) bool {
	return slices.ContainsFunc(r.parts, func(p pipeline.Writer) bool { return p.Done().Has(offset, row) })
}

// Epoch implements pipeline.RowSet.
func (r spreadRows) Epoch(offset int64, row int32) int32 {
	for _, p := range r.parts {
		if p.Done().Has(offset, row) {
			return p.Done().Epoch(offset, row)
		}
	}
	return 0
}

// Write implements pipeline.Writer.
func (w *spreadWriter) Write(ctx context.Context, b arrow.Record) error {
	rows := w.assign(b)
	large := make([]*pipeline.TooLargeError, len(w.parts))
	g, ctx := errgroup.WithContext(ctx)
	for i, part := range w.parts {
		if len(rows[i]) == 0 {
			continue
		}
		g.Go(func() error {
			some := schemas.Take(b, rows[i])
			defer some.Release()
			err := part.Write(ctx, some)
			if errors.As(err, &large[i]) {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return joinTooLarge(rows, large)
}

// assign gives the rows of each output partition, by the hash of their key or, without one, of their id.
func (w *spreadWriter) assign(b arrow.Record) [][]int {
	rows := make([][]int, len(w.parts))
	keys, _ := schemas.Column[*array.Binary](b, schemas.Key)
	ids, _ := schemas.Column[*array.String](b, schemas.QueryID)
	for i := range int(b.NumRows()) {
		var h uint64
		switch {
		case keys != nil && keys.IsValid(i):
			h = xxh3.Hash(keys.Value(i))
		case ids != nil && ids.IsValid(i):
			h = xxh3.HashString(ids.Value(i))
		}
		at := h % uint64(len(w.parts))
		rows[at] = append(rows[at], i)
	}
	return rows
}

// joinTooLarge tells of the rows by their place in the whole batch.
func joinTooLarge(rows [][]int, large []*pipeline.TooLargeError) error {
	var all *pipeline.TooLargeError
	for i, l := range large {
		if l == nil {
			continue
		}
		if all == nil {
			all = &pipeline.TooLargeError{Limit: l.Limit}
		}
		for _, r := range l.Rows {
			all.Rows = append(all.Rows, rows[i][r])
		}
	}
	if all == nil {
		return nil // a nil *TooLargeError would be an error
	}
	slices.Sort(all.Rows)
	return all
}

// Position implements pipeline.Writer.
func (w *spreadWriter) Position() pipeline.Position {
	var at pipeline.Position
	for _, p := range w.parts {
		at = append(at, p.Position()...)
	}
	return at
}

// Close implements pipeline.Writer.
func (w *spreadWriter) Close() error {
	var errs []error
	for _, p := range w.parts {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
