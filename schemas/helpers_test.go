package schemas

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// noLeak fails the test if Arrow memory that it took is not given back at its end.
func noLeak(t testing.TB) {
	t.Helper()
	before := Allocator.InUse()
	t.Cleanup(func() {
		if leak := Allocator.InUse() - before; leak != 0 && !t.Failed() {
			t.Errorf("%d bytes of Arrow memory leaked", leak)
		}
	})
}

// parseTable parses a text table and releases it with the test.
func parseTable(t testing.TB, text string) arrow.Record {
	t.Helper()
	rec, err := ParseTable(text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return rec
}

// wantTable compares a record with a text table, which may be indented.
func wantTable(t testing.TB, rec arrow.Record, want string) {
	t.Helper()
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(want), "\n") {
		lines = append(lines, strings.TrimSpace(l))
	}
	if got := strings.TrimSpace(FormatTable(rec)); squeeze(got) != squeeze(strings.Join(lines, "\n")) {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(lines, "\n"))
	}
}

func squeeze(s string) string {
	var lines []string
	for _, l := range strings.Split(s, "\n") {
		lines = append(lines, strings.Join(strings.Fields(l), " "))
	}
	return strings.Join(lines, "\n")
}

// columnsOf is a record's columns of those names.
func columnsOf(t testing.TB, rec arrow.Record, names ...string) arrow.Record {
	t.Helper()
	var fields []arrow.Field
	var arrays []arrow.Array
	for _, n := range names {
		i := index(rec, n)
		if i < 0 {
			t.Fatalf("no column %q in %v", n, rec.Schema())
		}
		fields, arrays = append(fields, rec.Schema().Field(i)), append(arrays, rec.Column(i))
	}
	out := array.NewRecord(arrow.NewSchema(fields, nil), arrays, rec.NumRows())
	t.Cleanup(out.Release)
	return out
}

var testStamp = time.Date(2026, 11, 23, 15, 42, 7, 123e6, time.UTC)

// anyTypes are the types that records of the tests are made of.
var anyTypes = []arrow.DataType{
	Type{Kind: Bool}.Arrow(), Type{Kind: Int8}.Arrow(), Type{Kind: Int16}.Arrow(), Type{Kind: Int32}.Arrow(),
	Type{Kind: Int64}.Arrow(), Type{Kind: Uint8}.Arrow(), Type{Kind: Uint16}.Arrow(), Type{Kind: Uint32}.Arrow(),
	Type{Kind: Uint64}.Arrow(), Type{Kind: Float32}.Arrow(), Type{Kind: Float64}.Arrow(), Type{Kind: String}.Arrow(),
	Type{Kind: Binary}.Arrow(), Type{Kind: Timestamp}.Arrow(), Type{Kind: Uint8, Len: 5}.Arrow(), Type{Kind: Float32, Len: 3}.Arrow(),
	arrow.ListOf(arrow.PrimitiveTypes.Float32), arrow.ListOf(arrow.BinaryTypes.String), sourceType, arrow.ListOf(gateType),
	arrow.StructOf(field("a", arrow.BinaryTypes.String), field("b", arrow.ListOf(arrow.PrimitiveTypes.Int32))),
	arrow.FixedSizeListOf(2, arrow.BinaryTypes.String),
}

// randomRecord has a column of each of the types, nulls among its values, and is sometimes a slice of a
// larger one.
func randomRecord(r *rand.Rand, rows int, types []arrow.DataType) arrow.Record {
	return drawer{r, true}.record(rows, types)
}

// drawer draws random values; inner allows nulls within lists.
type drawer struct {
	*rand.Rand
	inner bool
}

func (r drawer) record(rows int, types []arrow.DataType) arrow.Record {
	before, after := r.IntN(4), r.IntN(4)
	if r.IntN(2) == 0 {
		before, after = 0, 0
	}
	n := before + rows + after
	fields := make([]arrow.Field, len(types))
	arrays := make([]arrow.Array, len(types))
	for i, t := range types {
		fields[i] = field(string(rune('a'+i)), t)
		b := array.NewBuilder(Allocator, t)
		for range n {
			r.value(b, true)
		}
		arrays[i] = b.NewArray()
		b.Release()
	}
	whole := ownedRecord(arrow.NewSchema(fields, nil), arrays, n)
	defer whole.Release()
	return whole.NewSlice(int64(before), int64(before+rows))
}

var someText = []string{"", "a", "Bag", "größer", "\u2028", "a\"b\\c\n\t\x01", "0123456789012345678901234567890123456789"}

func randomValue(r *rand.Rand, b array.Builder) { drawer{r, true}.value(b, true) }

func (r drawer) value(b array.Builder, nulls bool) {
	if nulls && r.IntN(5) == 0 {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(r.IntN(2) == 0)
	case *array.Int8Builder:
		b.Append(int8(r.Uint32()))
	case *array.Int16Builder:
		b.Append(int16(r.Uint32()))
	case *array.Int32Builder:
		b.Append(int32(r.Uint32()))
	case *array.Int64Builder:
		b.Append(int64(r.Uint64()))
	case *array.Uint8Builder:
		b.Append(uint8(r.Uint32()))
	case *array.Uint16Builder:
		b.Append(uint16(r.Uint32()))
	case *array.Uint32Builder:
		b.Append(r.Uint32())
	case *array.Uint64Builder:
		b.Append(r.Uint64())
	case *array.Float32Builder:
		b.Append(float32(r.NormFloat64() * math.Pow(10, float64(r.IntN(60)-30))))
	case *array.Float64Builder:
		b.Append(r.NormFloat64() * math.Pow(10, float64(r.IntN(600)-300)))
	case *array.StringBuilder:
		b.Append(someText[r.IntN(len(someText))])
	case *array.BinaryBuilder:
		b.Append([]byte(someText[r.IntN(len(someText))] + "\xff"))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(r.Int64N(4e15)))
	case *array.FixedSizeListBuilder:
		b.Append(true)
		for range b.Type().(*arrow.FixedSizeListType).Len() {
			r.value(b.ValueBuilder(), r.inner)
		}
	case *array.ListBuilder:
		b.Append(true)
		for range r.IntN(4) {
			r.value(b.ValueBuilder(), r.inner)
		}
	case *array.StructBuilder:
		b.Append(true)
		for i := range b.NumField() {
			r.value(b.FieldBuilder(i), r.inner)
		}
	default:
		panic(b.Type().String())
	}
}

// rowsOf is a record as text, a line a row: an oracle that knows nothing of offsets and slices.
func rowsOf(rec arrow.Record) []string {
	rows := make([]string, rec.NumRows())
	for i := range rows {
		rows[i] = string(AppendRowJSON(nil, rec, i))
	}
	return rows
}
