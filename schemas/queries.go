package schemas

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
)

// QueryOptions say what the queries of a topic hold.
type QueryOptions struct {
	// Schema is the pipeline's.
	Schema Schema
	// Topic stands in the ids of queries that name none.
	Topic string
	// Deadline is the spec's hard deadline, from the record's stamp. 0 is none.
	Deadline time.Duration
	// Limit bounds one query in bytes. Default 1 MiB.
	Limit int
	// Headers are the names of Kafka headers to carry, each as a column HeaderColumn(name).
	Headers []string
}

// Counts of what a decoder passed over, since it was made.
type Counts struct {
	// Nulls are records without a value: they are no queries and get no prediction.
	Nulls int64
	// Extra are values of columns that the schema lacks.
	Extra int64
}

// rawCut bounds what the dead topic gets of a query that is too large.
const rawCut = 64 << 10

// A record of "[{},{},…]" grows a hundredfold when each of its rows gets a tensor, even though each is
// rejected. So the rows of one record may take this much memory, and four times its own size (a digit and
// a comma become a float64), at most.
const expandBase = 16 << 20

// Queries decodes the records of a queries topic: a JSON object, an array or lines (NDJSON) of objects, or
// an Arrow IPC stream. The content-type header says which; without a known one the first bytes do: '[' is
// an array, the continuation marker of Arrow's IPC a stream, and text whose first line ends with '}' and
// whose next begins with '{' is lines.
//
// A query is rejected, with code, column and a message for people, if
//   - it is no JSON, or names a column twice (undecodable). A record that is one object or one array, or an
//     Arrow stream, is undecodable as a whole and gives one row; of lines only the bad one is;
//   - a column lacks (missing_column), is of another type, null or out of the type's range (wrong_type), has
//     another number of elements (wrong_length), or is NaN or infinite (not_a_number), unless the schema
//     allows it. In JSON the numbers NaN, Infinity and -Infinity count as such;
//   - it is larger than Limit (too_large): the record for an object, the element or line otherwise, and for
//     Arrow the mean of the record's rows;
//   - its query_id stands twice in the record (duplicate_query_id): every row of that id;
//   - it has a column that the schema lacks and RejectUnknown is set (wrong_type).
//
// A rejected row keeps its query_id if that could be read; its tensors are zero, its other columns null.
// A null for query_id, key, timeout_ms or event_time is as if it were absent.
type Queries struct {
	opt     QueryOptions
	schema  *arrow.Schema
	index   map[string]int // by name, in opt.Schema.Fields
	fixed   int            // bytes a row of the columns that have a width
	cols    []builder
	own     ownColumns
	headers []builder

	rows   []outcome // of the record in hand
	ids    map[uint64]int
	seed   maphash.Seed
	seen   []int64 // by column: the last query that named it
	serial int64
	q      query
	scan   scanner
	ipc    streamReader
	bytes  int
	counts Counts
}

var _ Decoder = (*Queries)(nil)

// query is what the row in hand said beside its columns.
type query struct {
	verdict
	id, key    []byte
	hasID      bool
	hasKey     bool
	timeout    float64 // ms; 0 is none
	eventTime  int64
	hasEvent   bool
	seenFields uint8 // bits, by reserved field
}

func (q *query) reset() {
	*q = query{id: q.id[:0], key: q.key[:0]}
}

// outcome is a row's verdict, kept until the whole record is seen, and what the dead topic gets of it.
type outcome struct {
	verdict
	raw []byte
}

// NewQueries makes a decoder. The schema must be valid.
func NewQueries(opt QueryOptions) *Queries {
	if opt.Limit <= 0 {
		opt.Limit = 1 << 20
	}
	d := &Queries{opt: opt, index: map[string]int{}, ids: map[uint64]int{}, seed: maphash.MakeSeed(),
		seen: make([]int64, len(opt.Schema.Fields)), own: newOwnColumns()}
	var fields []arrow.Field
	for i, f := range opt.Schema.Fields {
		d.index[f.Name] = i
		d.cols = append(d.cols, newBuilder(f.Type))
		d.fixed += d.cols[i].width
		fields = append(fields, arrow.Field{Name: f.Name, Type: f.Type.Arrow(), Nullable: true})
	}
	fields = append(fields, ownFields()...)
	for _, h := range opt.Headers {
		d.headers = append(d.headers, newBuilder(Type{Kind: Binary}))
		fields = append(fields, arrow.Field{Name: HeaderColumn(h), Type: arrow.BinaryTypes.Binary, Nullable: true})
	}
	d.schema = arrow.NewSchema(fields, nil)
	return d
}

// OutputSchema is the schema of every batch: the schema's columns, Weir's own, the carried headers.
func (d *Queries) OutputSchema() *arrow.Schema { return d.schema }

// Counts tells what was passed over so far.
func (d *Queries) Counts() Counts { return d.counts }

// Rows implements Decoder.
func (d *Queries) Rows() int { return d.own.partition.n }

// Bytes implements Decoder.
func (d *Queries) Bytes() int { return d.bytes }

// Append implements Decoder.
func (d *Queries) Append(r Record) {
	if r.Value == nil {
		d.counts.Nulls++
		return
	}
	d.bytes += len(r.Value)
	d.rows = d.rows[:0]
	first := d.Rows()
	if fault := d.decode(r); fault.code != "" {
		d.wholeRecord(r, first, fault)
	}
	d.duplicates(first)
	for _, o := range d.rows {
		d.own.appendOutcome(o)
	}
	d.appendHeaders(r, len(d.rows))
}

