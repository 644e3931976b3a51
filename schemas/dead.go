package schemas

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// Headers of a dead letter.
const (
	ReasonHeader    = "weir-reason"
	MessageHeader   = "weir-message"
	SourceHeader    = "weir-source"
	TruncatedHeader = "weir-truncated"
)

type dead struct{ topic string }

// NewDead returns the encoder of the dead topic: the original bytes of each row that has some, and in
// headers why, and from where (topic/partition/offset/row). The topic is that of the queries. Rows without
// such bytes give no message.
func NewDead(topic string) Encoder { return dead{topic} }

// Encode implements Encoder.
func (d dead) Encode(rec arrow.Record) ([]Message, error) {
	if !Has(rec, Raw) {
		return nil, nil
	}
	raw, err := Column[*array.Binary](rec, Raw)
	if err != nil {
		return nil, fmt.Errorf("dead: %w", err)
	}
	if raw.NullN() == raw.Len() {
		return nil, nil
	}
	a, err := answersOf(rec)
	if err != nil {
		return nil, fmt.Errorf("dead: %w", err)
	}
	var msgs []Message
	for row := range raw.Len() {
		if raw.IsValid(row) {
			msgs = append(msgs, d.letter(&a, raw.Value(row), row))
		}
	}
	return msgs, nil
}

func (d dead) letter(a *answers, raw []byte, row int) Message {
	code, _ := text(a.code, row)
	message, _ := text(a.message, row)
	m := Message{Value: bytes.Clone(raw), Row: row, Rows: 1, Headers: []Header{
		{ReasonHeader, []byte(code)},
		{MessageHeader, []byte(message)},
		{SourceHeader, AppendID(nil, d.topic, a.partition.Value(row), a.offset.Value(row), a.row.Value(row))},
	}}
	if a.key != nil && a.key.IsValid(row) {
		m.Key = bytes.Clone(a.key.Value(row))
	}
	if code == TooLarge && len(raw) == rawCut {
		m.Headers = append(m.Headers, Header{TruncatedHeader, strconv.AppendBool(nil, true)})
	}
	return m
}

// CutRaw cuts the original bytes of every row to what the dead topic gets of a query that is too large. It
// borrows rec and returns an owned record.
func CutRaw(rec arrow.Record) arrow.Record { return cutColumn(rec, Raw, rawCut) }

// CutQueryID cuts every row's id to 256 bytes, for a row that fits no topic with the id that its user gave.
func CutQueryID(rec arrow.Record) arrow.Record { return cutColumn(rec, QueryID, 256) }

// cutColumn cuts the values of a text or binary column to n bytes, a text at a rune's end.
func cutColumn(rec arrow.Record, name string, n int) arrow.Record {
	i := index(rec, name)
	if i < 0 {
		rec.Retain()
		return rec
	}
	var column arrow.Array
	switch a := rec.Column(i).(type) {
	case *array.Binary:
		b := array.NewBinaryBuilder(Allocator, arrow.BinaryTypes.Binary)
		defer b.Release()
		for row := range a.Len() {
			if a.IsNull(row) {
				b.AppendNull()
				continue
			}
			b.Append(a.Value(row)[:min(len(a.Value(row)), n)])
		}
		column = b.NewArray()
	case *array.String:
		b := array.NewStringBuilder(Allocator)
		defer b.Release()
		for row := range a.Len() {
			if a.IsNull(row) {
				b.AppendNull()
				continue
			}
			b.Append(strings.ToValidUTF8(a.Value(row)[:min(len(a.Value(row)), n)], ""))
		}
		column = b.NewArray()
	default:
		rec.Retain()
		return rec
	}
	defer column.Release()
	return With(rec, Named{name, column})
}
