package schemas

import (
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// record is an arrow.Record that is cheap to make. A batch passes ten times through With, Select and Take,
// and has 30 columns: arrow's own record checks the type of each by reflection, and its schema makes a map
// of their names, every time, which for a batch of few rows was most of the pipeline's work. Here names are
// looked up in the list of fields, and the schema is made when somebody asks for it.
type record struct {
	refs   atomic.Int64
	rows   int64
	fields []arrow.Field
	cols   []arrow.Array
	meta   arrow.Metadata
	schema atomic.Pointer[arrow.Schema] // nil until asked for
}

var _ arrow.Record = (*record)(nil)

// newRecord makes a record of columns and takes over the caller's references to them. Each has rows rows and
// the type of its field: the callers made the fields of them.
func newRecord(fields []arrow.Field, meta arrow.Metadata, cols []arrow.Array, rows int64) *record {
	r := &record{rows: rows, fields: fields, cols: cols, meta: meta}
	r.refs.Store(1)
	return r
}

// fieldsOf are a record's fields and what else its schema says; they must not be changed.
func fieldsOf(rec arrow.Record) ([]arrow.Field, arrow.Metadata) {
	if r, ok := rec.(*record); ok {
		return r.fields, r.meta
	}
	return rec.Schema().Fields(), rec.Schema().Metadata()
}

// Retain implements arrow.Record.
func (r *record) Retain() { r.refs.Add(1) }

// Release implements arrow.Record.
func (r *record) Release() {
	switch n := r.refs.Add(-1); {
	case n < 0:
		panic("schemas: a record was released too often")
	case n == 0:
		for _, c := range r.cols {
			c.Release()
		}
		r.cols = nil
	}
}

// Schema implements arrow.Record.
func (r *record) Schema() *arrow.Schema {
	if s := r.schema.Load(); s != nil {
		return s
	}
	s := arrow.NewSchema(r.fields, &r.meta)
	r.schema.CompareAndSwap(nil, s) // whoever lost has an equal one
	return r.schema.Load()
}

// NumRows implements arrow.Record.
func (r *record) NumRows() int64 { return r.rows }

// NumCols implements arrow.Record.
func (r *record) NumCols() int64 { return int64(len(r.cols)) }

// Columns implements arrow.Record.
func (r *record) Columns() []arrow.Array { return r.cols }

// Column implements arrow.Record.
func (r *record) Column(i int) arrow.Array { return r.cols[i] }

// ColumnName implements arrow.Record.
func (r *record) ColumnName(i int) string { return r.fields[i].Name }

// NewSlice implements arrow.Record.
func (r *record) NewSlice(i, j int64) arrow.Record {
	if i == 0 && j == r.rows {
		r.Retain()
		return r
	}
	cols := make([]arrow.Array, len(r.cols))
	for k, c := range r.cols {
		cols[k] = array.NewSlice(c, i, j)
	}
	part := newRecord(r.fields, r.meta, cols, j-i)
	part.schema.Store(r.schema.Load())
	return part
}

// SetColumn implements arrow.Record.
func (r *record) SetColumn(i int, a arrow.Array) (arrow.Record, error) {
	if i < 0 || i >= len(r.cols) {
		return nil, fmt.Errorf("schemas: no column %d", i)
	}
	return With(r, Named{r.fields[i].Name, a}), nil
}

// MarshalJSON implements arrow.Record: an array with an object a row.
func (r *record) MarshalJSON() ([]byte, error) {
	plain := array.NewRecord(r.Schema(), r.cols, r.rows)
	defer plain.Release()
	return plain.MarshalJSON()
}
