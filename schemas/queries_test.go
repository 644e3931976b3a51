package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestQueries runs the text tests of the decoder. A record is the input of "json", its content type an
// argument; "show" flushes the batch. Weir's own columns that are null in all rows are left out.
func TestQueries(t *testing.T) {
	datadriven.Walk(t, "testdata/queries", func(t *testing.T, path string) {
		noLeak(t)
		var d *Queries
		offset := int64(0)
		datadriven.RunTest(t, path, func(t *testing.T, c *datadriven.TestData) string {
			switch c.Cmd {
			case "schema":
				d = NewQueries(parseOptions(t, c))
				return ""
			case "json":
				r := Record{Partition: 2, Offset: offset, Time: testStamp, Value: []byte(c.Input)}
				for _, a := range c.CmdArgs {
					switch a.Key {
					case "type":
						r.Headers = append(r.Headers, Header{"Content-Type", []byte(a.Vals[0])})
					case "header":
						r.Headers = append(r.Headers, Header{a.Vals[0], []byte(a.Vals[1])})
					case "key":
						r.Key = []byte(a.Vals[0])
					case "null":
						r.Value = nil
					case "filler":
						n, _ := strconv.Atoi(a.Vals[0])
						r.Value = bytes.ReplaceAll(r.Value, []byte("FILLER"), bytes.Repeat([]byte("x"), n))
					}
				}
				offset++
				d.Append(r)
			case "show":
			default:
				t.Fatalf("unknown command %s", c.Cmd)
			}
			if c.Cmd == "json" && c.HasArg("more") {
				return ""
			}
			rec := d.Flush()
			if rec == nil {
				return fmt.Sprintf("no rows, %d nulls\n", d.Counts().Nulls)
			}
			defer rec.Release()
			if !rec.Schema().Equal(d.OutputSchema()) {
				t.Fatalf("the schema is %v, not %v", rec.Schema(), d.OutputSchema())
			}
			return showQueries(rec, c.HasArg("all"))
		})
	})
}

func parseOptions(t *testing.T, c *datadriven.TestData) QueryOptions {
	opt := QueryOptions{Topic: "shop.queries"}
	for _, line := range strings.Split(c.Input, "\n") {
		words := strings.Fields(line)
		typ, err := ParseType(words[1])
		if err != nil {
			t.Fatal(err)
		}
		typ.Null, typ.NaN = slices.Contains(words, "null"), slices.Contains(words, "nan")
		opt.Schema.Fields = append(opt.Schema.Fields, Field{words[0], typ})
	}
	for _, a := range c.CmdArgs {
		switch a.Key {
		case "reject_unknown":
			opt.Schema.RejectUnknown = true
		case "limit":
			opt.Limit, _ = strconv.Atoi(a.Vals[0])
		case "deadline":
			opt.Deadline, _ = time.ParseDuration(a.Vals[0])
		case "headers":
			opt.Headers = a.Vals
		}
	}
	return opt
}

func showQueries(rec arrow.Record, all bool) string {
	out := Select(rec, func(name string) bool {
		switch name {
		case Partition, Stamp:
			return all
		}
		col := rec.Column(index(rec, name))
		return all || !Reserved(name) || col.NullN() < col.Len()
	})
	defer out.Release()
	return FormatTable(out)
}

// TestQueriesAsEncodingJSON compares random documents, most of them nearly right, with what encoding/json
// says they are.
func TestQueriesAsEncodingJSON(t *testing.T) {
	noLeak(t)
	fields := []Field{{"f32", Type{Kind: Float32}}, {"i8", Type{Kind: Int8}}, {"s", Type{Kind: String}}, {"b", Type{Kind: Bool, Null: true}},
		{"u8s", Type{Kind: Uint8, Len: 3}}, {"f64s", Type{Kind: Float64, Len: 2}}, {"u64", Type{Kind: Uint64}}, {"bin", Type{Kind: Binary}}}
	d := NewQueries(QueryOptions{Schema: Schema{Fields: fields}, Topic: "t"})
	rapid.Check(t, func(t *rapid.T) {
		text := drawQuery(t, fields)
		d.Append(Record{Value: text})
		rec := d.Flush()
		defer rec.Release()
		mine := Select(rec, func(name string) bool { return !Reserved(name) })
		defer mine.Release()
		got := string(AppendRowJSON(nil, mine, 0))
		want, wantCode := oracle(text, fields)
		code, _ := Column[*array.String](rec, ReasonCode)
		gotCode := code.ValueStr(0)
		if code.IsNull(0) {
			gotCode = ""
		}
		if gotCode != wantCode || wantCode == "" && got != want {
			t.Fatalf("%s\ngot  %s %s\nwant %s %s", text, gotCode, got, wantCode, want)
		}
	})
}

