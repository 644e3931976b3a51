package schemas

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"pgregory.net/rapid"
)

// TestTableRoundTrip holds that what FormatTable writes ParseTable reads back, types and all.
func TestTableRoundTrip(t *testing.T) {
	noLeak(t)
	var spelled []arrow.DataType
	for _, dt := range anyTypes {
		if _, ok := typeOf(dt); ok {
			spelled = append(spelled, dt)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rec := drawer{r, false}.record(rapid.IntRange(0, 6).Draw(t, "rows"), spelled)
		defer rec.Release()
		text := FormatTable(rec)
		back, err := ParseTable(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		defer back.Release()
		if !slices.Equal(rowsOf(back), rowsOf(rec)) || !back.Schema().Equal(rec.Schema()) {
			t.Fatalf("got\n%s\nwant\n%s", FormatTable(back), text)
		}
	})
}

func TestTableErrors(t *testing.T) {
	noLeak(t)
	for table, want := range map[string]string{
		"":                              "no header",
		"a  b\n1\n":                     "line 2: 1 cells, the header has 2",
		"a:flaot32\n1\n":                "did you mean float32?",
		"a:uint8\n256\n":                `column "a": row 0`,
		"a:fixed_list<uint8>[2]\n[1]\n": "1 numbers, the type says 2",
		"a\n\"x\n":                      "a quoted string does not end",
		"a\n[1 2\n":                     "a list does not end",
		"a:timestamp\nnow\n":            `column "a": row 0`,
		"a:bool\n1  \n":                 "",
	} {
		rec, err := ParseTable(table)
		if want == "" && err == nil {
			rec.Release()
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", table, err, want)
		}
	}
}

func TestTableOfOwnColumns(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, `
		_status   _row  _label  _confidence  _ran.a.wait_us  _gate.g.score  _header.x  query_id  flag  tensor   n:int64  name
		answered  1     7       0.5          9               0.25           h          5         true  [1 2.5]  3        "a b"
	`)
	want := []string{"uint8", "int32", "utf8", "float32", "int64", "float32", "binary", "utf8", "bool",
		"fixed_size_list<item: float32, nullable>[2]", "int64", "utf8"}
	for i, f := range rec.Schema().Fields() {
		if f.Type.String() != want[i] {
			t.Errorf("column %s is %s, want %s", f.Name, f.Type, want[i])
		}
	}
}
