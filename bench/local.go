package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/bench/floor"
	"weir/pipeline"
	"weir/schemas"
)

// A work does some work again and again and says how many queries it was.
type work func(ctx context.Context) (queries int, err error)

// rate runs w for a while and gives queries a second of processor time. On a core of its own that is wall
// time; on a shared one it leaves out what others took.
func (w work) rate(ctx context.Context, d time.Duration) (float64, error) {
	began, used, n := time.Now(), cpuTime(), 0
	for time.Since(began) < d {
		k, err := w(ctx)
		if err != nil {
			return 0, err
		}
		n += k
	}
	return float64(n) / (cpuTime() - used).Seconds(), nil
}

// compare alternates two works.
func (o options) compare(ctx context.Context, name, unit string, aim float64, ours, theirs work) (Result, error) {
	r := Result{Name: name, Unit: unit, Aim: aim}
	if o.AA {
		ours = theirs
	}
	for _, w := range []work{ours, theirs} { // warm up
		if _, err := w.rate(ctx, o.Block/2); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	err := alternate(o.pairs(), func(mine bool) error {
		w, to := theirs, &r.Floor
		if mine {
			w, to = ours, &r.Ours
		}
		v, err := w.rate(ctx, o.Block)
		*to = append(*to, v)
		return err
	})
	r.Ratio = ratioOf(r.Ours, r.Floor)
	return r, err
}

// decode is benchmark (a): one JSON query of 784 numbers into a batch, against encoding/json into a struct.
func (o options) decode(ctx context.Context, emit func(Result)) error {
	for _, form := range []struct {
		name  string
		kind  schemas.Kind
		text  func([]byte) []byte
		plain func([]byte) error
	}{
		{"784 integers", schemas.Uint8, func(image []byte) []byte { return jsonQuery(id(1), image) }, plain[uint8]},
		{"784 fractions", schemas.Float32, fractions, plain[float32]},
	} {
		imgs, err := images(64)
		if err != nil {
			return err
		}
		var records []schemas.Record
		for i, image := range imgs {
			records = append(records, schemas.Record{Offset: int64(i), Value: form.text(image)})
		}
		dec := schemas.NewQueries(schemas.QueryOptions{Topic: "queries",
			Schema: schemas.Schema{Fields: []schemas.Field{{Name: "pixels", Type: schemas.Type{Kind: form.kind, Len: pixels}}}}})
		ours := func(context.Context) (int, error) {
			for _, r := range records {
				dec.Append(r)
			}
			dec.Flush().Release()
			return len(records), nil
		}
		theirs := func(context.Context) (int, error) {
			for _, r := range records {
				if err := form.plain(r.Value); err != nil {
					return 0, err
				}
			}
			return len(records), nil
		}
		r, err := o.compare(ctx, "a decode JSON, "+form.name, "queries/s", 0, ours, theirs)
		if err != nil {
			return err
		}
		emit(r)
	}
	return nil
}

// fractions is a query with pixels from 0 to 1.
func fractions(image []byte) []byte {
	b := []byte(`{"query_id":"query-0000001","pixels":[`)
	for i, v := range image {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(float32(v)/255), 'f', -1, 32)
	}
	return append(b, "]}"...)
}

// plain is encoding/json at its best: into an array, so that nothing is allocated for it.
func plain[T uint8 | float32](text []byte) error {
	var q struct {
		QueryID string `json:"query_id"`
		Pixels  [pixels]T
	}
	return json.Unmarshal(text, &q)
}

