package schemas

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// TestDecisionsByColumn builds decisions of random rows of all outcomes, whole and sliced, with and without
// the columns of some stages, and compares them with what the plain way builds.
func TestDecisionsByColumn(t *testing.T) {
	noLeak(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	schema := Schema{Fields: []Field{{"pixels", Type{Kind: Uint8, Len: 4}}, {"more", Type{Kind: Uint8, Len: 4}},
		{"store", Type{Kind: String}}, {"age", Type{Kind: Int64}}}}
	d := NewDecisions(DecisionOptions{Topic: "fashion.queries", Schema: schema}).(*decisions)
	indexes := parseTable(t, "_partition _offset _row _query_id _status _ran.x.model _ran.x.label:int32 _ran.x.scores:fixed_list<float32>[2]\n"+
		"0 1 2 a answered m 3 [1 2]\n0 2 0 b failed null null null\n0 3 0 c answered m null [4 1]\n")
	for _, whole := range []arrow.Record{parseTable(t, answeredTable), indexes} {
		for range 200 {
			rows := make([]int, 1+r.IntN(5))
			for i := range rows {
				rows[i] = r.IntN(int(whole.NumRows()))
			}
			taken := Take(whole, rows)
			from := r.Int64N(taken.NumRows())
			part := taken.NewSlice(from, from+1+r.Int64N(taken.NumRows()-from))
			drop := [][]string{nil, {Ran("heavy", RanModel), Ran("x", RanVersion)}, {Ran("light", RanScores), Ran("x", RanScores)},
				{Gate("first", GateAtLeast), Model, Late}, {Gate("first", GateScore), Stamp, "store"}}[r.IntN(5)]
			rec := Select(part, func(name string) bool { return !slices.Contains(drop, name) })
			compareDecisions(t, d, rec)
			for _, r := range []arrow.Record{taken, part, rec} {
				r.Release()
			}
		}
	}
}

func compareDecisions(t *testing.T, d *decisions, rec arrow.Record) {
	t.Helper()
	a, err := answersOf(rec)
	if err != nil {
		t.Fatal(err)
	}
	got, want := d.build(rec, &a), d.byRow(rec, &a)
	defer got.Release()
	defer want.Release()
	if !got.Schema().Equal(want.Schema()) {
		t.Fatalf("got %v, want %v", got.Schema(), want.Schema())
	}
	for row := range int(rec.NumRows()) {
		if got, want := string(AppendRowJSON(nil, got, row)), string(AppendRowJSON(nil, want, row)); got != want {
			t.Fatalf("row %d of %v: got\n%s\nwant\n%s", row, rec, got, want)
		}
	}
	if !array.RecordEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	few := ForDecisions(rec)
	defer few.Release()
	if a, err = answersOf(few); err != nil {
		t.Fatal(err)
	}
	less := d.build(few, &a)
	defer less.Release()
	if !array.RecordEqual(less, want) {
		t.Fatalf("of the columns that decisions need: got %v, want %v", less, want)
	}
}

// byRow is build written plainly, a row after the other: the oracle of build.
func (d *decisions) byRow(rec arrow.Record, a *answers) arrow.Record {
	b := array.NewRecordBuilder(Allocator, arrow.NewSchema(d.schema.Fields()[:decisionFeatures], nil))
	defer b.Release()
	n := int(rec.NumRows())
	b.Reserve(n)
	for row := range n {
		d.appendRow(b, a, row)
	}
	base := b.NewRecord()
	if len(d.small) == 0 {
		return base
	}
	defer base.Release()
	features := d.features(rec, d.schema.Field(decisionFeatures).Type)
	defer features.Release()
	return With(base, Named{"features", features})
}

func (d *decisions) appendRow(b *array.RecordBuilder, a *answers, row int) {
	at := func(i int) nested { return nested{b.Field(i)} }
	at(decisionQueryID).str(a.queryID.Value(row))
	at(decisionSource).source(d.opt.Topic, a, row)
	if a.stamp == nil || a.stamp.IsNull(row) {
		b.Field(decisionStamp).AppendNull()
	} else {
		b.Field(decisionStamp).(*array.TimestampBuilder).Append(a.stamp.Value(row))
	}
	at(decisionStatus).str(Status(a.status.Value(row)).String())
	at(decisionLate).bool(a.late != nil && a.late.IsValid(row) && a.late.Value(row))
	at(decisionEpoch).int32(0)
	names := at(decisionTensors).open().items()
	for _, t := range d.tensors {
		names.str(t)
	}
	at(decisionSelected).text(a.model, row)
	at(decisionShown).text(a.model, row)
	d.appendRan(at(decisionRan), a, row)
	at(decisionGates).gates(a.gates, row)
	at(decisionAudit).bool(false)
}

func (d *decisions) appendRan(list nested, a *answers, row int) {
	list.open()
	for i := range a.ran {
		r := &a.ran[i]
		if r.model == nil || r.model.IsNull(row) {
			continue
		}
		item := list.items().open()
		item.at(0).text(r.model, row)
		item.at(1).text(r.version, row)
		item.at(2).double(1)
		item.at(3).label(r.label, row)
		item.at(4).scores(r.scores.row(row))
	}
}

// scores appends a list of float32, null where there is none.
func (n nested) scores(s []float32) {
	if s == nil {
		n.AppendNull()
		return
	}
	n.open().items().Builder.(*array.Float32Builder).AppendValues(s, nil)
}

// label appends a label as text.
func (n nested) label(l labels, row int) {
	if l.null(row) {
		n.AppendNull()
		return
	}
	n.str(l.string(row))
}
