package main

import (
	"bufio"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// images reads the example's sample, n images of it.
func images(n int) ([][]byte, error) {
	f, err := os.Open(fashion + "/sample.ndjson.gz")
	if err != nil {
		return nil, fmt.Errorf("%w; run it from the repository's root", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for lines := bufio.NewScanner(z); lines.Scan() && len(all) < n; {
		var q struct{ Pixels []byte } // base64
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return nil, err
		}
		all = append(all, q.Pixels)
	}
	return all, nil
}

// A Record is one Kafka record and how many queries it holds.
type Record struct {
	schemas.Message
	queries int
}

func id(i int) string { return fmt.Sprintf("query-%07d", i) }

// jsonQueries has a record a query, its pixels as a list of numbers.
func jsonQueries(images [][]byte) []Record {
	var out []Record
	for i, image := range images {
		out = append(out, Record{schemas.Message{Key: []byte(id(i)), Value: jsonQuery(id(i), image)}, 1})
	}
	return out
}

func jsonQuery(id string, image []byte) []byte {
	b := append(append([]byte(`{"query_id":"`), id...), `","pixels":[`...)
	for i, v := range image {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(v), 10)
	}
	return append(b, `]}`...)
}

// base64Queries has a record a query, its pixels as base64, as in the example's sample.
func base64Queries(images [][]byte) []Record {
	var out []Record
	for i, image := range images {
		b := append(append([]byte(`{"query_id":"`), id(i)...), `","pixels":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, image), `"}`...)
		out = append(out, Record{schemas.Message{Key: []byte(id(i)), Value: b}, 1})
	}
	return out
}

// arrowRows is what a record of an Arrow producer holds: 64 rows of 784 bytes are 50 KB, half of what a
// message on a hot path should be.
const arrowRows = 64

// arrowQueries has arrowRows queries a record.
func arrowQueries(images [][]byte) ([]Record, error) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "query_id", Type: arrow.BinaryTypes.String},
		{Name: "key", Type: arrow.BinaryTypes.Binary},
		{Name: "pixels", Type: arrow.FixedSizeListOf(pixels, arrow.PrimitiveTypes.Uint8)},
	}, nil)
	var out []Record
	for from := 0; from+arrowRows <= len(images); from += arrowRows {
		b := array.NewRecordBuilder(schemas.Allocator, schema)
		for i, image := range images[from : from+arrowRows] {
			b.Field(0).(*array.StringBuilder).Append(id(from + i))
			b.Field(1).(*array.BinaryBuilder).Append([]byte(id(from + i)))
			list := b.Field(2).(*array.FixedSizeListBuilder)
			list.Append(true)
			list.ValueBuilder().(*array.Uint8Builder).AppendValues(image, nil)
		}
		rec := b.NewRecord()
		value, err := schemas.EncodeIPC(rec)
		rec.Release()
		b.Release()
		if err != nil {
			return nil, err
		}
		out = append(out, Record{schemas.Message{Value: value,
			Headers: []schemas.Header{{Key: schemas.ContentType, Value: []byte(schemas.ArrowStream)}}}, arrowRows})
	}
	return out, nil
}
