package schemas

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// arrow decodes a stream of batches: columns by name, each row as a query of its own.
//
// A column may be of a smaller type than the schema says where nothing is lost: an integer of a wider one,
// float32 of float64; a timestamp may have any unit (nanoseconds are cut to microseconds). A tensor may be
// a list of any length, which is then checked row by row. query_id is a string or an integer column, key a
// string or binary one, timeout_ms any number, event_time a timestamp, a string, or integer milliseconds.
//
// The rows are copied into the batch in hand. That is one memcpy a column, 0.1 µs a row of 784 bytes, and
// lets small records of many producers become one batch.
func (d *Queries) arrow(r Record) verdict {
	recs, err := d.ipc.decode(r.Value, Limits{Bytes: max(len(r.Value), 1)})
	if err != nil {
		return verdict{Undecodable, "", strings.TrimPrefix(err.Error(), "schemas: ")}
	}
	defer func() {
		for _, rec := range recs {
			rec.Release()
		}
	}()
	total := 0
	for _, rec := range recs {
		total += int(rec.NumRows())
	}
	switch {
	case total == 0:
		return verdict{Undecodable, "", "the record holds no query"}
	case total*(d.fixed+ownWidth) > expandBase+4*len(r.Value):
		return expandFault()
	}
	for _, rec := range recs {
		d.batch(r, rec, len(r.Value)/total)
	}
	return verdict{}
}

// batch appends the rows of one record batch, each of mean bytes.
func (d *Queries) batch(r Record, rec arrow.Record, mean int) {
	sources := make([]source, len(d.cols))
	for i, f := range d.opt.Schema.Fields {
		sources[i] = sourceOf(rec, f)
	}
	fields := d.fieldsOf(rec)
	for row := range int(rec.NumRows()) {
		d.startRow()
		for _, f := range fields.extra {
			d.extra(f)
		}
		fields.read(&d.q, row)
		var text []byte
		if mean > d.opt.Limit {
			d.q.verdict = verdict{TooLarge, "", fmt.Sprintf("%d bytes a row, the limit is %d", mean, d.opt.Limit)}
			if len(d.rows) == 0 {
				text = r.Value // the record's bytes go to the dead topic once
			}
		}
		for i := range sources {
			before := d.q.code
			sources[i].append(&d.cols[i], row, &d.q.verdict)
			if before == "" && d.q.code != "" {
				d.q.column = d.opt.Schema.Fields[i].Name
			}
		}
		d.endRow(r, text)
	}
}

// source is a column of a foreign batch, ready to be copied into a builder.
type source struct {
	array  arrow.Array
	fault  verdict // holds for every row
	copy   func(b *builder, row int, v *verdict)
	absent bool
	nulls  bool // every row is null
}

// append copies row, or leaves a verdict.
func (s *source) append(b *builder, row int, v *verdict) {
	switch {
	case s.fault.code != "":
		v.set(s.fault.code, s.fault.message)
	case s.absent:
	case v.code != "":
	case (s.nulls || s.array.IsNull(row)) && b.typ.Null:
		b.appendNull()
	case s.nulls || s.array.IsNull(row):
		v.set(WrongType, "null, the schema says "+b.typ.String())
	default:
		s.copy(b, row, v)
	}
}

// sourceOf finds the column of a field and how to copy it.
func sourceOf(rec arrow.Record, f Field) source {
	i := index(rec, f.Name)
	if i < 0 {
		return source{absent: true} // endRow says that it lacks
	}
	a := rec.Column(i)
	s := source{array: a, copy: copier(a, f.Type), nulls: a.DataType().ID() == arrow.NULL}
	if s.copy == nil && !s.nulls {
		s.fault = verdict{WrongType, f.Name, fmt.Sprintf("%s, the schema says %s", a.DataType(), f.Type)}
	}
	return s
}

