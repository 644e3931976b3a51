package stagetest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"weir/pipeline"
	"weir/schemas"
)

// Option changes what Laws does.
type Option func(*options)

type options struct {
	files     []string
	sample    string
	tolerance float64
	keep      map[string]bool
}

// File takes the random batches' columns from another table file than testdata/STAGE.txt, where STAGE is
// the stage's type in lower case.
func File(name string) Option {
	return func(o *options) { o.files = append(o.files, name) }
}

// Sample takes the random batches' columns from this table.
func Sample(table string) Option { return func(o *options) { o.sample = table } }

// Tolerance allows floats of the output to differ by that much: on a device the batch's size may change the
// last bits. Default 0.
func Tolerance(by float64) Option { return func(o *options) { o.tolerance = by } }

// Keep leaves columns as the table has them; all other numbers of the user's are replaced by random ones.
func Keep(columns ...string) Option {
	return func(o *options) {
		for _, c := range columns {
			o.keep[c] = true
		}
	}
}

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

// samples are the input tables of all cases that do not end in an error.
func (o *options) samples(t *testing.T, stage pipeline.Stage) []arrow.Record {
	t.Helper()
	inputs := []string{o.sample}
	if o.sample == "" {
		inputs = o.inputs(t, stage)
	}
	var samples []arrow.Record
	for _, text := range inputs {
		rec, err := schemas.ParseTable(text)
		if err != nil {
			t.Fatalf("stagetest: sample: %v", err)
		}
		if rec.NumRows() == 0 {
			rec.Release()
			continue
		}
		samples = append(samples, rec)
	}
	if len(samples) == 0 {
		t.Fatal("stagetest: no case has rows and no error")
	}
	return samples
}

func (o *options) inputs(t *testing.T, stage pipeline.Stage) (inputs []string) {
	t.Helper()
	files := o.files
	if len(files) == 0 {
		typ := reflect.TypeOf(stage)
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		files = []string{filepath.Join("testdata", strings.ToLower(typ.Name())+".txt")}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("stagetest: %v; name the table with stagetest.File or stagetest.Sample", err)
		}
		cases, err := parseCases(string(text))
		if err != nil {
			t.Fatalf("stagetest: %s: %v", file, err)
		}
		for _, c := range cases {
			if !strings.HasPrefix(c.expected, "error: ") {
				inputs = append(inputs, c.input)
			}
		}
	}
	return inputs
}

// batch makes a random batch of a sample's rows: each is one of the sample's, with numbers of the user's
// columns drawn anew. Every row has a place of its own.
func (o *options) batch(rt *rapid.T, sample arrow.Record) arrow.Record {
	n := rapid.IntRange(1, 12).Draw(rt, "rows")
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
	rows := make([]int, n)
	for i := range rows {
		rows[i] = r.IntN(int(sample.NumRows()))
	}
	rec := schemas.Take(sample, rows)
	defer rec.Release()
	var cols []schemas.Named
	for i, f := range rec.Schema().Fields() {
		if !o.keep[f.Name] && !schemas.Reserved(f.Name) {
			if a := redraw(rec.Column(i), r); a != nil {
				cols = append(cols, schemas.Named{Name: f.Name, Array: a})
			}
		}
	}
	cols = append(cols, places(n)...)
	defer func() {
		for _, c := range cols {
			c.Array.Release()
		}
	}()
	return schemas.With(rec, cols...)
}

func places(n int) []schemas.Named {
	partition, row := array.NewInt32Builder(schemas.Allocator), array.NewInt32Builder(schemas.Allocator)
	offset := array.NewInt64Builder(schemas.Allocator)
	defer partition.Release()
	defer row.Release()
	defer offset.Release()
	for i := range n {
		partition.Append(3)
		offset.Append(int64(1000 + i/2))
		row.Append(int32(i % 2))
	}
	return []schemas.Named{{Name: schemas.Partition, Array: partition.NewArray()},
		{Name: schemas.Offset, Array: offset.NewArray()}, {Name: schemas.Row, Array: row.NewArray()}}
}

// redraw is a number column with about half of its values drawn anew; nulls stay. nil for other types.
func redraw(a arrow.Array, r *rand.Rand) arrow.Array {
	b := array.NewBuilder(schemas.Allocator, a.DataType())
	defer b.Release()
	list, isList := a.(*array.FixedSizeList)
	for row := range a.Len() {
		if a.IsNull(row) {
			b.AppendNull()
			continue
		}
		if !isList {
			if !appendNumber(b, a, row, r) {
				return nil
			}
			continue
		}
		fixed := b.(*array.FixedSizeListBuilder)
		fixed.Append(true)
		from, to := list.ValueOffsets(row)
		for i := from; i < to; i++ {
			if !appendNumber(fixed.ValueBuilder(), list.ListValues(), int(i), r) {
				return nil
			}
		}
	}
	return b.NewArray()
}

func appendNumber(b array.Builder, a arrow.Array, row int, r *rand.Rand) bool {
	fresh := r.IntN(2) == 0
	switch b := b.(type) {
	case *array.Float32Builder:
		v := a.(*array.Float32).Value(row)
		if fresh {
			v = float32(r.NormFloat64() * math.Pow(10, float64(r.IntN(4)-1)))
		}
		b.Append(v)
	case *array.Float64Builder:
		v := a.(*array.Float64).Value(row)
		if fresh {
			v = r.NormFloat64() * math.Pow(10, float64(r.IntN(4)-1))
		}
		b.Append(v)
	case *array.Uint8Builder:
		v := a.(*array.Uint8).Value(row)
		if fresh {
			v = uint8(r.IntN(256))
		}
		b.Append(v)
	case *array.Int32Builder:
		v := a.(*array.Int32).Value(row)
		if fresh {
			v = int32(r.IntN(2001) - 1000)
		}
		b.Append(v)
	case *array.Int64Builder:
		v := a.(*array.Int64).Value(row)
		if fresh {
			v = int64(r.IntN(2001) - 1000)
		}
		b.Append(v)
	default:
		return false
	}
	return true
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
	l.split(in, out)
	l.permute(in, out)
	l.repeat(in, out)
	l.empty(in, out)
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
