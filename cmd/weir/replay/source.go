package replay

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/connectors/kafka"
	"weir/pipeline"
	"weir/schemas"
)

// atOnce bounds the partitions that are replayed at once where no pace asks for all of them.
const atOnce = 8

// A source delivers recorded queries as a consumer group's member would, without being one: nothing is
// committed, and each partition ends with the range.
type source struct {
	*Range
	pace       pace
	newDecoder func() schemas.Decoder
	span       func(partition int32, offset int64) int
	// compare is given a partition's chunks as they are delivered, until chunks is closed.
	compare func(ctx context.Context, partition int32, owner pipeline.Owner, chunks <-chan *chunk) error
}

var _ pipeline.Source = (*source)(nil)

// Run implements pipeline.Source. It ends with the range, or with the error of ctx.
func (s *source) Run(ctx context.Context, open func(context.Context, pipeline.Partition) (pipeline.Owner, error)) error {
	g, ctx := errgroup.WithContext(ctx)
	if s.pace.flatOut() {
		g.SetLimit(atOnce)
	}
	s.pace.start = time.Now()
	for p := range s.from {
		if s.from[p] < s.to[p] {
			g.Go(func() error { return s.partition(ctx, int32(p), open) })
		}
	}
	return g.Wait()
}

func (s *source) partition(ctx context.Context, p int32, open func(context.Context, pipeline.Partition) (pipeline.Owner, error)) (err error) {
	owner, err := open(ctx, pipeline.Partition{Topic: s.Queries, ID: p})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, owner.Close()) }()
	chunks := make(chan *chunk, 1)
	g, ctx := errgroup.WithContext(ctx)
	f := newFeeder(s.pace, func(offset int64) int { return s.span(p, offset) }, s.newDecoder(), owner, chunks)
	defer f.join()
	g.Go(func() error {
		defer close(chunks)
		return f.read(ctx, s.Client.Reader(s.Queries, p, s.from[p], s.to[p]), s.to[p])
	})
	g.Go(func() error { return s.compare(ctx, p, owner, chunks) })
	return g.Wait()
}

// read feeds a partition to its end.
func (f *feeder) read(ctx context.Context, r *kafka.Reader, end int64) error {
	for more := true; more; {
		var err error
		if more, err = r.Next(ctx, func(rec *schemas.Record) error { return f.take(ctx, rec) }); err != nil {
			return err
		}
		if err := f.pause(ctx); err != nil {
			return err
		}
	}
	return f.end(ctx, end)
}
