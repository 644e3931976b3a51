package schemas

import (
	"fmt"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
)

// RowsOptions say where the rows come from.
type RowsOptions struct {
	// Topic is the name of the topic between segments.
	Topic string
}

// Rows decodes the topic between two segments: what Next wrote. The rows keep the identity that they have
// from the queries topic.
//
// A record that is damaged, or whose columns are of other types than those of the record before it in the
// batch, cannot be told apart into rows. It becomes one rejected row (undecodable) whose bytes go to the dead
// topic. Its id is its own place in this topic, and its row is -1: the same offset in the queries topic is
// another query's, which must not pass for answered.
type Rows struct {
	opt    RowsOptions
	chunks []arrow.Record
	rows   int
	bytes  int
	types  map[string]arrow.DataType // of the columns of chunks
	ipc    streamReader
}

// noRow is the row of what is no query.
const noRow = -1

var _ Decoder = (*Rows)(nil)

// NewRows makes a decoder.
func NewRows(opt RowsOptions) *Rows {
	return &Rows{opt: opt, types: map[string]arrow.DataType{}}
}

// Rows implements Decoder.
func (d *Rows) Rows() int { return d.rows }

// Bytes implements Decoder.
func (d *Rows) Bytes() int { return d.bytes }

// Append implements Decoder. A null record is skipped: Weir writes none.
func (d *Rows) Append(r Record) {
	if r.Value == nil {
		return
	}
	d.bytes += len(r.Value)
	recs, fault := d.decode(r)
	if fault != "" {
		recs = []arrow.Record{d.rejected(r, fault)}
	}
	for _, rec := range recs {
		for _, f := range rec.Schema().Fields() {
			d.types[f.Name] = f.Type
		}
		d.rows += int(rec.NumRows())
	}
	d.chunks = append(d.chunks, recs...)
}

func (d *Rows) decode(r Record) (recs []arrow.Record, fault string) {
	if fault := checkSum(r); fault != "" {
		return nil, fault
	}
	recs, err := d.ipc.decode(r.Value, Limits{Bytes: len(r.Value) + 1})
	if err != nil {
		return nil, strings.TrimPrefix(err.Error(), "schemas: ")
	}
	for _, rec := range recs {
		if fault = d.misfit(rec); fault != "" {
			break
		}
	}
	if fault == "" && len(recs) > 0 {
		return recs, ""
	}
	for _, rec := range recs {
		rec.Release()
	}
	if fault == "" {
		fault = "the record holds no rows"
	}
	return nil, fault
}

// misfit says why a batch cannot stand beside those before it, "" if it can.
func (d *Rows) misfit(rec arrow.Record) string {
	for _, f := range ownFields() {
		if i := index(rec, f.Name); i < 0 || !arrow.TypeEqual(rec.Column(i).DataType(), f.Type) {
			return fmt.Sprintf("no column %s of type %s", f.Name, f.Type)
		}
	}
	for _, f := range rec.Schema().Fields() {
		if t, known := d.types[f.Name]; known && !arrow.TypeEqual(t, f.Type) {
			return fmt.Sprintf("column %s is %s, in the record before it %s", f.Name, f.Type, t)
		}
	}
	return ""
}

// rejected is the row for a record that could not be decoded.
func (d *Rows) rejected(r Record, fault string) arrow.Record {
	o := newOwnColumns()
	o.appendIdentity(r, noRow, AppendID(nil, d.opt.Topic, r.Partition, r.Offset, 0), r.Time.UnixMicro())
	appendOptional(&o.key, r.Key, r.Key != nil)
	o.deadline.appendNull()
	o.eventTime.appendNull()
	o.appendOutcome(outcome{verdict{Undecodable, "", fault}, r.Value})
	return ownedRecord(arrow.NewSchema(ownFields(), nil), o.finish(nil), 1)
}

// Flush implements Decoder.
func (d *Rows) Flush() arrow.Record {
	if d.rows == 0 {
		for _, c := range d.chunks {
			c.Release()
		}
		d.chunks = d.chunks[:0]
		return nil
	}
	rec, err := Concat(d.chunks)
	if err != nil {
		panic(err) // misfit kept every chunk out that could cause it
	}
	for _, c := range d.chunks {
		c.Release()
	}
	d.chunks, d.rows, d.bytes = d.chunks[:0], 0, 0
	clear(d.types)
	return rec
}