// copier copies one row of a into a builder of type t; nil if the types do not fit.
func copier(a arrow.Array, t Type) func(b *builder, row int, v *verdict) {
	switch a := a.(type) {
	case *array.FixedSizeList:
		if t.Tensor() {
			return tensorCopier(a, a.ListValues(), t)
		}
	case *array.List:
		if t.Tensor() {
			return tensorCopier(a, a.ListValues(), t)
		}
	case *array.Boolean:
		if t.Kind == Bool && !t.Tensor() {
			return func(b *builder, row int, _ *verdict) { b.appendBool(a.Value(row)) }
		}
	case *array.String:
		if t.Kind == String {
			return func(b *builder, row int, _ *verdict) { b.appendString(a.Value(row)) }
		}
	case *array.LargeString:
		if t.Kind == String {
			return func(b *builder, row int, _ *verdict) { b.appendString(a.Value(row)) }
		}
	case *array.Binary:
		if t.Kind == Binary {
			return func(b *builder, row int, _ *verdict) { b.appendBytes(a.Value(row)) }
		}
	case *array.LargeBinary:
		if t.Kind == Binary {
			return func(b *builder, row int, _ *verdict) { b.appendBytes(a.Value(row)) }
		}
	case *array.Timestamp:
		if t.Kind == Timestamp {
			return func(b *builder, row int, _ *verdict) { b.appendInt64(micros(a, row)) }
		}
	default:
		if !t.Tensor() {
			return numberCopier(a, t)
		}
	}
	return nil
}

// micros is a timestamp of any unit in microseconds.
func micros(a *array.Timestamp, row int) int64 {
	v := int64(a.Value(row))
	switch a.DataType().(*arrow.TimestampType).Unit {
	case arrow.Second:
		return v * 1_000_000
	case arrow.Millisecond:
		return v * 1000
	case arrow.Nanosecond:
		return v / 1000
	}
	return v
}

func numberCopier(a arrow.Array, t Type) func(b *builder, row int, v *verdict) {
	widen := widener(a.DataType(), t.Kind)
	if widen == nil {
		return nil
	}
	width := t.Kind.width()
	return func(b *builder, row int, v *verdict) {
		dst := b.slot()[:width]
		widen(dst, valueBytes(a), row, 1)
		if i := notFinite(dst, t.Kind); i >= 0 && !t.NaN {
			v.set(NotANumber, "NaN or infinite, the schema allows none such")
			return
		}
		b.done(true)
	}
}

// valueBytes are the values of a plain array from its first row on.
func valueBytes(a arrow.Array) []byte {
	data := a.Data()
	if data.Len() == 0 {
		return nil
	}
	width := data.DataType().(arrow.FixedWidthDataType).BitWidth() / 8
	return data.Buffers()[1].Bytes()[data.Offset()*width:]
}

// tensorCopier copies rows of a list.
func tensorCopier(list array.ListLike, values arrow.Array, t Type) func(b *builder, row int, v *verdict) {
	widen := widener(values.DataType(), t.Kind)
	if widen == nil {
		return nil
	}
	src := valueBytes(values)
	return func(b *builder, row int, v *verdict) {
		from, to := list.ValueOffsets(row)
		if int(to-from) != t.Len {
			v.set(WrongLength, fmt.Sprintf("%d numbers, the schema says %d", to-from, t.Len))
			return
		}
		if values.NullN() > 0 {
			for i := from; i < to; i++ {
				if values.IsNull(int(i)) {
					v.set(WrongType, fmt.Sprintf("element %d is null, the schema says %s", i-from, t))
					return
				}
			}
		}
		dst := b.slot()
		widen(dst, src, int(from), t.Len)
		if i := notFinite(dst, t.Kind); i >= 0 && !t.NaN {
			v.set(NotANumber, fmt.Sprintf("element %d is NaN or infinite, the schema allows none such", i))
			return
		}
		b.done(true)
	}
}

// widener copies n values from place at of src to dst; nil if something could be lost.
func widener(from arrow.DataType, to Kind) func(dst, src []byte, at, n int) {
	var k Kind
	for c := Int8; c <= Float64; c++ {
		if kindArrow[c].ID() == from.ID() {
			k = c
		}
	}
	width, wide := k.width(), to.width()
	switch {
	case k == 0:
		return nil
	case k == to:
		return func(dst, src []byte, at, n int) { copy(dst[:n*wide], src[at*width:]) }
	case k == Float32 && to == Float64:
		return func(dst, src []byte, at, n int) {
			for i := range n {
				f := math.Float32frombits(binary.LittleEndian.Uint32(src[(at+i)*4:]))
				binary.LittleEndian.PutUint64(dst[i*8:], math.Float64bits(float64(f)))
			}
		}
	case k.Float() || to.Float() || !to.Numeric():
		return nil
	}
	fromNeg, fromPos := k.span()
	toNeg, toPos := to.span()
	if fromNeg > toNeg || fromPos > toPos {
		return nil
	}
	signed := fromNeg > 0
	return func(dst, src []byte, at, n int) {
		for i := range n {
			putUint(dst[i*wide:(i+1)*wide], integerAt(src[(at+i)*width:], width, signed))
		}
	}
}

