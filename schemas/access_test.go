package schemas

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"pgregory.net/rapid"
)

func drawRecord(t *rapid.T) (arrow.Record, *rand.Rand) {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	return randomRecord(r, rapid.IntRange(0, 40).Draw(t, "rows"), anyTypes), r
}

func TestTake(t *testing.T) {
	noLeak(t)
	rapid.Check(t, func(t *rapid.T) {
		rec, r := drawRecord(t)
		defer rec.Release()
		all := rowsOf(rec)
		rows := make([]int, 0)
		want := []string{}
		for range rapid.IntRange(0, 30).Draw(t, "take") {
			if len(all) > 0 {
				rows = append(rows, r.IntN(len(all)))
				want = append(want, all[rows[len(rows)-1]])
			}
		}
		got := Take(rec, rows)
		defer got.Release()
		if !slices.Equal(rowsOf(got), want) {
			t.Fatalf("rows %v: got %v, want %v", rows, rowsOf(got), want)
		}
		again := Take(got, []int{}) // of a result that is no slice
		again.Release()
	})
}

func TestTakeOfNeighboursSharesMemory(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, "a  p\n1  [1 2]\n2  [3 4]\n3  [5 6]\n")
	before := Allocator.InUse()
	got := Take(rec, []int{1, 2})
	defer got.Release()
	if Allocator.InUse() != before {
		t.Error("a run of neighbours was copied")
	}
	wantTable(t, got, "a  p\n2  [3 4]\n3  [5 6]")
}

func TestSplitAndConcat(t *testing.T) {
	noLeak(t)
	rapid.Check(t, func(t *rapid.T) {
		rec, r := drawRecord(t)
		defer rec.Release()
		all := rowsOf(rec)
		pick := make([]bool, len(all))
		wantYes, wantNo := []string{}, []string{}
		for i, row := range all {
			if pick[i] = r.IntN(2) == 0; pick[i] {
				wantYes = append(wantYes, row)
			} else {
				wantNo = append(wantNo, row)
			}
		}
		yes, no := Split(rec, func(row int) bool { return pick[row] })
		defer yes.Release()
		defer no.Release()
		if !slices.Equal(rowsOf(yes), wantYes) || !slices.Equal(rowsOf(no), wantNo) {
			t.Fatalf("split by %v: got %v and %v", pick, rowsOf(yes), rowsOf(no))
		}
		glued, err := Concat([]arrow.Record{yes, no, yes})
		if err != nil {
			t.Fatal(err)
		}
		defer glued.Release()
		if want := slices.Concat(wantYes, wantNo, wantYes); !slices.Equal(rowsOf(glued), want) {
			t.Fatalf("concat: got %v, want %v", rowsOf(glued), want)
		}
	})
}

func TestConcatFillsMissingColumnsWithNulls(t *testing.T) {
	noLeak(t)
	for _, dt := range anyTypes {
		b := array.NewBuilder(Allocator, dt)
		randomValue(rand.New(rand.NewPCG(7, 7)), b)
		col := b.NewArray()
		b.Release()
		left := ownedRecord(arrow.NewSchema([]arrow.Field{field("x", dt)}, nil), []arrow.Array{col}, 1)
		right := parseTable(t, "y\n1\n2\n")
		got, err := Concat([]arrow.Record{left, right, left})
		if err != nil {
			t.Fatal(err)
		}
		var nulls []bool
		for row := range 4 {
			nulls = append(nulls, got.Column(0).IsNull(row) && !left.Column(0).IsNull(0))
		}
		if want := []bool{false, true, true, false}; !left.Column(0).IsNull(0) && !reflect.DeepEqual(nulls, want) {
			t.Errorf("%s: nulls %v", dt, nulls)
		}
		back, err := EncodeIPC(got) // the nulls' buffers are whole
		if err != nil {
			t.Fatal(err)
		}
		recs, err := DecodeIPC(back, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", dt, err)
		}
		recs[0].Release()
		got.Release()
		left.Release()
	}
}

func TestConcatOfTwoTypes(t *testing.T) {
	noLeak(t)
	_, err := Concat([]arrow.Record{parseTable(t, "x\n1\n"), parseTable(t, "x:int64\n1\n")})
	if err == nil || !strings.Contains(err.Error(), `column "x" is both float32 and int64`) {
		t.Errorf("got %v", err)
	}
	if _, err := Concat(nil); err == nil {
		t.Error("nothing was concatenated")
	}
}

func TestWithAndSelect(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, "a  b\n1  x\n2  y\n")
	other := parseTable(t, "n:int64\n7\n8\n")
	got := With(rec, Named{"a", other.Column(0)}, Named{"c", rec.Column(0)})
	defer got.Release()
	wantTable(t, got, "a:int64  b  c\n7  x  1\n8  y  2")
	some := Select(got, func(name string) bool { return name != "b" })
	defer some.Release()
	wantTable(t, some, "a:int64  c\n7  1\n8  2")
}

func TestColumnErrors(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, "amount  n:int64\n1  2\n")
	if _, err := Column[*array.Float32](rec, "amuont"); err == nil || !strings.Contains(err.Error(), `did you mean "amount"?`) {
		t.Errorf("got %v", err)
	}
	if _, err := Column[*array.Float32](rec, "n"); err == nil || !strings.Contains(err.Error(), `column "n" is int64`) {
		t.Errorf("got %v", err)
	}
	if col, err := Column[*array.Float32](rec, "amount"); err != nil || col.Value(0) != 1 {
		t.Errorf("got %v, %v", col, err)
	}
}

func TestEmpty(t *testing.T) {
	noLeak(t)
	var fields []arrow.Field
	for i, dt := range anyTypes {
		fields = append(fields, field(fmt.Sprint(i), dt))
	}
	rec := Empty(arrow.NewSchema(fields, nil))
	defer rec.Release()
	if rec.NumRows() != 0 || rec.NumCols() != int64(len(anyTypes)) {
		t.Errorf("got %v", rec)
	}
}
