package floor

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/schemas"
)

// A decoder gathers the queries of records.
type decoder interface {
	append(r schemas.Record) error
	rows() int
	// flush gives what was gathered, which holds until the next append; rec, which is to be released, where the
	// queries are its columns.
	flush() (q Query, rec arrow.Record, err error)
}

func (l *Loop) decoder() decoder {
	if l.Passed {
		return &passed{}
	}
	return &published{schemas.NewQueries(schemas.QueryOptions{Schema: l.Schema, Topic: l.In})}
}

// published are queries as users write them.
type published struct{ dec *schemas.Queries }

func (p *published) append(r schemas.Record) error {
	p.dec.Append(r)
	return nil
}

func (p *published) rows() int { return p.dec.Rows() }

func (p *published) flush() (q Query, rec arrow.Record, err error) {
	if rec = p.dec.Flush(); rec == nil {
		return q, nil, nil
	}
	q, err = Queries(rec)
	if err != nil {
		rec.Release()
	}
	return q, rec, err
}

// idHeader holds the query's id of a record between two loops, whose value is the pixels as they are.
const idHeader = "id"

// pass appends queries for the next loop.
func (b *Batch) pass(q Query, rows []int) {
	width := len(q.pixels) / max(q.Rows, 1)
	id := []schemas.Header{{Key: idHeader}}
	for _, row := range rows {
		b.id = append(b.id[:0], q.ids.Value(row)...)
		id[0].Value = b.id
		b.record(q.keys.Value(row), q.pixels[row*width:][:width], id)
	}
}

// passed are queries as pass wrote them.
type passed struct {
	n      int
	pixels []byte
	ids    texts
	keys   keys
}

type (
	texts []string
	keys  [][]byte
)

// Value is a row's text.
func (t texts) Value(row int) string { return t[row] }

// Value is a row's key.
func (k keys) Value(row int) []byte { return k[row] }

func (p *passed) append(r schemas.Record) error {
	if p.n == 0 {
		p.pixels, p.ids, p.keys = p.pixels[:0], p.ids[:0], p.keys[:0]
	}
	if len(r.Headers) != 1 || r.Headers[0].Key != idHeader {
		return fmt.Errorf("floor: the record at offset %d was not passed on by a loop", r.Offset)
	}
	p.n++
	p.pixels = append(p.pixels, r.Value...)
	p.ids = append(p.ids, string(r.Headers[0].Value))
	p.keys = append(p.keys, r.Key)
	return nil
}

func (p *passed) rows() int { return p.n }

func (p *passed) flush() (Query, arrow.Record, error) {
	q := Query{Rows: p.n, pixels: p.pixels, ids: p.ids, keys: p.keys}
	p.n = 0
	return q, nil, nil
}
