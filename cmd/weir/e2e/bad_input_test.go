package e2e_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	arrowType = "application/vnd.apache.arrow.stream"
	linesType = "application/x-ndjson"
)

// A row is what must become of one row of a record: an answer with that label, or a rejection.
type row struct{ id, label, code, column, message string }

func answered(id, label string) row { return row{id: id, label: label} }

func rejected(code, column, message string) row {
	return row{code: code, column: column, message: message}
}

// A badRecord is one that no pipeline likes, and what must become of its rows; dead says that its bytes, or
// the beginning of them, must be found in the dead topic.
type badRecord struct {
	name        string
	value       []byte
	contentType string
	rows        []row
	dead        []byte
}

func badRecords() []badRecord {
	text := func(name, value string, rows ...row) badRecord {
		return badRecord{name: name, value: []byte(value), rows: rows}
	}
	garbage := func(name, value, contentType, message string) badRecord {
		return badRecord{name: name, value: []byte(value), contentType: contentType, dead: []byte(value),
			rows: []row{rejected("undecodable", "", message)}}
	}
	good := arrowStream(xColumn([]float32{8, 0, 0, 0}, []float32{0, 1, 0, 0}))
	records := []badRecord{
		garbage("no JSON", `hello`, "", "byte 0"),
		garbage("half an object", `{"query_id":"half","x":[8,0`, "", ""),
		garbage("two objects", `{"x":[8,0,0,0]} {"x":[8,0,0,0]}`, "", ""),
		garbage("a number", `42`, "", "object"),
		garbage("an empty value", "", "", ""),
		garbage("white space", " \n\t ", "", ""),
		garbage("no queries", `[]`, "", "no query"),
		garbage("a byte order mark", "\xef\xbb\xbf"+`{"x":[8,0,0,0]}`, "", ""),
		garbage("bytes that are no text", `{"x":[8,0,0,0],`+"\xff\xfe"+`}`, "", ""),
		garbage("a column twice", `{"x":[8,0,0,0],"x":[0,8,0,0]}`, "", "column x stands twice"),
		garbage("an array that breaks off", `[{"query_id":"a","x":[8,0,0,0]},{"query_id":"b",`, "", ""),
		garbage("a deep well", `{"x":[8,0,0,0],"well":`+strings.Repeat("[", 100_000), "", ""),
		garbage("Arrow by its header only", `{"x":[8,0,0,0]}`, arrowType, ""),
		garbage("Arrow by its first bytes only", "\xff\xff\xff\xff"+strings.Repeat("\x07\x01garbage", 50), "", ""),
		garbage("truncated Arrow", string(good[:len(good)-60]), arrowType, ""),
		garbage("Arrow without rows", string(arrowStream(xColumn())), arrowType, "no query"),

		text("a missing column", `{"query_id":"missing","store":"a"}`, rejected("missing_column", "x", "")),
		text("text for numbers", `{"x":"no base64!"}`, rejected("wrong_type", "x", "")),
		text("a number for a tensor", `{"x":8}`, rejected("wrong_type", "x", "")),
		text("an object for a tensor", `{"x":{"0":8}}`, rejected("wrong_type", "x", "")),
		text("text among numbers", `{"x":[8,0,"0",0]}`, rejected("wrong_type", "x", "")),
		text("a number for text", `{"x":[8,0,0,0],"store":7}`, rejected("wrong_type", "store", "")),
		text("a number beyond float32", `{"x":[8,0,1e39,0]}`, rejected("wrong_type", "x", "")),
		text("null for a column", `{"x":null}`, rejected("wrong_type", "x", "null")),
		text("null in a tensor", `{"x":[8,null,0,0]}`, rejected("wrong_type", "x", "null")),
		text("NaN", `{"x":[8,NaN,0,0]}`, rejected("not_a_number", "x", "")),
		text("too few numbers", `{"query_id":"short","x":[8,0,0]}`, rejected("wrong_length", "x", "3 numbers, the schema says 4")),
		text("too many numbers", `{"x":[8,0,0,0,0]}`, rejected("wrong_length", "x", "5 numbers, the schema says 4")),
		text("too few bytes", `{"x":"AAAAQQAAAAAAAAAA"}`, rejected("wrong_length", "x", "")),
		text("no timeout", `{"x":[8,0,0,0],"timeout_ms":"soon"}`, rejected("wrong_type", "timeout_ms", "")),

		text("columns that nobody knows", `{"query_id":"extra","x":[8,0,0,0],"surprise":[1,{"a":null}],"more":true}`, answered("extra", "red")),
		text("an id that is no UTF-8", `{"query_id":"`+"id \xff"+`","x":[8,0,0,0]}`, answered("id \ufffd", "red")),
		text("an id twice", `[{"query_id":"first","x":[8,0,0,0]},{"query_id":"twin","x":[0,8,0,0]},{"query_id":"twin","x":[0,8,0,0]},{"query_id":"last","x":[0,0,8,0]}]`,
			answered("first", "red"), rejected("duplicate_query_id", "query_id", "twin"), rejected("duplicate_query_id", "query_id", "twin"), answered("last", "blue")),
		text("a bad query among good ones", `[{"query_id":"before","x":[8,0,0,0]},{"query_id":"between","x":[8]},{"query_id":"after","x":[0,0,0,8]}]`,
			answered("before", "red"), rejected("wrong_length", "x", "1 numbers"), answered("after", "grey")),
		{name: "a bad line among good ones", contentType: linesType,
			value: []byte(`{"query_id":"line 1","x":[8,0,0,0]}` + "\n" + `{"query_id":"line 2"` + "\n" + `{"query_id":"line 3","x":[0,8,0,0]}` + "\n"),
			rows:  []row{answered("line 1", "red"), rejected("undecodable", "", ""), answered("line 3", "green")}, dead: []byte(`{"query_id":"line 2"`)},
		{name: "Arrow", value: good, rows: []row{{label: "red"}, {label: "green"}}},
		{name: "Arrow of another type", value: arrowStream(column("x", array.NewStringBuilder, "8", "0")), contentType: arrowType,
			rows: []row{rejected("wrong_type", "x", "utf8"), rejected("wrong_type", "x", "utf8")}},
		{name: "Arrow without the column", value: arrowStream(column("y", array.NewFloat32Builder, 8)), contentType: arrowType,
			rows: []row{rejected("missing_column", "x", "")}},
		{name: "Arrow with NaN", value: arrowStream(xColumn([]float32{8, 0, 0, 0}, []float32{8, 0, nan, 0})), contentType: arrowType,
			rows: []row{{label: "red"}, rejected("not_a_number", "x", "")}},
		{name: "Arrow of another length", value: arrowStream(xColumn([]float32{8, 0, 0})), contentType: arrowType,
			rows: []row{rejected("wrong_length", "x", "3 numbers, the schema says 4")}},
	}
	large := fmt.Appendf(nil, `{"query_id":"large","x":[8,0,0,0],"ballast":"%s"}`, bytes.Repeat([]byte("ballast "), 20<<20/8))
	broken := append([]byte(`{"query_id":"large and broken",`), large...)
	return append(records,
		badRecord{name: "20 MB", value: large, dead: large[:1000], rows: []row{rejected("too_large", "", "the limit is 1048576")}},
		badRecord{name: "20 MB of no JSON", value: broken, dead: broken[:1000], rows: []row{rejected("undecodable", "", "")}},
	)
}