// Flush implements Decoder.
func (d *Queries) Flush() arrow.Record {
	n := d.Rows()
	if n == 0 {
		return nil
	}
	arrays := make([]arrow.Array, 0, d.schema.NumFields())
	for i := range d.cols {
		arrays = append(arrays, d.cols[i].finish())
	}
	arrays = d.own.finish(arrays)
	for i := range d.headers {
		arrays = append(arrays, d.headers[i].finish())
	}
	d.bytes = 0
	return ownedRecord(d.schema, arrays, n)
}

// wholeRecord replaces the rows from first on by one that is rejected.
func (d *Queries) wholeRecord(r Record, first int, fault verdict) {
	for i := range d.cols {
		d.cols[i].truncate(first)
	}
	d.own.truncate(first)
	d.rows = d.rows[:0]
	d.startRow()
	d.q.verdict = fault
	d.endRow(r, r.Value)
}

// startRow begins the next row of the record.
func (d *Queries) startRow() {
	d.q.reset()
	d.serial++
}

// endRow completes the row in hand: columns that lack, size, identity. text is what the row was made of.
func (d *Queries) endRow(r Record, text []byte) {
	row, q := d.Rows(), &d.q
	for i := range d.cols {
		if b := &d.cols[i]; b.n == row && q.code == "" {
			if b.typ.Null {
				b.appendNull()
				continue
			}
			q.verdict = verdict{MissingColumn, d.opt.Schema.Fields[i].Name, "the query lacks it"}
		}
	}
	if len(text) > d.opt.Limit && q.code != Undecodable && q.code != TooLarge {
		q.verdict = verdict{TooLarge, "", fmt.Sprintf("%d bytes, the limit is %d", len(text), d.opt.Limit)}
	}
	o := outcome{verdict: q.verdict}
	if q.code != "" {
		for i := range d.cols {
			d.cols[i].truncate(row)
			d.cols[i].appendEmpty()
		}
		o.raw = rawOf(q.code, text)
	}
	d.identity(r)
	d.rows = append(d.rows, o)
}

// rawOf is what the dead topic gets: of a query that is too large only the beginning.
func rawOf(code string, text []byte) []byte {
	switch code {
	case Undecodable:
		return text
	case TooLarge:
		return text[:min(len(text), rawCut)]
	}
	return nil
}

// identity appends the columns that say which row this is and when it is due.
func (d *Queries) identity(r Record) {
	q, row := &d.q, int32(len(d.rows))
	if !q.hasID {
		q.id = AppendID(q.id[:0], d.opt.Topic, r.Partition, r.Offset, row)
	}
	key, hasKey := q.key, q.hasKey
	if !hasKey && r.Key != nil {
		key, hasKey = r.Key, true
	}
	stamp := r.Time.UnixMicro()
	deadline, limited := int64(0), false
	if d.opt.Deadline > 0 {
		deadline, limited = stamp+d.opt.Deadline.Microseconds(), true
	}
	if q.timeout > 0 {
		own := stamp + int64(min(q.timeout, maxMillis)*1000)
		if !limited || own < deadline {
			deadline, limited = own, true
		}
	}
	d.own.appendIdentity(r, row, q.id, stamp)
	appendOptional(&d.own.key, key, hasKey)
	appendOptionalTime(&d.own.deadline, deadline, limited)
	appendOptionalTime(&d.own.eventTime, q.eventTime, q.hasEvent)
}

// AppendID appends the id of a query that names none: topic/partition/offset/row.
func AppendID(dst []byte, topic string, partition int32, offset int64, row int32) []byte {
	dst = append(dst, topic...)
	dst = strconv.AppendInt(append(dst, '/'), int64(partition), 10)
	dst = strconv.AppendInt(append(dst, '/'), offset, 10)
	return strconv.AppendInt(append(dst, '/'), int64(row), 10)
}

// duplicates rejects every row of the record whose id stands twice in it. Rows that are rejected already
// keep their reason.
func (d *Queries) duplicates(first int) {
	if len(d.rows) < 2 {
		return
	}
	clear(d.ids)
	for i := range d.rows {
		id := d.own.queryID.bytes(first + i)
		h := maphash.Bytes(d.seed, id)
		j, known := d.ids[h]
		for known && !bytes.Equal(id, d.own.queryID.bytes(first+j)) {
			h++ // another id of the same hash
			j, known = d.ids[h]
		}
		if !known {
			d.ids[h] = i
			continue
		}
		d.rejectDuplicate(first, i, id)
		d.rejectDuplicate(first, j, id)
	}
}

func (d *Queries) rejectDuplicate(first, i int, id []byte) {
	if d.rows[i].code != "" {
		return
	}
	d.rows[i].verdict = verdict{DuplicateQueryID, "query_id", fmt.Sprintf("%.100q stands twice in the record", id)}
	for c := range d.cols {
		d.cols[c].erase(first + i)
	}
}

func (d *Queries) appendHeaders(r Record, rows int) {
	for i := range d.headers {
		var value []byte
		for _, h := range r.Headers {
			if h.Key == d.opt.Headers[i] {
				value = h.Value
			}
		}
		for range rows {
			appendOptional(&d.headers[i], value, value != nil)
		}
	}
}

// expands says that the rows of the record in hand take more memory than any honest record's would.
func (d *Queries) expands(size int) bool {
	return (len(d.rows)+1)*(d.fixed+ownWidth) > expandBase+4*size
}

func expandFault() verdict {
	return verdict{TooLarge, "", "the rows of the record take more memory than one record may"}
}
