package schemas

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"pgregory.net/rapid"
)

// TestIPCRoundTrip encodes random records, slices among them, and compares what comes back with Arrow's
// own reader, the oracle.
func TestIPCRoundTrip(t *testing.T) {
	noLeak(t)
	rapid.Check(t, func(t *rapid.T) {
		rec, _ := drawRecord(t)
		defer rec.Release()
		b, err := EncodeIPC(rec)
		if err != nil {
			t.Fatal(err)
		}
		recs, err := DecodeIPC(b, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		defer recs[0].Release()
		if len(recs) != 1 || !recs[0].Schema().Equal(rec.Schema()) {
			t.Fatalf("got %d records, schema %v", len(recs), recs[0].Schema())
		}
		if !slices.Equal(rowsOf(recs[0]), rowsOf(rec)) {
			t.Fatalf("got %v, want %v", rowsOf(recs[0]), rowsOf(rec))
		}
		r, err := ipc.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		if r.Next(); !array.RecordApproxEqual(r.Record(), recs[0], array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
			t.Fatalf("Arrow reads %v, we %v", r.Record(), recs[0])
		}
	})
}

func TestIPCSeveralBatches(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, "a  s\n1  x\n2  null\n")
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(rec.Schema()))
	for range 3 {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	open := bytes.Clone(b.Bytes()) // a stream need not have an end marker
	w.Close()
	for _, stream := range [][]byte{open, b.Bytes()} {
		recs, err := DecodeIPC(stream, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Concat(recs)
		if err != nil {
			t.Fatal(err)
		}
		wantTable(t, got, "a  s\n1  x\n2  null\n1  x\n2  null\n1  x\n2  null")
		got.Release()
		for _, r := range recs {
			r.Release()
		}
	}
	if _, err := DecodeIPC(b.Bytes(), Limits{Rows: 5}); err == nil || !strings.Contains(err.Error(), "2 rows, the limit is 1") {
		t.Errorf("got %v", err)
	}
	if _, err := DecodeIPC(b.Bytes(), Limits{Bytes: 100}); err == nil || !strings.Contains(err.Error(), "the limit is 100") {
		t.Errorf("got %v", err)
	}
}

// stream is a small valid stream.
func stream(t testing.TB, table string) []byte {
	t.Helper()
	rec, err := ParseTable(table)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	b, err := EncodeIPC(rec)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func encodeWith(t testing.TB, rec arrow.Record, opts ...ipc.Option) []byte {
	t.Helper()
	var b bytes.Buffer
	w := ipc.NewWriter(&b, append(opts, ipc.WithSchema(rec.Schema()))...)
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.Bytes()
}

func TestIPCRefuses(t *testing.T) {
	noLeak(t)
	good := stream(t, "a  s\n1  x\n2  yy\n")
	rec := parseTable(t, "a\n1\n2\n")
	dict := array.NewDictionaryBuilder(memory.DefaultAllocator, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}).(*array.BinaryDictionaryBuilder)
	dict.AppendString("x")
	words := dict.NewArray()
	dates := array.NewBuilder(memory.DefaultAllocator, arrow.FixedWidthTypes.MonthInterval)
	dates.AppendNull()
	one := func(a arrow.Array) arrow.Record {
		return array.NewRecord(arrow.NewSchema([]arrow.Field{field("x", a.DataType())}, nil), []arrow.Array{a}, 1)
	}
	at := func(i int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[i:], v)
		return b
	}
	second := bytes.Index(good[8:], []byte{0xff, 0xff, 0xff, 0xff}) + 8
	twice := array.NewRecord(arrow.NewSchema([]arrow.Field{field("a", rec.Column(0).DataType()), field("a", rec.Column(0).DataType())}, nil),
		[]arrow.Array{rec.Column(0), rec.Column(0)}, 2)
	defer twice.Release()
	for name, c := range map[string]struct {
		bytes []byte
		want  string
	}{
		"nothing":          {nil, "no schema"},
		"no marker":        {at(0, 0x100), "no continuation marker"},
		"old framing":      {good[4:], "no continuation marker"},
		"long metadata":    {at(4, 1<<31-1), "metadata of 2147483647 bytes"},
		"negative length":  {at(4, 1<<31), "metadata of -2147483648 bytes"},
		"cut in metadata":  {good[:40], "are there"},
		"cut in body":      {good[:len(good)-16], "a body of"},
		"trailing bytes":   {append(bytes.Clone(good), 1), "behind the end"},
		"batch first":      {good[second:], "the first message is no schema"},
		"compressed":       {encodeWith(t, rec, ipc.WithZstd()), "a compressed batch"},
		"dictionary":       {encodeWith(t, one(words)), "dictionary-encoded"},
		"foreign type":     {encodeWith(t, one(dates.NewArray())), "is not taken"},
		"two of a name":    {encodeWith(t, twice), "two columns"},
		"a schema, a word": {append(bytes.Clone(good[:second]), 'x'), "no continuation marker"},
	} {
		recs, err := DecodeIPC(c.bytes, Limits{})
		var de *DecodeError
		if len(recs) != 0 || !errors.As(err, &de) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestIPCRefusesBadBuffers changes what the buffers hold, which no reader of Arrow's checks.
func TestIPCRefusesBadBuffers(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, "s\nabc\nde\n")
	for want, change := range map[string]func(offsets, data []byte){
		"offset 1 goes back":            func(o, _ []byte) { binary.LittleEndian.PutUint32(o[4:], 1<<31) },
		"offset 2 goes back":            func(o, _ []byte) { binary.LittleEndian.PutUint32(o[4:], 4); binary.LittleEndian.PutUint32(o[8:], 3) },
		"offsets up to 700":             func(o, _ []byte) { binary.LittleEndian.PutUint32(o[8:], 700) },
		"row 1 is no UTF-8":             func(_, d []byte) { d[3] = 0xff },
		`column "s": row 0 is no UTF-8`: func(_, d []byte) { d[2] = 0xc3 },
	} {
		copied := Take(rec, []int{0, 1, 0})
		part := copied.NewSlice(0, 2)
		copied.Release()
		buffers := part.Column(0).Data().Buffers()
		b, err := EncodeIPC(part)
		if err != nil {
			t.Fatal(err)
		}
		offs := bytes.Index(b, buffers[1].Bytes()[:12])
		data := bytes.Index(b, []byte("abcde"))
		change(b[offs:], b[data:])
		part.Release()
		if _, err := DecodeIPC(b, Limits{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestIPCSurvivesMutations changes a few bytes of valid streams. Whatever is accepted must be usable to the
// last value.
func TestIPCSurvivesMutations(t *testing.T) {
	noLeak(t)
	const seed = 4711
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	accepted, trials := 0, 8_000
	for i := range trials {
		rec := randomRecord(r, r.IntN(6), anyTypes[i%len(anyTypes):][:1])
		b, err := EncodeIPC(rec)
		rec.Release()
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(3) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		if useAll(b) {
			accepted++
		}
	}
	t.Logf("%d of %d damaged streams were taken", accepted, trials)
	if accepted == 0 || accepted > trials*3/4 {
		t.Error("that is not what was measured before")
	}
}

// useAll decodes b and reads every value of it.
func useAll(b []byte) bool {
	recs, err := DecodeIPC(b, Limits{Rows: 1 << 16})
	if err != nil {
		if e := new(DecodeError); !errors.As(err, &e) || strings.Contains(e.Reason, "panic") {
			panic(err)
		}
		return false
	}
	for _, rec := range recs {
		rowsOf(rec)
		n := int(rec.NumRows())
		if n > 0 {
			Take(rec, []int{n - 1, 0}).Release()
		}
		rec.Release()
	}
	return true
}

func FuzzDecodeIPC(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range anyTypes {
		rec := randomRecord(r, 3, anyTypes[i:i+1])
		b, err := EncodeIPC(rec)
		rec.Release()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		noLeak(t)
		useAll(b)
	})
}

// FuzzDecodeJSON feeds records to a decoder, and whatever it makes of them to the encoders.
func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"query_id":"a","f":1.5,"p":[1,2,3],"s":"x"}`), "")
	f.Add([]byte(`[{"f":1,"p":"AQID","s":"\u00e4"},{"f":null}]`), JSON)
	f.Add([]byte("{\"f\":1}\n{\"f\":2}\n"), NDJSON)
	f.Add(stream(f, "f  p:fixed_list<uint8>[3]  s\n1  [1 2 3]  a\n"), ArrowStream)
	schema := Schema{Fields: []Field{{"f", Type{Kind: Float32}}, {"p", Type{Kind: Uint8, Len: 3}}, {"s", Type{Kind: String, Null: true}},
		{"t", Type{Kind: Timestamp, Null: true}}}}
	f.Fuzz(func(t *testing.T, value []byte, kind string) {
		noLeak(t)
		d := NewQueries(QueryOptions{Schema: schema, Topic: "t"})
		for offset := range int64(2) {
			d.Append(Record{Offset: offset, Value: value, Headers: []Header{{ContentType, []byte(kind)}}})
		}
		rec := d.Flush()
		if rec == nil {
			if value != nil {
				t.Fatal("no row for a record")
			}
			return
		}
		defer rec.Release()
		for _, e := range []Encoder{NewPredictions(PredictionOptions{}), NewNext(), NewDead("t"), NewDecisions(DecisionOptions{Schema: schema})} {
			if _, err := e.Encode(rec); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestStreamsAsArrowWritesThem compares streams whose schema was written before with those of a writer of
// their own.
func TestStreamsAsArrowWritesThem(t *testing.T) {
	noLeak(t)
	whole := parseTable(t, answeredTable)
	var s streams
	for from := range whole.NumRows() {
		rec := whole.NewSlice(from, whole.NumRows())
		got, err := s.encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		w := ipc.NewWriter(&want, ipc.WithSchema(rec.Schema()))
		if err := errors.Join(w.Write(rec), w.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("from row %d: got\n%q\nwant\n%q", from, got, want.Bytes())
		}
		rec.Release()
	}
}