// Every kind of bad input gets one rejection for each of its rows, which says what is wrong and where, and
// its bytes are kept if nobody could read them. Its neighbours, before and after it in the partition and in
// the same record, are answered as ever. Nothing stops, nothing stays behind.
func TestBadInput(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.toyFiles(t)
		c.createTopic(t, p.topic("queries"), partitions, map[string]string{"max.message.bytes": "33554432"})
		w := p.create(t).work(t)
		bad := badRecords()
		var records []*kgo.Record
		good := 0
		neighbour := func(partition int) {
			records = append(records, &kgo.Record{Topic: p.topic("queries"), Partition: int32(partition), Value: []byte(toyQuery(good).json())})
			good++
		}
		at := make([]*kgo.Record, len(bad))
		for i, b := range bad {
			neighbour(i % partitions)
			at[i] = &kgo.Record{Topic: p.topic("queries"), Partition: int32(i % partitions), Value: b.value}
			if b.contentType != "" {
				at[i].Headers = []kgo.RecordHeader{{Key: "content-type", Value: []byte(b.contentType)}}
			}
			null := &kgo.Record{Topic: p.topic("queries"), Partition: int32(i % partitions)}
			records = append(records, at[i], null)
			neighbour(i % partitions)
		}
		publish(t, p.client(t), records...)
		for part := range partitions {
			last := &kgo.Record{Topic: p.topic("queries"), Partition: int32(part), Value: []byte(toyQuery(good).json())}
			publish(t, p.client(t), last)
			good++
		}
		p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)

		got := p.predictions(t)
		byRef := got.all(t)
		rows := good
		for i, b := range bad {
			for n, want := range b.rows {
				rows++
				ref := fmt.Sprintf("%d.%d.%d", at[i].Partition, at[i].Offset, n)
				if len(byRef[ref]) != 1 {
					t.Errorf("%s, row %d: %d predictions, want 1", b.name, n, len(byRef[ref]))
					continue
				}
				want.check(t, b.name, byRef[ref][0])
			}
		}
		if len(byRef) != rows {
			t.Errorf("predictions of %d rows, want %d", len(byRef), rows)
		}
		checkToys(t, byRef, good)
		checkDead(t, p, bad, at)
		for what, want := range map[string]float64{
			`weir_skipped_total{what="null_record"}`:    float64(len(bad)),
			`weir_skipped_total{what="unknown_column"}`: 5, // well; surprise and more; ballast; y of Arrow
		} {
			if got := w.metric(t, what); got != want {
				t.Errorf("%s: got %v, want %v", what, got, want)
			}
		}
		eventually(t, "no lag", func() bool { return w.metric(t, "weir_lag_rows") == 0 })
	})
}