// integerAt reads an integer of width bytes, in two's complement of 64 bits.
func integerAt(b []byte, width int, signed bool) uint64 {
	var u uint64
	for i := range width {
		u |= uint64(b[i]) << (8 * i)
	}
	if shift := 64 - 8*width; signed {
		return uint64(int64(u<<shift) >> shift)
	}
	return u
}

// foreignFields are the reserved fields of a foreign batch, and the names of columns that nobody asked for.
type foreignFields struct {
	byField [fieldEventTime + 1]arrow.Array
	extra   [][]byte
}

func (d *Queries) fieldsOf(rec arrow.Record) (f foreignFields) {
	for i := range int(rec.NumCols()) {
		name := rec.ColumnName(i)
		if _, known := d.index[name]; known {
			continue
		}
		if n := reservedField(name); n != 0 {
			f.byField[n] = rec.Column(i)
			continue
		}
		f.extra = append(f.extra, []byte(name))
	}
	return f
}

// read takes the reserved fields of one row.
func (f *foreignFields) read(q *query, row int) {
	for field, a := range f.byField {
		if a == nil || a.IsNull(row) || a.DataType().ID() == arrow.NULL {
			continue
		}
		ok := false
		switch field {
		case fieldQueryID:
			ok = q.readID(a, row)
		case fieldKey:
			q.key, ok = appendBytesOf(q.key[:0], a, row)
			q.hasKey = ok
		case fieldTimeout:
			q.timeout, ok = numberOf(a, row)
			ok = ok && q.timeout > 0 && !math.IsInf(q.timeout, 0)
		case fieldEventTime:
			q.eventTime, ok = timeOf(a, row)
			q.hasEvent = ok
		}
		if !ok && q.code == "" {
			name := [...]string{fieldQueryID: "query_id", fieldKey: "key", fieldTimeout: "timeout_ms", fieldEventTime: "event_time"}[field]
			q.verdict = verdict{WrongType, name, a.ValueStr(row) + " of type " + a.DataType().String() + " is none"}
		}
	}
}

func (q *query) readID(a arrow.Array, row int) bool {
	var ok bool
	if q.id, ok = appendBytesOf(q.id[:0], a, row); ok {
		q.hasID = len(q.id) > 0
		return a.DataType().ID() != arrow.BINARY
	}
	if v, signed, ok := integerOf(a, row); ok {
		q.hasID = true
		if signed {
			q.id = strconv.AppendInt(q.id, int64(v), 10)
		} else {
			q.id = strconv.AppendUint(q.id, v, 10)
		}
		return true
	}
	return false
}

func appendBytesOf(dst []byte, a arrow.Array, row int) ([]byte, bool) {
	switch a := a.(type) {
	case *array.String:
		return append(dst, a.Value(row)...), true
	case *array.LargeString:
		return append(dst, a.Value(row)...), true
	case *array.Binary:
		return append(dst, a.Value(row)...), true
	}
	return dst, false
}

func integerOf(a arrow.Array, row int) (v uint64, signed, ok bool) {
	for k := Int8; k <= Uint64; k++ {
		if kindArrow[k].ID() == a.DataType().ID() {
			neg, _ := k.span()
			return integerAt(valueBytes(a)[row*k.width():], k.width(), neg > 0), neg > 0, true
		}
	}
	return 0, false, false
}

func numberOf(a arrow.Array, row int) (float64, bool) {
	switch a := a.(type) {
	case *array.Float32:
		return float64(a.Value(row)), true
	case *array.Float64:
		return a.Value(row), true
	}
	v, signed, ok := integerOf(a, row)
	if signed {
		return float64(int64(v)), ok
	}
	return float64(v), ok
}

func timeOf(a arrow.Array, row int) (us int64, ok bool) {
	switch a := a.(type) {
	case *array.Timestamp:
		return micros(a, row), true
	case *array.String:
		us, err := parseTime([]byte(a.Value(row)))
		return us, err == nil
	}
	v, _, ok := integerOf(a, row)
	ms := int64(v)
	return ms * 1000, ok && ms >= minMillis && ms <= maxMillis
}
