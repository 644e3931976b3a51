package replay

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/cmd/weir/answers"
	"weir/pipeline"
	"weir/schemas"
)

// Options of a replay. Segment, Predictions and NewDecoder are needed.
type Options struct {
	// Segment is the candidate: all stages, and outputs of its own.
	Segment *pipeline.Segment
	// Predictions is the topic that it writes to, with as many partitions as the queries.
	Predictions string
	// NewDecoder makes a decoder of the queries.
	NewDecoder func() schemas.Decoder
	// Speed is how many times as fast as recorded the queries come. 0 is as fast as they are answered.
	Speed float64
	// Models are the versions of the candidate's models, by name.
	Models map[string]string
	// Specs are the versions (kafka.Fence.Version) with which the candidate would sign its predictions, in any
	// layout.
	Specs map[uint32]bool
	// All asks to be told of every finding, not only of the first Listed of each kind and cause.
	All bool
	// Found is told of findings, in order within a chunk of a partition, from one goroutine at a time. An error ends
	// the replay.
	Found func(Finding) error
	// Progress is told how many of the range's offsets are compared, from one goroutine at a time. May be nil.
	Progress func(done, of int64)
}

// indexAtOnce bounds the partitions whose recorded answers are looked for at once.
const indexAtOnce = 4

// replay is one Replay.
type replay struct {
	*Range
	Options
	known  known
	places []*spans // of the recorded predictions, by partition

	mu     sync.Mutex // of what follows
	report *Report
	told   map[listed]int
	done   int64 // offsets
}

// listed is what is told of Listed times.
type listed struct {
	Kind
	Cause
}

// Replay runs the range through a candidate and compares.
func (r *Range) Replay(ctx context.Context, o Options) (*Report, error) {
	began := time.Now()
	rp := &replay{
		Range: r, Options: o, known: known{o.Models, o.Specs}, places: make([]*spans, r.Partitions()),
		report: newReport(r.Notes), told: map[listed]int{},
	}
	if err := rp.look(ctx); err != nil {
		return nil, err
	}
	s := &source{
		Range: r, pace: pace{speed: o.Speed, began: r.began}, newDecoder: o.NewDecoder,
		span:    func(p int32, offset int64) int { return rp.places[p].of(offset) },
		compare: rp.compare,
	}
	if err := s.Run(ctx, o.Segment.Open); err != nil {
		return nil, err
	}
	rp.report.Took = time.Since(began).Seconds()
	if !s.pace.flatOut() {
		rp.report.Recorded.end()
		rp.report.Replayed.end()
	}
	return rp.report, nil
}

// look finds out where the recorded predictions lie, before any pace begins.
func (rp *replay) look(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(indexAtOnce)
	for p := range rp.places {
		g.Go(func() (err error) {
			rp.places[p], err = rp.index(ctx, rp.Range.Predictions, int32(p), rp.predicted, answers.Predictions)
			return err
		})
	}
	return g.Wait()
}

// compare compares a partition's chunks.
func (rp *replay) compare(ctx context.Context, p int32, owner pipeline.Owner, chunks <-chan *chunk) error {
	c := &comparer{replay: rp, id: p}
	for ch := range chunks {
		if err := ch.flights.Wait(); err != nil {
			return err
		}
		owner.Mark(ch.to) // nothing is committed; the owner forgets what it kept for that
		if err := c.compare(ctx, ch); err != nil {
			return err
		}
	}
	return nil
}

// tell tells of a finding that was counted.
func (rp *replay) tell(f Finding) error {
	k := listed{f.Kind, f.Cause}
	if rp.told[k] >= Listed && !rp.All {
		return nil
	}
	rp.told[k]++
	f.Topic = rp.Queries
	return rp.Found(f)
}