func (r row) check(t *testing.T, name string, p prediction) {
	t.Helper()
	var faults []string
	want := func(what string, ok bool) {
		if !ok {
			faults = append(faults, what)
		}
	}
	want("id", r.id == "" || p.QueryID == r.id)
	want("source", p.Ref == fmt.Sprintf("%d.%d.%d", p.Source.Partition, p.Source.Offset, p.Source.Row) && strings.HasSuffix(p.Source.Topic, ".queries"))
	if r.code == "" {
		want("answer", p.Status == "answered" && p.Label == r.label && p.Reason.Code == "")
	} else {
		want("status", p.Status == "rejected" && p.Label == "" && p.Scores == nil && p.Model == "")
		want("code", p.Reason.Code == r.code)
		want("column", p.Reason.Column == r.column)
		want("message", p.Reason.Message != "" && strings.Contains(p.Reason.Message, r.message))
	}
	if len(faults) > 0 {
		t.Errorf("%s: wrong %s: got %s, want %+v", name, strings.Join(faults, ", "), p.record.Value, r)
	}
}

// checkDead finds each dead record's bytes, and why and whence in its headers.
func checkDead(t *testing.T, p pipe, bad []badRecord, at []*kgo.Record) {
	t.Helper()
	letters := map[string]*kgo.Record{} // by source
	for _, r := range p.records(t, p.topic("dead"), partitions) {
		source := header(r, "weir-source")
		if letters[source] != nil {
			t.Errorf("two dead letters from %s", source)
		}
		letters[source] = r
	}
	want := 0
	for i, b := range bad {
		if b.dead == nil {
			continue
		}
		want++
		n := slices.IndexFunc(b.rows, func(r row) bool { return r.code != "" })
		source := fmt.Sprintf("%s/%d/%d/%d", p.topic("queries"), at[i].Partition, at[i].Offset, n)
		letter := letters[source]
		switch {
		case letter == nil:
			t.Errorf("%s: no dead letter from %s", b.name, source)
		case len(b.value) > 1<<20: // more than the dead topic takes, too
			if header(letter, "weir-reason") != "too_large" || header(letter, "weir-truncated") != "true" || !bytes.HasPrefix(letter.Value, b.dead) {
				t.Errorf("%s: %d bytes, headers %s; want the beginning of the record, too_large and truncated", b.name, len(letter.Value), letter.Headers)
			}
		case header(letter, "weir-reason") != b.rows[n].code || header(letter, "weir-message") == "":
			t.Errorf("%s: headers %s, want the reason %s and a message", b.name, letter.Headers, b.rows[n].code)
		case !bytes.Equal(letter.Value, b.dead):
			t.Errorf("%s: got %q, want %q", b.name, letter.Value, b.dead)
		}
	}
	if len(letters) != want {
		t.Errorf("%d dead letters, want %d", len(letters), want)
	}
}

