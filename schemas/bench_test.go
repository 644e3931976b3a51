package schemas

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
)

// pixels is a query of 784 numbers, written by next.
func pixels(next func(r *rand.Rand) string) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := []byte(`{"query_id":"img-4711","store":"b12","pixels":[`)
	for i := range 784 {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, next(r)...)
	}
	return append(b, `]}`...)
}

func pixelSchema(k Kind) Schema {
	return Schema{Fields: []Field{{"pixels", Type{Kind: k, Len: 784}}, {"store", Type{Kind: String}}}}
}

var pixelForms = []struct {
	name string
	kind Kind
	next func(r *rand.Rand) string
}{
	{"uint8", Uint8, func(r *rand.Rand) string { return strconv.Itoa(r.IntN(256)) }},
	{"float32", Float32, func(r *rand.Rand) string {
		return strconv.FormatFloat(float64(r.IntN(256))/255, 'f', -1, 32)
	}},
	{"float32of17digits", Float32, func(r *rand.Rand) string { return fmt.Sprint(float64(r.IntN(256)) / 255) }},
}

// BenchmarkDecodeJSON decodes one query of 784 numbers into the batch; every 64th flushes it.
func BenchmarkDecodeJSON(b *testing.B) {
	for _, form := range pixelForms {
		b.Run(form.name, func(b *testing.B) {
			d := NewQueries(QueryOptions{Schema: pixelSchema(form.kind), Topic: "t"})
			r := Record{Value: pixels(form.next), Key: []byte("k"), Time: time.Unix(1, 0)}
			b.SetBytes(int64(len(r.Value)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if d.Append(r); i%64 == 63 {
					d.Flush().Release()
				}
			}
		})
	}
}

// BenchmarkDecodeEncodingJSON is the floor: encoding/json into a struct made for the query.
func BenchmarkDecodeEncodingJSON(b *testing.B) {
	for _, form := range pixelForms {
		b.Run(form.name, func(b *testing.B) {
			text := pixels(form.next)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				q := struct {
					QueryID string    `json:"query_id"`
					Store   string    `json:"store"`
					Pixels  []float32 `json:"pixels"`
				}{Pixels: make([]float32, 0, 784)}
				if err := json.Unmarshal(text, &q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// answeredBatch is a batch of n rows that one model answered, or, mixed, of which every other went on to a
// second one.
func answeredBatch(b *testing.B, n int, mixed bool) arrow.Record {
	b.Helper()
	rec, err := ParseTable(answeredTable)
	if err != nil {
		b.Fatal(err)
	}
	defer rec.Release()
	rows := make([]int, n)
	for i := range rows {
		if mixed {
			rows[i] = i % 2 * 3 // answered and defaulted
		}
	}
	all := Take(rec, rows)
	defer all.Release()
	return Select(all, func(name string) bool { return mixed || !strings.HasPrefix(name, Ran("heavy", "")) })
}

// BenchmarkEncode encodes a batch; time and garbage are those of the batch.
func BenchmarkEncode(b *testing.B) {
	schema := Schema{Fields: []Field{{"pixels", Type{Kind: Uint8, Len: 784}}, {"store", Type{Kind: String}}}}
	for _, enc := range []struct {
		name string
		Encoder
	}{
		{"predictions", NewPredictions(PredictionOptions{Topic: "q"})},
		{"arrowpredictions", NewPredictions(PredictionOptions{Topic: "q", Arrow: true})},
		{"decisions", NewDecisions(DecisionOptions{Topic: "q", Schema: schema})},
		{"next", NewNext()},
	} {
		for _, form := range []struct {
			name  string
			rows  int
			mixed bool
		}{{"1", 1, false}, {"64", 64, false}, {"64mixed", 64, true}, {"1024", 1024, false}} {
			b.Run(enc.name+"/"+form.name, func(b *testing.B) {
				rec := answeredBatch(b, form.rows, form.mixed)
				defer rec.Release()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := enc.Encode(rec); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkDecodeArrow decodes streams of 1 and of 256 queries of 784 bytes.
func BenchmarkDecodeArrow(b *testing.B) {
	for _, n := range []int{1, 256} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			d := NewQueries(QueryOptions{Schema: pixelSchema(Uint8), Topic: "t"})
			for range n {
				d.Append(Record{Value: pixels(pixelForms[0].next)})
			}
			batch := d.Flush()
			rec := Select(batch, func(name string) bool { return !Reserved(name) })
			value, err := EncodeIPC(rec)
			rec.Release()
			batch.Release()
			if err != nil {
				b.Fatal(err)
			}
			r := Record{Value: value, Time: time.Unix(1, 0)}
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ {
				if d.Append(r); d.Rows() >= 256 {
					d.Flush().Release()
				}
			}
		})
	}
}
