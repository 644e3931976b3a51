package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/cmd/weir/answers"
	"weir/connectors/kafka"
)

// Recorded names what happened: the topics of the pipeline that served, and a range of its queries by their
// stamps.
type Recorded struct {
	Client                          *kafka.Client
	Queries, Predictions, Decisions string
	// From and To are the range. To: Latest is now.
	From, To kafka.Start
}

// A Range is what the topics still hold of what was recorded.
type Range struct {
	Recorded
	// Notes tell of what they do not hold any more.
	Notes []string

	from, to           []int64 // queries, by partition
	predicted, decided bounds
	began              time.Time // the first query's stamp
}

// bounds are the first offset and the end of each partition of a topic.
type bounds struct{ first, end []int64 }

// Look finds out what there is. A range without queries is an error.
func Look(ctx context.Context, rec Recorded) (*Range, error) {
	r := &Range{Recorded: rec}
	var err error
	if r.to, err = rec.Client.Offsets(ctx, rec.Queries, rec.To); err != nil {
		return nil, missing(err)
	}
	if r.from, err = rec.Client.Offsets(ctx, rec.Queries, rec.From); err != nil {
		return nil, err
	}
	if r.predicted, err = r.bounds(ctx, rec.Predictions); err != nil {
		return nil, err
	}
	if r.decided, err = r.bounds(ctx, rec.Decisions); err != nil {
		return nil, err
	}
	if err := r.skipDeleted(ctx); err != nil {
		return nil, err
	}
	for p := range r.from { // a partition may have nothing of the range
		r.from[p] = min(r.from[p], r.to[p])
	}
	return r, r.begin(ctx)
}

// missing adds the remedy to the error of a topic that does not exist.
func missing(err error) error {
	var unknown *kafka.UnknownTopicError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%w; name the spec whose pipeline recorded with --recorded SPEC", err)
	}
	return err
}

func (r *Range) bounds(ctx context.Context, topic string) (b bounds, err error) {
	if b.first, err = r.Client.Offsets(ctx, topic, kafka.Earliest); err != nil {
		return b, missing(err)
	}
	if b.end, err = r.Client.End(ctx, topic); err != nil {
		return b, err
	}
	if len(b.first) < len(r.from) {
		return b, fmt.Errorf("replay: topic %s has %d partitions, the queries have %d", topic, len(b.first), len(r.from))
	}
	return b, nil
}

// skipDeleted passes over queries whose predictions were deleted, and notes what else retention took.
func (r *Range) skipDeleted(ctx context.Context) error {
	earliest, err := r.Client.Offsets(ctx, r.Queries, kafka.Earliest)
	if err != nil {
		return err
	}
	for p := range r.from {
		if r.From < kafka.Earliest && earliest[p] > 0 && r.from[p] == earliest[p] {
			r.note("older queries were deleted (retention): partition %d begins at %s/%d/%d", p, r.Queries, p, earliest[p])
		}
		if r.predicted.first[p] == 0 {
			continue
		}
		kept, err := answers.Kept(ctx, r.Client, r.Queries, r.Predictions, int32(p), r.predicted.first[p], r.predicted.end[p])
		if err != nil {
			return err
		}
		if kept > r.from[p] {
			r.from[p] = kept
			r.note("older predictions were deleted (retention): partition %d begins at %s/%d/%d", p, r.Queries, p, kept)
		}
	}
	return nil
}

func (r *Range) note(format string, a ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, a...)) }

// begin finds the first query's stamp.
func (r *Range) begin(ctx context.Context) error {
	for p := range r.from {
		stamp, ok, err := answers.StampOf(ctx, r.Client, r.Queries, int32(p), r.from[p], r.to[p])
		if err != nil {
			return err
		}
		if ok && (r.began.IsZero() || stamp.Before(r.began)) {
			r.began = stamp
		}
	}
	if r.began.IsZero() {
		if len(r.Notes) > 0 {
			return fmt.Errorf("replay: nothing is left of that range: %s", r.Notes[0])
		}
		return fmt.Errorf("replay: topic %s holds no queries of that range; --from and --to go by their stamps", r.Queries)
	}
	return nil
}

// Partitions is how many partitions the queries have.
func (r *Range) Partitions() int { return len(r.from) }

// offsets is how many offsets the range has.
func (r *Range) offsets() (n int64) {
	for p := range r.from {
		n += r.to[p] - r.from[p]
	}
	return n
}
