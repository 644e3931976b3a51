package stagetest

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
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