// inProcess is benchmark (b): Arrow records in, predictions out, without a broker.
func (o options) inProcess(ctx context.Context, emit func(Result)) error {
	imgs, err := images(2048)
	if err != nil {
		return err
	}
	records, err := arrowQueries(imgs)
	if err != nil {
		return err
	}
	for _, name := range []string{"linear", "fashion"} {
		m := models(o.Dir)[name]
		bare, err := o.bestLoop(ctx, m, records)
		if err != nil {
			return err
		}
		for _, form := range []struct {
			name      string
			aim       float64
			decisions bool
		}{{"", 0.85, true}, {", no decisions", 0, false}} {
			whole, err := newWhole(ctx, m, o.Dir, records, form.decisions)
			if err != nil {
				return err
			}
			r, err := o.compare(ctx, "b in process, "+name+form.name, "queries/s", form.aim, whole.run, bare.run)
			if err = firstOf(err, whole.close()); err != nil {
				return err
			}
			r.Note = fmt.Sprintf("floor's batch: %d rows", bare.rows)
			emit(r)
		}
		if err := bare.answerer.Close(); err != nil {
			return err
		}
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// bare is the floor without a broker.
type bare struct {
	answerer *floor.Answerer
	records  []Record
	rows     int // of a batch
	dec      *schemas.Queries
	out      floor.Batch
	offset   int64
}

// bestLoop finds the batch size at which the floor is fastest.
func (o options) bestLoop(ctx context.Context, m Model, records []Record) (*bare, error) {
	a, err := m.answerer(ctx)
	if err != nil {
		return nil, err
	}
	b := &bare{answerer: a, records: records, dec: schemas.NewQueries(schemas.QueryOptions{Schema: schema(), Topic: "queries"})}
	best, fastest := 0, 0.0
	for _, rows := range []int{64, 128, 256, 512, 1024} {
		b.rows = rows
		if _, err := b.run(ctx); err != nil { // grows the buffers
			return nil, err
		}
		rate, err := work(b.run).rate(ctx, o.Block/4)
		if err != nil {
			return nil, err
		}
		o.progress("b %s: floor with batches of %d rows: %.0f queries/s", m.Name, rows, rate)
		if rate > fastest {
			best, fastest = rows, rate
		}
	}
	b.rows = best
	return b, nil
}

func (b *bare) run(ctx context.Context) (queries int, err error) {
	for i, r := range b.records {
		b.offset++
		b.dec.Append(schemas.Record{Offset: b.offset, Key: r.Key, Value: r.Value, Headers: r.Headers})
		if b.dec.Rows() < b.rows && i < len(b.records)-1 {
			continue
		}
		n, err := b.flush(ctx)
		if err != nil {
			return 0, err
		}
		queries += n
	}
	return queries, nil
}

func (b *bare) flush(ctx context.Context) (int, error) {
	rec := b.dec.Flush()
	defer rec.Release()
	q, err := floor.Queries(rec)
	if err != nil {
		return 0, err
	}
	answers, err := b.answerer.Answer(ctx, q)
	if err != nil {
		return 0, err
	}
	b.out.Reset()
	b.out.Append(q, answers, b.answerer.Labels)
	b.out.Finish(time.Now())
	return q.Rows, nil
}

// deliveryRows is what a source puts in a delivery when there is a backlog.
const deliveryRows = 256

// whole is the pipeline without a broker: decoder, segment and encoders as `weir run` wires them, between a
// slice of records and nothing.
type whole struct {
	records []Record
	dec     *schemas.Queries
	owner   pipeline.Owner
	models  io.Closer
	offset  int64
}

func newWhole(ctx context.Context, m Model, dir string, records []Record, decisions bool) (*whole, error) {
	path, err := m.spec(dir, "local-"+m.Name)
	if err != nil {
		return nil, err
	}
	spec, s, all, err := segment(ctx, path)
	if err != nil {
		return nil, err
	}
	queries := spec.Topics.Queries
	s.Outputs = pipeline.Outputs{Predictions: drop{schemas.NewPredictions(schemas.PredictionOptions{Topic: queries})},
		Dead: drop{schemas.NewDead(queries)}}
	if decisions {
		s.Outputs.Decisions = drop{schemas.NewDecisions(schemas.DecisionOptions{Topic: queries, Schema: spec.Schema})}
	}
	owner, err := s.Open(ctx, pipeline.Partition{Topic: queries})
	return &whole{records: records, owner: owner, models: all,
		dec: schemas.NewQueries(schemas.QueryOptions{Schema: spec.Schema, Topic: queries, Limit: int(spec.Limits.Query)})}, err
}

func (w *whole) run(ctx context.Context) (queries int, err error) {
	for i, r := range w.records {
		w.offset++
		w.dec.Append(schemas.Record{Offset: w.offset, Time: time.Now(), Key: r.Key, Value: r.Value, Headers: r.Headers})
		if w.dec.Rows() < deliveryRows && i < len(w.records)-1 {
			continue
		}
		rec := w.dec.Flush()
		queries += int(rec.NumRows())
		err := w.owner.Deliver(ctx, pipeline.Delivery{Rows: rec, Next: w.offset + 1, Routed: func() {}})
		rec.Release()
		if err != nil {
			return 0, err
		}
		w.owner.Mark(w.offset + 1)
	}
	return queries, nil
}

func (w *whole) close() error { return firstOf(w.owner.Close(), w.models.Close()) }

// drop is a sink that encodes and forgets.
type drop struct{ encoder schemas.Encoder }

// Open implements pipeline.Sink.
func (d drop) Open(context.Context, pipeline.Partition, pipeline.Position) (pipeline.Writer, error) {
	return d, nil
}

// Done implements pipeline.Writer.
func (drop) Done() pipeline.RowSet { return pipeline.NoRows{} }

// Epoch implements pipeline.Writer.
func (drop) Epoch() int32 { return 0 }

// Position implements pipeline.Writer.
func (drop) Position() pipeline.Position { return pipeline.Position{0} }

// Close implements pipeline.Writer.
func (drop) Close() error { return nil }

// Write implements pipeline.Writer.
func (d drop) Write(_ context.Context, b arrow.Record) error {
	_, err := d.encoder.Encode(b)
	return err
}
