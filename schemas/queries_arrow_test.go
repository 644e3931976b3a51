package schemas

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// decodeArrow decodes a text table that was sent as an Arrow stream.
func decodeArrow(t *testing.T, opt QueryOptions, table string) arrow.Record {
	t.Helper()
	return decodeValue(t, opt, stream(t, table))
}

func decodeValue(t *testing.T, opt QueryOptions, value []byte) arrow.Record {
	t.Helper()
	opt.Topic = "q"
	d := NewQueries(opt)
	d.Append(Record{Partition: 1, Offset: 7, Time: testStamp, Value: value})
	rec := d.Flush()
	t.Cleanup(rec.Release)
	return rec
}

var arrowSchema = Schema{Fields: []Field{{"f", Type{Kind: Float64}}, {"n", Type{Kind: Int32}},
	{"p", Type{Kind: Float32, Len: 2}}, {"s", Type{Kind: String, Null: true}}}}

func TestArrowQueries(t *testing.T) {
	noLeak(t)
	rec := decodeArrow(t, QueryOptions{Schema: arrowSchema}, `
		query_id  key  timeout_ms  event_time:timestamp     f    n:uint8  p      s     extra
		a         k    5           2026-11-23T15:42:07.5Z   1.5  7        [1 2]  x     1
		null      null null        null                     2    8        [3 4]  null  2
	`)
	wantTable(t, columnsOf(t, rec, "f", "n", "p", "s", QueryID, Key, Deadline, EventTime, Offset, Row, StatusColumn), `
		f:float64  n:int32  p      s     _query_id  _key  _deadline                 _event_time             _offset  _row  _status
		1.5        7        [1 2]  x     a          k     2026-11-23T15:42:07.128Z  2026-11-23T15:42:07.5Z  7        0     open
		2          8        [3 4]  null  q/1/7/1    null  null                      null                    7        1     open
	`)
}

// TestArrowQueriesAsJSON sends the same rows both ways.
func TestArrowQueriesAsJSON(t *testing.T) {
	noLeak(t)
	opt := QueryOptions{Schema: arrowSchema}
	a := decodeArrow(t, opt, "f:float64  n:int32  p  s  query_id\n1  2  [1 2]  x  a\nnull  2  [1 2]  x  b\n3  -4  [5 6]  null  a2\n4  4  [NaN 6]  null  c\n")
	j := decodeValue(t, opt, []byte(`[{"f":1,"n":2,"p":[1,2],"s":"x","query_id":"a"},{"f":null,"n":2,"p":[1,2],"s":"x","query_id":"b"},
		{"f":3,"n":-4,"p":[5,6],"query_id":"a2"},{"f":4,"n":4,"p":"AADAfwAAwEA=","query_id":"c"}]`))
	if got, want := FormatTable(a), FormatTable(j); got != want {
		t.Errorf("Arrow gave\n%s\nJSON\n%s", got, want)
	}
}

