package schemas

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// answered is a batch with one row of each kind; its columns are those of the contract's example.
const answeredTable = `
	_partition _offset _row _query_id                    _key  _stamp                   _status    _reason_code  _reason_column _reason_message                _label _scores:fixed_list<float32>[4] _confidence _model _model_version _late  _total_us _ran.light.model _ran.light.version _ran.light.label _ran.light.scores:fixed_list<float32>[4] _ran.light.wait_us _ran.light.run_us _ran.light.batch _ran.heavy.model _ran.heavy.version _ran.heavy.label _ran.heavy.wait_us _ran.heavy.run_us _ran.heavy.batch _gate.first.score _gate.first.at_least _gate.first.version store  price _header.traceparent _raw
	2          18841   0    img-4711                     user  2026-11-23T15:42:07.123Z answered   null          null           null                           Bag    [0 0.001 0.0022 0.9968]        0.9968      light  5f1c02d9a4b7   false  2410      light            5f1c02d9a4b7       Bag              [0 0.001 0.0022 0.9968]                  400                210               16               null             null               null             null               null              null             0.9968            0.92                 spec                b12    1.5   00-ab               null
	2          18842   0    fashion.queries/2/18842/0    null  2026-11-23T15:42:07.124Z rejected   wrong_length  pixels         "783 numbers, the schema says 784" null null                           null        null   null           null   null      null             null               null             null                                     null               null              null             null             null               null             null               null              null             null              null                 null                null   null  null                null
	2          18843   1    "a \"b\""                    user  2026-11-23T15:42:07.125Z failed     model_failed  null           "out of memory"                Coat   [1 0 0 0]                      1           light  5f1c02d9a4b7   true   12000     light            5f1c02d9a4b7       Coat             [1 0 0 0]                                1                  1000              1                null             null               null             null               null              null             0.5               0.92                 spec                b13    null  null                null
	2          18844   0    d                            user  2026-11-23T15:42:07.126Z defaulted  unsure        null           null                           "?"    null                           null        null   null           false  9         light            5f1c02d9a4b7       Coat             [1 0 0 0]                                0                  5                 2                heavy            77                 Bag              3                  4                 1                0.5               0.92                 v7                  null   2     x                   null
`

func TestPredictions(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, answeredTable)
	enc := NewPredictions(PredictionOptions{Topic: "fashion.queries", Columns: []string{"store", "price", "nowhere"}, Headers: []string{"traceparent"}})
	msgs, err := enc.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		`{"query_id":"img-4711","status":"answered","late":false,"label":"Bag","confidence":0.9968,"scores":[0,0.001,0.0022,0.9968],"model":"light","model_version":"5f1c02d9a4b7","gates":[{"name":"first","score":0.9968,"at_least":0.92,"version":"spec"}],"columns":{"store":"b12","price":1.5},"source":{"topic":"fashion.queries","partition":2,"offset":18841,"row":0},"ref":"2.18841.0","trace":{"stamp":"2026-11-23T15:42:07.123Z","total_ms":2.41,"stages":[{"name":"light","wait_ms":0.4,"run_ms":0.21,"batch":16}]}}`,
		`{"query_id":"fashion.queries/2/18842/0","status":"rejected","late":false,"reason":{"code":"wrong_length","column":"pixels","message":"783 numbers, the schema says 784"},"source":{"topic":"fashion.queries","partition":2,"offset":18842,"row":0},"ref":"2.18842.0"}`,
		`{"query_id":"a \"b\"","status":"failed","late":true,"reason":{"code":"model_failed","message":"out of memory"},"gates":[{"name":"first","score":0.5,"at_least":0.92,"version":"spec"}],"columns":{"store":"b13"},"source":{"topic":"fashion.queries","partition":2,"offset":18843,"row":1},"ref":"2.18843.1","trace":{"stamp":"2026-11-23T15:42:07.125Z","total_ms":12,"stages":[{"name":"light","wait_ms":0.001,"run_ms":1,"batch":1}]}}`,
		`{"query_id":"d","status":"defaulted","late":false,"reason":{"code":"unsure"},"label":"?","gates":[{"name":"first","score":0.5,"at_least":0.92,"version":"v7"}],"columns":{"price":2},"source":{"topic":"fashion.queries","partition":2,"offset":18844,"row":0},"ref":"2.18844.0","trace":{"stamp":"2026-11-23T15:42:07.126Z","total_ms":0.009,"stages":[{"name":"light","wait_ms":0,"run_ms":0.005,"batch":2},{"name":"heavy","wait_ms":0.003,"run_ms":0.004,"batch":1}]}}`,
	} {
		if got := string(msgs[i].Value); got != want {
			t.Errorf("row %d: got\n%s\nwant\n%s", i, got, want)
		}
		if !json.Valid(msgs[i].Value) || msgs[i].Row != i || msgs[i].Rows != 1 {
			t.Errorf("row %d: %v", i, msgs[i])
		}
	}
	if string(msgs[0].Key) != "user" || msgs[1].Key != nil {
		t.Errorf("keys %q, %q", msgs[0].Key, msgs[1].Key)
	}
	want := []Header{{ContentType, []byte(JSON)}, {"traceparent", []byte("00-ab")}}
	if !reflect.DeepEqual(msgs[0].Headers, want) || len(msgs[1].Headers) != 1 {
		t.Errorf("headers %v, %v", msgs[0].Headers, msgs[1].Headers)
	}
}

