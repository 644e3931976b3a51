package stagetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"weir/pipeline"
	"weir/schemas"
)

// Laws checks the three laws of a stage on random batches:
//
//  1. Identity: the same rows in the same order; columns are only added or replaced.
//  2. Row-local: splitting a batch anywhere and gluing the results, or permuting its rows, changes nothing.
//  3. Sameness: the same rows always get the same answer, from many goroutines too. Zero rows give the
//     output's schema.
//
// It checks also that the stage leaves its input alone and leaks no Arrow memory; so it must not run beside
// parallel tests. A failure prints the seed that repeats it.
func Laws(t *testing.T, stage pipeline.Stage, opts ...Option) {
	t.Helper()
	o := options{keep: map[string]bool{}}
	for _, opt := range opts {
		opt(&o)
	}
	inUse := schemas.Allocator.InUse()
	samples := o.samples(t, stage)
	rapid.Check(t, func(rt *rapid.T) {
		l := laws{T: rt, stage: stage, tolerance: o.tolerance}
		in := o.batch(rt, samples[rapid.IntRange(0, len(samples)-1).Draw(rt, "sample")])
		defer in.Release()
		l.check(in)
	})
	for _, s := range samples {
		s.Release()
	}
	if leak := schemas.Allocator.InUse() - inUse; leak != 0 && !t.Failed() {
		t.Errorf("the stage leaked %d bytes of Arrow memory", leak)
	}
}

// laws checks one batch.
type laws struct {
	*rapid.T
	stage     pipeline.Stage
	tolerance float64
}

func (l laws) check(in arrow.Record) {
	before := schemas.FormatTable(in)
	out := l.run(in)
	defer out.Release()
	if after := schemas.FormatTable(in); after != before {
		l.Fatalf("the stage changed its input from\n%s\nto\n%s", before, after)
	}
	l.identity(in, out)
	l.empty(in, out)
	l.split(in, out)
	l.permute(in, out)
	l.repeat(in, out)
}

func (l laws) run(in arrow.Record) arrow.Record {
	out, err := l.stage.Process(context.Background(), in)
	if err != nil {
		l.Fatalf("the stage failed: %v\non\n%s", err, schemas.FormatTable(in))
	}
	defer out.Release()
	return withoutTrace(out)
}

func (l laws) identity(in, out arrow.Record) {
	if in.NumRows() != out.NumRows() {
		l.Fatalf("law 1, identity: %d rows in, %d out", in.NumRows(), out.NumRows())
	}
	for i, f := range in.Schema().Fields() {
		at := out.Schema().FieldIndices(f.Name)
		if len(at) == 0 && !trace(f.Name) {
			l.Fatalf("law 1, identity: column %q is gone", f.Name)
		}
		if isIdentity(f.Name) && !array.Equal(in.Column(i), out.Column(at[0])) {
			l.Fatalf("law 1, identity: column %q changed from %v to %v", f.Name, in.Column(i), out.Column(at[0]))
		}
	}
}

func isIdentity(name string) bool {
	switch name {
	case schemas.Partition, schemas.Offset, schemas.Row, schemas.QueryID, schemas.Key, schemas.Stamp, schemas.EventTime:
		return true
	}
	return false
}

func (l laws) split(in, out arrow.Record) {
	n := in.NumRows()
	cut := rapid.Int64Range(0, n).Draw(l.T, "cut")
	parts := make([]arrow.Record, 2)
	for i, span := range [2][2]int64{{0, cut}, {cut, n}} {
		half := in.NewSlice(span[0], span[1])
		parts[i] = l.run(half)
		half.Release()
		defer parts[i].Release()
	}
	glued, err := schemas.Concat(parts)
	if err != nil {
		l.Fatalf("law 2, row-local: split at %d: %v", cut, err)
	}
	defer glued.Release()
	l.same(fmt.Sprintf("law 2, row-local: split at %d", cut), in, glued, out)
}

func (l laws) permute(in, out arrow.Record) {
	order := make([]int, in.NumRows())
	for i := range order {
		order[i] = i
	}
	order = rapid.Permutation(order).Draw(l.T, "order")
	moved, want := schemas.Take(in, order), schemas.Take(out, order)
	defer moved.Release()
	defer want.Release()
	got := l.run(moved)
	defer got.Release()
	l.same(fmt.Sprintf("law 2, row-local: in the order %v", order), in, got, want)
}

func (l laws) repeat(in, out arrow.Record) {
	again := l.run(in)
	defer again.Release()
	l.same("law 3, sameness: the same input again", in, again, out)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			got, err := l.stage.Process(context.Background(), in)
			if err != nil {
				return err
			}
			defer got.Release()
			answer := withoutTrace(got)
			defer answer.Release()
			return l.differ(answer, out)
		})
	}
	if err := g.Wait(); err != nil {
		l.Fatalf("law 3, sameness: four at once: %v\non\n%s", err, schemas.FormatTable(in))
	}
}

func (l laws) empty(in, out arrow.Record) {
	none := in.NewSlice(0, 0)
	defer none.Release()
	got := l.run(none)
	defer got.Release()
	if got.NumRows() != 0 {
		l.Fatalf("zero rows in, %d out", got.NumRows())
	}
	if err := sameTypes(got, out); err != nil {
		l.Fatalf("zero rows: %v", err)
	}
}

// same fails unless got equals want.
func (l laws) same(law string, in, got, want arrow.Record) {
	if err := l.differ(got, want); err != nil {
		l.Fatalf("%s: %v\non\n%s", law, err, schemas.FormatTable(in))
	}
}

func (l laws) differ(got, want arrow.Record) error {
	if err := sameTypes(got, want); err != nil {
		return err
	}
	opts := []array.EqualOption{array.WithNaNsEqual(true), array.WithAbsTolerance(l.tolerance)}
	for i := range int(want.NumCols()) {
		if !array.ApproxEqual(got.Column(i), want.Column(i), opts...) {
			return fmt.Errorf("column %q is\n%v\nand not\n%v", want.ColumnName(i), got.Column(i), want.Column(i))
		}
	}
	return nil
}

func sameTypes(got, want arrow.Record) error {
	if got.NumCols() != want.NumCols() {
		return fmt.Errorf("the columns are %v and not %v", names(got), names(want))
	}
	for i, f := range want.Schema().Fields() {
		g := got.Schema().Field(i)
		if g.Name != f.Name || !arrow.TypeEqual(g.Type, f.Type) {
			return fmt.Errorf("column %d is %s %s and not %s %s", i, g.Name, g.Type, f.Name, f.Type)
		}
	}
	return nil
}

func names(rec arrow.Record) []string {
	out := make([]string, rec.NumCols())
	for i := range out {
		out[i] = rec.ColumnName(i)
	}
	return out
}