// `unknown: reject` refuses what is ignored otherwise.
func TestUnknownColumn(t *testing.T) {
	t.Parallel()
	p := embedded(t).toyPipe(t, "unknown: reject")
	p.work(t)
	out := weir(t, "", "ask", p.spec, `{"query_id":"q","x":[8,0,0,0],"surprise":1}`, "--broker", p.addr)
	pr, err := parsePrediction(&kgo.Record{Value: []byte(out)})
	if err != nil {
		t.Fatal(err)
	}
	rejected("wrong_type", "surprise", "").check(t, "an unknown column", pr)
}

// A prediction that its topic does not take is told as failed, so that nobody waits for it.
func TestPredictionTooLarge(t *testing.T) {
	t.Parallel()
	p := embedded(t).toyFiles(t, "columns: [store]")
	p.createTopic(t, p.topic("predictions"), partitions, map[string]string{"max.message.bytes": "4000"})
	p.create(t).work(t)
	records := toyRecords(p.topic("queries"), 0, 30)
	records[7].Value = fmt.Appendf(nil, `{"query_id":"long","x":[8,0,0,0],"store":"%s"}`, strings.Repeat("store ", 1000))
	publish(t, p.client(t), records...)
	got := p.predictions(t)
	got.await(t, 30)
	for id, pr := range got.once(t) {
		switch {
		case id != "long" && pr.Status != "answered":
			t.Errorf("got %s, want it answered", pr.record.Value)
		case id == "long" && (pr.Status != "failed" || pr.Reason.Code != "too_large" || !strings.Contains(pr.Reason.Message, p.topic("predictions"))):
			t.Errorf("got %s, want it to have failed, as too large for its topic", pr.record.Value)
		}
	}
}

// arrowStream writes columns as one batch of an Arrow IPC stream.
func arrowStream(columns ...field) []byte {
	var fields []arrow.Field
	var arrays []arrow.Array
	for _, c := range columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.array.DataType(), Nullable: true})
		arrays = append(arrays, c.array)
	}
	schema := arrow.NewSchema(fields, nil)
	rec := array.NewRecord(schema, arrays, int64(arrays[0].Len()))
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if err := w.Write(rec); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// A field is a column of a test's Arrow record. Its memory is Go's, which nobody releases.
type field struct {
	name  string
	array arrow.Array
}

// column makes a column of plain values.
func column[T any, B interface {
	Append(T)
	NewArray() arrow.Array
}](name string, builder func(memory.Allocator) B, values ...T) field {
	b := builder(memory.NewGoAllocator())
	for _, v := range values {
		b.Append(v)
	}
	return field{name, b.NewArray()}
}

// xColumn makes the column of the toy's vectors.
func xColumn(vectors ...[]float32) field {
	width := 4
	if len(vectors) > 0 {
		width = len(vectors[0])
	}
	b := array.NewFixedSizeListBuilder(memory.NewGoAllocator(), int32(width), arrow.PrimitiveTypes.Float32)
	for _, v := range vectors {
		b.Append(true)
		b.ValueBuilder().(*array.Float32Builder).AppendValues(v, nil)
	}
	return field{"x", b.NewArray()}
}