// TestPredictionsOfLittle encodes rows that only have what a decoder gives them.
func TestPredictionsOfLittle(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, "_partition  _offset  _row  _query_id  _status  _label:int32  _scores:fixed_list<float32>[2]\n0  1  2  a  answered  3  [NaN 1e-7]\n")
	msgs, err := NewPredictions(PredictionOptions{Topic: "q"}).Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(msgs[0].Value), `{"query_id":"a","status":"answered","late":false,"label":3,"scores":[null,1e-7],"source":{"topic":"q","partition":0,"offset":1,"row":2},"ref":"0.1.2"}`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := NewPredictions(PredictionOptions{}).Encode(parseTable(t, "a\n1\n")); err == nil || !strings.Contains(err.Error(), Partition) {
		t.Errorf("got %v", err)
	}
}

// TestArrowPredictions compares the Arrow form with the JSON form, field by field.
func TestArrowPredictions(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, answeredTable)
	opt := PredictionOptions{Topic: "fashion.queries", Columns: []string{"store", "price"}, Headers: []string{"traceparent", "other"}}
	text, err := NewPredictions(opt).Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	opt.Arrow = true
	msgs, err := NewPredictions(opt).Encode(rec)
	if err != nil || len(msgs) != 1 || msgs[0].Rows != 4 {
		t.Fatalf("got %v, %v", msgs, err)
	}
	recs, err := DecodeIPC(msgs[0].Value, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer recs[0].Release()
	for row := range 4 {
		var got, want map[string]any
		if err := json.Unmarshal(AppendRowJSON(nil, recs[0], row), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text[row].Value, &want); err != nil {
			t.Fatal(err)
		}
		headers := map[string]any{} // of the record in JSON, columns in Arrow, where a record has many rows
		for _, h := range text[row].Headers[1:] {
			headers[h.Key] = base64.StdEncoding.EncodeToString(h.Value)
		}
		want["headers"] = headers
		if got := withoutNulls(got); !reflect.DeepEqual(got, withoutNulls(want)) {
			t.Errorf("row %d: got\n%v\nwant\n%v", row, got, want)
		}
	}
}

// withoutNulls drops what does not apply: JSON leaves it out, Arrow has nulls and empty lists.
func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if v[k] = withoutNulls(e); v[k] == nil {
				delete(v, k)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i, e := range v {
			v[i] = withoutNulls(e)
		}
		if len(v) == 0 {
			return nil
		}
	}
	return v
}

func TestDecisions(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, answeredTable)
	schema := Schema{Fields: []Field{{"pixels", Type{Kind: Uint8, Len: 4}}, {"store", Type{Kind: String}}, {"age", Type{Kind: Int64}}}}
	enc := NewDecisions(DecisionOptions{Topic: "fashion.queries", Schema: schema})
	decode := func(rec arrow.Record) arrow.Record {
		msgs, err := enc.Encode(rec)
		if err != nil || len(msgs) != 1 {
			t.Fatalf("got %v, %v", msgs, err)
		}
		recs, err := DecodeIPC(msgs[0].Value, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(recs[0].Release)
		return recs[0]
	}
	got := decode(rec)
	for row, want := range map[int]string{
		0: `{"query_id":"img-4711","source":{"topic":"fashion.queries","partition":2,"offset":18841,"row":0},"stamp":"2026-11-23T15:42:07.123Z","status":"answered","late":false,"epoch":0,"tensors":["pixels"],"selected":"light","shown":"light","ran":[{"model":"light","version":"5f1c02d9a4b7","probability":1,"label":"Bag","scores":[0,0.001,0.0022,0.9968]}],"gates":[{"name":"first","score":0.9968,"at_least":0.92,"version":"spec"}],"audit":false,"features":{"store":"b12"}}`,
		3: `{"query_id":"d","source":{"topic":"fashion.queries","partition":2,"offset":18844,"row":0},"stamp":"2026-11-23T15:42:07.126Z","status":"defaulted","late":false,"epoch":0,"tensors":["pixels"],"ran":[{"model":"light","version":"5f1c02d9a4b7","probability":1,"label":"Coat","scores":[1,0,0,0]},{"model":"heavy","version":"77","probability":1,"label":"Bag"}],"gates":[{"name":"first","score":0.5,"at_least":0.92,"version":"v7"}],"audit":false,"features":{}}`,
	} {
		if got := string(AppendRowJSON(nil, got, row)); got != want {
			t.Errorf("row %d: got\n%s\nwant\n%s", row, got, want)
		}
	}
	little := decode(parseTable(t, "_partition  _offset  _row  _query_id  _status  store:int64\n0  1  2  a  rejected  3\n"))
	if !little.Schema().Equal(got.Schema()) {
		t.Errorf("the schema is %v, of another batch %v", little.Schema(), got.Schema())
	}
}

