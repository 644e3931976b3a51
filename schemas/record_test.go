package schemas

import (
	"bytes"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// Our record says of itself what arrow's own says of the same columns.
func TestRecordIsLikeArrows(t *testing.T) {
	before := Allocator.InUse()
	d := NewQueries(QueryOptions{Topic: "q", Schema: Schema{Fields: []Field{{"x", Type{Kind: Float32}}, {"v", Type{Kind: Int8, Len: 2}}}}})
	for i, text := range []string{`{"x":1,"v":[1,2]}`, `{"x":2}`, `{"x":3,"v":[5,6]}`} {
		d.Append(Record{Offset: int64(i), Value: []byte(text)})
	}
	ours := d.Flush()
	theirs := array.NewRecord(ours.Schema(), ours.Columns(), ours.NumRows())
	check := func(what string, got, want arrow.Record) {
		t.Helper()
		defer got.Release()
		defer want.Release()
		if !got.Schema().Equal(want.Schema()) || got.NumRows() != want.NumRows() || got.NumCols() != want.NumCols() {
			t.Fatalf("%s: got %d rows of %v, want %d rows of %v", what, got.NumRows(), got.Schema(), want.NumRows(), want.Schema())
		}
		a, err1 := got.MarshalJSON()
		b, err2 := want.MarshalJSON()
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: got %s (%v), want %s (%v)", what, a, err1, b, err2)
		}
	}
	check("slice", ours.NewSlice(1, 3), theirs.NewSlice(1, 3))
	check("whole", ours.NewSlice(0, 3), theirs.NewSlice(0, 3))
	check("nothing", ours.NewSlice(2, 2), theirs.NewSlice(2, 2))
	a, err1 := ours.SetColumn(0, ours.Column(0))
	b, err2 := theirs.SetColumn(0, theirs.Column(0))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	check("column", a, b)
	if _, err := ours.SetColumn(int(ours.NumCols()), ours.Column(0)); err == nil {
		t.Error("a column that is not there can be set")
	}
	check("itself", ours, theirs)
	if now := Allocator.InUse(); now != before {
		t.Errorf("%d bytes are still in use", now-before)
	}
}
