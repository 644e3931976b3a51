package feed

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"go.uber.org/goleak"

	"weir/connectors/broker"
	"weir/connectors/kafka"
	"weir/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLines(t *testing.T) {
	const text = "\r\n first \r\n\n\t\nlast"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(text))
	z.Close()
	for name, in := range map[string]string{"plain": text, "gzip": zipped.String()} {
		l, err := Read(name, strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for l.Scan() {
			got = append(got, fmt.Sprintf("%d:%s", l.Line(), l.Bytes()))
		}
		if want := "2:first 5:last"; strings.Join(got, " ") != want || l.Err() != nil {
			t.Errorf("%s: got %q and %v, want %q", name, got, l.Err(), want)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	l, err := Read("input", strings.NewReader("ok\n"+strings.Repeat("x", MaxLine+1)))
	if err != nil {
		t.Fatal(err)
	}
	for l.Scan() {
	}
	if err := l.Err(); err == nil || !strings.Contains(err.Error(), "input:2: the line is longer than 64 MiB") {
		t.Errorf("a line without end: got %v, want an error at input:2 that tells the bound", err)
	}
}

func TestFields(t *testing.T) {
	var got []string
	err := Fields([]byte(`{"b": [1, {"c":2}], "a":"x", "b":null}`), func(name string, value json.RawMessage) {
		got = append(got, name+"="+string(value))
	})
	if want := `b=[1, {"c":2}] a="x" b=null`; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %q, %v, want %s", got, err, want)
	}
	for text, want := range map[string]string{
		``: "not JSON", `[1]`: "not a JSON object", `3`: "not a JSON object", `{"a":1`: "not JSON",
		`{"a":}`: `field "a"`, `{"a":1} {}`: "more than one", `{"a":1}x`: "more than one",
	} {
		if err := Fields([]byte(text), func(string, json.RawMessage) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestText(t *testing.T) {
	for value, want := range map[string]string{`"Bag"`: "Bag", `3`: "3", `true`: "true", `"\u00e9"`: "é"} {
		if got := Text(json.RawMessage(value)); got != want {
			t.Errorf("%s: got %q, want %q", value, got, want)
		}
	}
	if Key(json.RawMessage("null")) != nil || Key(json.RawMessage(`""`)) == nil {
		t.Error("null is no key, an empty string is one")
	}
}

func TestValues(t *testing.T) {
	inArrow := arrowValue(t)
	arrowType := []schemas.Header{{Key: schemas.ContentType, Value: []byte(schemas.ArrowStream)}}
	jsonType := []schemas.Header{{Key: schemas.ContentType, Value: []byte(schemas.JSON)}}
	for name, c := range map[string]struct {
		r    schemas.Record
		want string
	}{
		"null":           {schemas.Record{}, `null`},
		"JSON":           {schemas.Record{Value: []byte("{\"a\":\n [1, 2]}")}, `{"a":[1,2]}`},
		"text":           {schemas.Record{Value: []byte("a \"b\"")}, `"a \"b\""`},
		"bytes":          {schemas.Record{Value: []byte{0xfe, 0x01}}, `{"base64":"/gE="}`},
		"Arrow":          {schemas.Record{Value: inArrow}, `{"n":7,"s":"a","f":0.5,"t":"2026-11-23T15:42:07.123Z"} | {"n":8,"f":null}`},
		"Arrow, by type": {schemas.Record{Value: inArrow, Headers: arrowType}, `{"n":7,"s":"a","f":0.5,"t":"2026-11-23T15:42:07.123Z"} | {"n":8,"f":null}`},
		"JSON, by type":  {schemas.Record{Value: []byte("[1]"), Headers: jsonType}, `[1]`},
	} {
		values, err := Values(c.r)
		var got []string
		for _, v := range values {
			got = append(got, string(v))
		}
		if err != nil || strings.Join(got, " | ") != c.want {
			t.Errorf("%s: got %q, %v, want %s", name, got, err, c.want)
		}
	}
	if _, err := Values(schemas.Record{Value: inArrow[:len(inArrow)/2], Headers: arrowType}); err == nil {
		t.Error("half an Arrow stream is no error")
	}
	if used := schemas.Allocator.InUse(); used != 0 {
		t.Errorf("%d bytes are still allocated", used)
	}
}

func arrowValue(t *testing.T) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "f", Type: arrow.PrimitiveTypes.Float32}, {Name: "t", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(schemas.Allocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{7, 8}, nil)
	b.Field(1).(*array.StringBuilder).AppendValues([]string{"a", ""}, []bool{true, false})
	b.Field(2).(*array.Float32Builder).AppendValues([]float32{0.5, float32(math.NaN())}, nil)
	b.Field(3).(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{1795448527123000, 0}, []bool{true, false})
	rec := b.NewRecord()
	defer rec.Release()
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema), ipc.WithAllocator(schemas.Allocator))
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func cluster(t *testing.T, topics ...kafka.Topic) *kafka.Client {
	t.Helper()
	b, err := broker.Open(broker.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	c, err := kafka.Dial(t.Context(), kafka.Options{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.CreateTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
	return c
}

// What is sent with one key arrives complete and in order, though many requests carry it.
func TestPublisher(t *testing.T) {
	c := cluster(t, kafka.Topic{Name: "lines", Partitions: 3})
	p, err := NewPublisher(t.Context(), c, "lines")
	if err != nil {
		t.Fatal(err)
	}
	const n = 900
	body := bytes.Repeat([]byte("x"), 2000) // together beyond one request
	for i := range n {
		key := []byte{byte('a' + i%4)}
		if err := p.Send(t.Context(), schemas.Message{Key: key, Value: fmt.Appendf(nil, "%d %s", i, body), Rows: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := p.Acked(); got != n {
		t.Errorf("got %d stored, want %d", got, n)
	}
	last := map[string]int{}
	seen := 0
	done := fmt.Errorf("done")
	err = c.Consume(t.Context(), "lines", []int64{0, 0, 0}, func(r schemas.Record) error {
		var i int
		if _, err := fmt.Sscan(string(r.Value[:8]), &i); err != nil {
			return err
		}
		if before, ok := last[string(r.Key)]; ok && i != before+4 {
			t.Errorf("key %s: %d came after %d", r.Key, i, before)
		}
		last[string(r.Key)] = i
		if seen++; seen == n {
			return done
		}
		return nil
	})
	if err != done {
		t.Fatal(err)
	}
}

// A record that no topic takes ends its partition with an error that Close tells, too.
func TestPublisherFails(t *testing.T) {
	c := cluster(t, kafka.Topic{Name: "small", Config: map[string]string{"max.message.bytes": "2000"}})
	p, err := NewPublisher(t.Context(), c, "small")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), schemas.Message{Value: bytes.Repeat([]byte("ab1"), 5000), Rows: 1}); err != nil {
		t.Fatal(err)
	}
	p.done.Wait() // the partition's goroutine ends with the error
	if err := p.Send(t.Context(), schemas.Message{Value: []byte("x"), Rows: 1}); err == nil {
		t.Error("Send after a failure is no error")
	}
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "small") {
		t.Errorf("Close: got %v, want an error that names the topic", err)
	}
	if _, err := NewPublisher(t.Context(), c, "unknown"); err == nil {
		t.Error("an unknown topic is no error")
	}
}