func TestDead(t *testing.T) {
	noLeak(t)
	table := strings.Replace(answeredTable, "null                null\n\t2          18843", "null                broken\n\t2          18843", 1)
	rec := parseTable(t, table)
	msgs, err := NewDead("fashion.queries").Encode(rec)
	if err != nil || len(msgs) != 1 {
		t.Fatalf("got %v, %v", msgs, err)
	}
	want := Message{Value: []byte("broken"), Row: 1, Rows: 1, Headers: []Header{{ReasonHeader, []byte(WrongLength)},
		{MessageHeader, []byte("783 numbers, the schema says 784")}, {SourceHeader, []byte("fashion.queries/2/18842/0")}}}
	if !reflect.DeepEqual(msgs[0], want) {
		t.Errorf("got %v, want %v", msgs[0], want)
	}
	if msgs, err := NewDead("q").Encode(parseTable(t, "a\n1\n")); msgs != nil || err != nil {
		t.Errorf("got %v, %v", msgs, err)
	}
}

// TestTooLargeIsCut follows a 20 MB query into the dead topic.
func TestTooLargeIsCut(t *testing.T) {
	noLeak(t)
	value := append(append([]byte(`{"query_id":"big","x":"`), strings.Repeat("y", 20<<20)...), `"}`...)
	rec := decodeValue(t, QueryOptions{Schema: Schema{Fields: []Field{{"f", Type{Kind: Float32, Null: true}}}}}, value)
	msgs, err := NewDead("q").Encode(rec)
	if err != nil || len(msgs) != 1 || len(msgs[0].Value) != 64<<10 {
		t.Fatalf("got %d messages, %v", len(msgs), err)
	}
	if last := msgs[0].Headers[3]; last.Key != TruncatedHeader || string(last.Value) != "true" {
		t.Errorf("got %v", last)
	}
	if id, _ := Column[*array.String](rec, QueryID); id.Value(0) != "big" {
		t.Errorf("got %q", id.Value(0))
	}
}

func TestAppendFloatAsEncodingJSON(t *testing.T) {
	for _, f := range []float64{0, 1, -1, 0.1, 1e-6, 9.999e-7, 1e-9, 1e20, 1e21, 1.5e300, math.MaxFloat64, 5e-324, math.Copysign(0, -1), math.MaxFloat32, 1e-45} {
		want, _ := json.Marshal(f)
		if got := string(appendFloat(nil, f, 64)); got != string(want) {
			t.Errorf("got %s, want %s", got, want)
		}
		want, _ = json.Marshal(float32(f))
		if f <= math.MaxFloat32 && string(appendFloat(nil, float64(float32(f)), 32)) != string(want) {
			t.Errorf("got %s, want %s", appendFloat(nil, float64(float32(f)), 32), want)
		}
	}
	for us, want := range map[int64]string{0: "0", 1: "0.001", 2410: "2.41", 400: "0.4", 12000: "12", -1500: "-1.5", 1001: "1.001"} {
		if got := string(appendMillis(nil, us)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, at := range []time.Time{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 12, 31, 23, 59, 59, 987_654_000, time.UTC),
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1969, 7, 20, 20, 17, 40, 1e6, time.UTC), time.Date(9999, 12, 31, 1, 1, 1, 999_999_000, time.UTC),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		want := at.Format(`"2006-01-02T15:04:05.000Z07:00"`)
		if got := string(appendStamp(nil, at.UnixMicro())); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAppendQuotedAsEncodingJSON(t *testing.T) {
	for _, s := range append(someText, "<&>", "\xff\xc3", "\u2028\u2029", "\x7f\x1f", "😀", string([]byte{0})) {
		var got string
		if err := json.Unmarshal(appendQuoted(nil, s), &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd") && !strings.Contains(s, "\xff") {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
}
