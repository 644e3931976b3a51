package schemas

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
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