func TestArrowQueriesRejected(t *testing.T) {
	noLeak(t)
	for name, c := range map[string]struct{ table, want string }{
		"a column lacks":        {"query_id  f  n:int32\na  1  2\nb  1  2\n", "missing_column p\nmissing_column p"},
		"narrower":              {"f  n:int64  p\n1  2  [1 2]\n", "wrong_type n"},
		"a float as integer":    {"f  n  p\n1  2  [1 2]\n", "wrong_type n"},
		"an unsigned as signed": {"f  n:uint32  p\n1  2  [1 2]\n", "wrong_type n"},
		"length":                {"f  n:int8  p\n1  2  [1 2 3]\n", "wrong_length p"},
		"text":                  {"f:string  n:int8  p\nx  2  [1 2]\n", "wrong_type f"},
		"null":                  {"f  n:int8  p\n1  null  [1 2]\n1  1  null\n", "wrong_type n\nwrong_type p"},
		"nan":                   {"f  n:int8  p\nNaN  1  [1 2]\n1  1  [1 -Inf]\n", "not_a_number f\nnot_a_number p"},
		"all null":              {"f:null  n:int8  p\nnull  1  [1 2]\n", "wrong_type f"},
		"twice":                 {"query_id  f  n:int8  p\na  1  1  [1 2]\na  1  1  [1 2]\n", "duplicate_query_id query_id\nduplicate_query_id query_id"},
		"timeout":               {"timeout_ms  f  n:int8  p\n-1  1  1  [1 2]\n", "wrong_type timeout_ms"},
		"id":                    {"query_id:float32  f  n:int8  p\n1  1  1  [1 2]\n", "wrong_type query_id"},
	} {
		rec := decodeArrow(t, QueryOptions{Schema: arrowSchema}, c.table)
		if got := reasons(t, rec); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// reasons is a line of code and column a row.
func reasons(t *testing.T, rec arrow.Record) string {
	t.Helper()
	code, err := Column[*array.String](rec, ReasonCode)
	if err != nil {
		t.Fatal(err)
	}
	column, _ := Column[*array.String](rec, ReasonColumn)
	var lines []string
	for row := range code.Len() {
		c, _ := text(code, row)
		n, _ := text(column, row)
		lines = append(lines, strings.TrimSpace(c+" "+n))
	}
	return strings.Join(lines, "\n")
}

// TestArrowQueriesOfLists sends tensors as lists of any length, as a DataFrame of Python lists has them.
func TestArrowQueriesOfLists(t *testing.T) {
	noLeak(t)
	b := array.NewListBuilder(Allocator, arrow.PrimitiveTypes.Float32)
	for _, row := range [][]float32{{1, 2}, {3}, {4, 5, 6}, {7, 8}, {float32(math.NaN()), 1}} {
		b.Append(true)
		b.ValueBuilder().(*array.Float32Builder).AppendValues(row, nil)
	}
	b.Append(true)
	b.ValueBuilder().AppendNull()
	b.ValueBuilder().AppendNull()
	lists := b.NewArray()
	b.Release()
	whole := ownedRecord(arrow.NewSchema([]arrow.Field{field("p", lists.DataType())}, nil), []arrow.Array{lists}, 6)
	defer whole.Release()
	part := whole.NewSlice(1, 6)
	defer part.Release()
	value, err := EncodeIPC(part)
	if err != nil {
		t.Fatal(err)
	}
	rec := decodeValue(t, QueryOptions{Schema: Schema{Fields: []Field{{"p", Type{Kind: Float32, Len: 2}}}}}, value)
	if got, want := reasons(t, rec), "wrong_length p\nwrong_length p\n\nnot_a_number p\nwrong_type p"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	wantTable(t, columnsOf(t, rec, "p"), "p\n[0 0]\n[0 0]\n[7 8]\n[0 0]\n[0 0]")
}

func TestArrowTooLarge(t *testing.T) {
	noLeak(t)
	opt := QueryOptions{Schema: Schema{Fields: []Field{{"s", Type{Kind: String}}}}, Limit: 1000}
	rec := decodeArrow(t, opt, "s\n"+strings.Repeat("x", 5000)+"\nb\n")
	if got := reasons(t, rec); got != "too_large\ntoo_large" {
		t.Errorf("got %s", got)
	}
	if raw := rec.Column(index(rec, Raw)); raw.NullN() != 1 {
		t.Errorf("the bytes are kept %d times", raw.Len()-raw.NullN())
	}
}

// TestRecordsCannotExpand holds that a small record of many empty queries does not become a large batch.
func TestRecordsCannotExpand(t *testing.T) {
	noLeak(t)
	opt := QueryOptions{Schema: Schema{Fields: []Field{{"p", Type{Kind: Float64, Len: 100_000}}}}}
	for _, text := range []string{"[" + strings.Repeat("{},", 10_000) + "{}]", strings.Repeat("{}\n", 10_000)} {
		before := Allocator.InUse()
		rec := decodeValue(t, opt, []byte(text))
		if got := reasons(t, rec); got != "too_large" {
			t.Errorf("got %.50s", got)
		}
		if grown := Allocator.InUse() - before; grown > 64<<20 {
			t.Errorf("the batch takes %d bytes", grown)
		}
	}
}

func TestCounts(t *testing.T) {
	noLeak(t)
	d := NewQueries(QueryOptions{Schema: Schema{Fields: []Field{{"f", Type{Kind: Float32}}}}})
	d.Append(Record{})
	d.Append(Record{Value: []byte(`[{"f":1,"x":1,"y":2},{"f":1}]`)})
	d.Append(Record{Value: stream(t, "f  z\n1  2\n2  3\n")})
	if d.Rows() != 4 || d.Bytes() == 0 {
		t.Errorf("%d rows, %d bytes", d.Rows(), d.Bytes())
	}
	d.Flush().Release()
	if got, want := d.Counts(), (Counts{Nulls: 1, Extra: 4}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if d.Rows() != 0 || d.Bytes() != 0 || d.Flush() != nil {
		t.Error("rows are left after Flush")
	}
}

// TestDecodeDoesNotAllocate holds that a query costs no garbage beyond its share of the batch.
func TestDecodeDoesNotAllocate(t *testing.T) {
	noLeak(t)
	d := NewQueries(QueryOptions{Schema: pixelSchema(Uint8), Topic: "t"})
	r := Record{Value: pixels(pixelForms[0].next), Key: []byte("k"), Time: testStamp}
	for range 64 { // the buffers reach their size
		d.Append(r)
	}
	if got := testing.AllocsPerRun(40, func() { d.Append(r) }); got != 0 {
		t.Errorf("%v allocations a query", got)
	}
	d.Flush().Release()
}
