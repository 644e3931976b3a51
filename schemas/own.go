package schemas

import "github.com/apache/arrow/go/v17/arrow"

// ownColumns grows the columns that every decoded row has beside the user's.
type ownColumns struct {
	partition, offset, row, queryID, key, stamp, deadline, eventTime builder
	status, code, column, message, raw                               builder
}

// ownWidth is about the memory of a row's own columns.
const ownWidth = 128

func newOwnColumns() (o ownColumns) {
	for i, b := range o.all() {
		*b = newBuilder(Type{Kind: ownKinds[i]})
	}
	return o
}

func (o *ownColumns) all() [13]*builder {
	return [13]*builder{&o.partition, &o.offset, &o.row, &o.queryID, &o.key, &o.stamp, &o.deadline, &o.eventTime,
		&o.status, &o.code, &o.column, &o.message, &o.raw}
}

var ownNames = [13]string{Partition, Offset, Row, QueryID, Key, Stamp, Deadline, EventTime,
	StatusColumn, ReasonCode, ReasonColumn, ReasonMessage, Raw}

var ownKinds = [13]Kind{Int32, Int64, Int32, String, Binary, Timestamp, Timestamp, Timestamp,
	Uint8, String, String, String, Binary}

// ownFields are the fields of all.
func ownFields() []arrow.Field {
	fields := make([]arrow.Field, len(ownNames))
	for i, name := range ownNames {
		fields[i] = field(name, kindArrow[ownKinds[i]])
	}
	return fields
}

func (o *ownColumns) finish(arrays []arrow.Array) []arrow.Array {
	for _, b := range o.all() {
		arrays = append(arrays, b.finish())
	}
	return arrays
}

func (o *ownColumns) truncate(n int) {
	for _, b := range o.all() {
		b.truncate(n)
	}
}

func (o *ownColumns) appendIdentity(r Record, row int32, id []byte, stamp int64) {
	o.partition.appendInt32(r.Partition)
	o.offset.appendInt64(r.Offset)
	o.row.appendInt32(row)
	o.queryID.appendBytes(id)
	o.stamp.appendInt64(stamp)
}

func (o *ownColumns) appendOutcome(v outcome) {
	if v.code == "" {
		o.status.appendUint8(uint8(Open))
	} else {
		o.status.appendUint8(uint8(Rejected))
	}
	appendText(&o.code, v.code)
	appendText(&o.column, v.column)
	appendText(&o.message, v.message)
	appendOptional(&o.raw, v.raw, v.raw != nil)
}

// appendText appends a string, null where it is empty.
func appendText(b *builder, v string) {
	if v == "" {
		b.appendNull()
		return
	}
	b.appendString(v)
}

func appendOptional(b *builder, v []byte, ok bool) {
	if !ok {
		b.appendNull()
		return
	}
	b.appendBytes(v)
}

func appendOptionalTime(b *builder, v int64, ok bool) {
	if !ok {
		b.appendNull()
		return
	}
	b.appendInt64(v)
}