var goodValue = map[string][]string{
	"f32": {"1", "-0.5", "3.4e38", "0.1", "1e-40"}, "i8": {"0", "-128", "127"}, "s": {`"a"`, `"\u00e4ö"`, `""`, `"\ud800"`},
	"b": {"true", "false", "null"}, "u8s": {"[1,2,3]", "[ 0 , 255 , 7 ]", `"AQID"`}, "f64s": {"[1.5,2e300]", `[0.1,-0]`, `"AAAAAAAA8D8AAAAAAAAAQA=="`},
	"u64": {"18446744073709551615", "0"}, "bin": {`"aGFsbG8="`, `""`},
}

var badValue = []string{"null", "1e400", "3.5e38", "128", "-1", "1.0", "[1,2]", "[1,2,3,4]", "[1,256,3]", `[1,"2",3]`, "[1,null,3]", "{}", `{"a":[1]}`,
	`"AQ=="`, `"A"`, "tru", "01", "[1,2", `"`, "[]", "18446744073709551616", `"ü"`, "[1.5,null]", "[1e400,1]"}

func drawQuery(t *rapid.T, fields []Field) []byte {
	var members []string
	for _, f := range rapid.Permutation(fields).Draw(t, "order") {
		values := goodValue[f.Name]
		v := values[rapid.IntRange(0, len(values)-1).Draw(t, f.Name)]
		switch rapid.IntRange(0, 39).Draw(t, "fault") {
		case 0, 1:
			v = badValue[rapid.IntRange(0, len(badValue)-1).Draw(t, "bad")]
		case 2:
			continue
		case 3:
			members = append(members, strconv.Quote(f.Name)+":"+values[0])
		case 4:
			members = append(members, `"other":[{"x":1},"]"]`)
		}
		members = append(members, strconv.Quote(f.Name)+": "+v)
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// oracle decodes a query with encoding/json into the values that the columns should have, as JSON, or the
// reason code. It looks at the members in the order in which they stand.
func oracle(text []byte, fields []Field) (row, code string) {
	if !json.Valid(text) {
		return "", Undecodable
	}
	values := map[string]json.RawMessage{}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.Token()
	for dec.More() {
		name, _ := dec.Token()
		var v json.RawMessage
		dec.Decode(&v)
		if _, twice := values[name.(string)]; twice && name != "other" {
			return "", Undecodable
		}
		values[name.(string)] = v
		for _, f := range fields {
			if f.Name == name && code == "" {
				_, code = oracleValue(v, f.Type)
			}
		}
	}
	var members []string
	for _, f := range fields {
		v, ok := values[f.Name]
		switch {
		case !ok && f.Type.Null, string(v) == "null":
			continue // a null of the row, which JSON leaves out
		case !ok && code == "":
			code = MissingColumn
		}
		if ok {
			text, _ := oracleValue(v, f.Type)
			v = json.RawMessage(text)
		}
		members = append(members, strconv.Quote(f.Name)+":"+string(v))
	}
	return "{" + strings.Join(members, ",") + "}", code
}

func oracleValue(v json.RawMessage, t Type) (string, string) {
	if string(v) == "null" {
		if t.Null {
			return "null", ""
		}
		return "", WrongType
	}
	into := func(dst any) (string, string) {
		if err := json.Unmarshal(v, dst); err != nil {
			return "", WrongType
		}
		out, _ := json.Marshal(dst)
		return string(out), ""
	}
	if t.Tensor() {
		return oracleTensor(v, t)
	}
	switch t.Kind {
	case Bool:
		return into(new(bool))
	case Int8:
		return into(new(int8))
	case Uint64:
		return into(new(uint64))
	case Float32:
		return into(new(float32))
	case Binary:
		if v[0] != '"' {
			return "", WrongType // encoding/json would take a list of numbers
		}
		return into(new([]byte))
	}
	return into(new(string))
}

func oracleTensor(v json.RawMessage, t Type) (string, string) {
	var raw []byte
	var items []json.RawMessage
	if v[0] == '"' {
		if json.Unmarshal(v, &raw) != nil {
			return "", WrongType
		}
		if len(raw) != t.Len*t.Kind.width() {
			return "", WrongLength
		}
		for i := range t.Len {
			if t.Kind == Uint8 {
				items = append(items, json.RawMessage(strconv.Itoa(int(raw[i]))))
			} else {
				items = append(items, json.RawMessage(strconv.FormatFloat(float64(1+i), 'g', -1, 64))) // the only one drawn
			}
		}
	} else if json.Unmarshal(v, &items) != nil {
		return "", WrongType
	}
	code := ""
	var out []string
	for _, item := range items {
		text, c := oracleValue(item, Type{Kind: t.Kind})
		if t.Kind == Uint8 {
			var u uint8
			if text, c = "", WrongType; string(item) != "null" && json.Unmarshal(item, &u) == nil {
				text, c = strconv.Itoa(int(u)), ""
			}
		} else if t.Kind == Float64 {
			var f float64
			if text, c = "", WrongType; string(item) != "null" && json.Unmarshal(item, &f) == nil {
				b, _ := json.Marshal(f)
				text, c = string(b), ""
			}
		}
		if out = append(out, text); code == "" {
			code = c
		}
	}
	if code == "" && len(items) != t.Len {
		code = WrongLength
	}
	return "[" + strings.Join(out, ",") + "]", code
}
