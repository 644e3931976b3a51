package replay

import (
	"context"

	"weir/cmd/weir/answers"
	"weir/connectors/kafka"
	"weir/schemas"
)

const (
	// spanOffsets is how many offsets of queries are one span.
	spanOffsets = 1 << 10
	// A span's answers lie in few runs: where a segment lagged behind, those of each segment in one. Runs that are
	// closer than runGap are one, and where there would be more than runCount the last grows.
	runGap, runCount = 512, 8
	// clockSkew is how far the clocks of those who stamp records may differ, in milliseconds.
	clockSkew = 60_000
)

// spans says where in a topic of answers those to each span of a partition's queries lie.
type spans struct {
	from int64 // the first query
	runs [][]run
}

// A run is some neighbouring records.
type run struct{ from, to int64 }

// of is the span of a query's offset.
func (s *spans) of(offset int64) int { return int((offset - s.from) / spanOffsets) }

// add notes that the record at an offset answers a query.
func (s *spans) add(query, at int64) {
	i := s.of(query)
	if query < s.from || i >= len(s.runs) {
		return
	}
	runs := s.runs[i]
	if n := len(runs); n > 0 && (at < runs[n-1].to+runGap || n == runCount) {
		runs[n-1].to = max(runs[n-1].to, at+1)
		return
	}
	s.runs[i] = append(runs, run{at, at + 1})
}

// index reads a topic of answers once. decode is for records whose header does not name their rows.
func (r *Range) index(ctx context.Context, topic string, p int32, b bounds, decode func(*schemas.Record) ([]answers.Answer, error)) (*spans, error) {
	s := &spans{from: r.from[p], runs: make([][]run, (r.to[p]-r.from[p]+spanOffsets-1)/spanOffsets)}
	first := b.first[p]
	if r.From < kafka.Earliest { // a time: no answer is older than its query
		at, err := r.Client.Offsets(ctx, topic, r.From-clockSkew)
		if err != nil {
			return nil, err
		}
		first = max(first, at[p])
	}
	reader := r.Client.Reader(topic, p, first, b.end[p])
	for more := true; more; {
		var err error
		more, err = reader.Next(ctx, func(rec *schemas.Record) error {
			signed, err := kafka.Origins(rec, func(offset int64, _, _ int32) { s.add(offset, rec.Offset) })
			if signed && err == nil {
				return nil
			}
			said, err := decode(rec)
			if err != nil {
				return nil // it answers nothing; `weir audit` tells of it
			}
			for i := range said {
				s.add(said[i].Offset, rec.Offset)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// read reads the records of a topic that answer a span, each once.
func (r *Range) read(ctx context.Context, topic string, p int32, runs []run, each func(*schemas.Record) error) error {
	for _, run := range runs {
		reader := r.Client.Reader(topic, p, run.from, run.to)
		for more := true; more; {
			var err error
			if more, err = reader.Next(ctx, each); err != nil {
				return err
			}
		}
	}
	return nil
}
