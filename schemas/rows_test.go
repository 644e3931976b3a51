package schemas

import (
	"bytes"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
)

const rowsTable = `
	_partition  _offset  _row  _query_id  _key  _stamp                    _deadline  _event_time  _status  _reason_code  _reason_column  _reason_message  _raw  p                      _label  _ran.light.model
	1           7        0     a          k     2026-11-23T15:42:07.123Z  null       null         open     null          null            null             null  [1 2]  Bag     light
	1           7        1     b          null  2026-11-23T15:42:07.123Z  null       null         open     null          null            null             null  [3 4]  null    null
`

func TestNextAndRows(t *testing.T) {
	noLeak(t)
	rec := parseTable(t, rowsTable)
	msgs, err := NewNext().Encode(rec)
	if err != nil || len(msgs) != 1 || msgs[0].Rows != 2 {
		t.Fatalf("got %v, %v", msgs, err)
	}
	d := NewRows(RowsOptions{Topic: "p.heavy"})
	d.Append(Record{Partition: 3, Offset: 9, Value: msgs[0].Value, Headers: msgs[0].Headers})
	d.Append(Record{Partition: 3, Offset: 10})
	d.Append(Record{Partition: 3, Offset: 11, Value: msgs[0].Value, Headers: msgs[0].Headers})
	if d.Rows() != 4 || d.Bytes() != 2*len(msgs[0].Value) {
		t.Errorf("%d rows, %d bytes", d.Rows(), d.Bytes())
	}
	got := d.Flush()
	defer got.Release()
	want, _ := Concat([]arrow.Record{rec, rec})
	defer want.Release()
	if FormatTable(got) != FormatTable(want) {
		t.Errorf("got\n%swant\n%s", FormatTable(got), FormatTable(want))
	}
	if d.Flush() != nil || d.Rows() != 0 {
		t.Error("rows are left after Flush")
	}
}

// TestRowsRejects damages records; each becomes one row, the others stay.
func TestRowsRejects(t *testing.T) {
	noLeak(t)
	good, err := NewNext().Encode(parseTable(t, rowsTable))
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(good[0].Value)
	damaged[len(damaged)-80] ^= 1
	other := parseTable(t, strings.Replace(rowsTable, "_label", "_label:binary", 1))
	changed, err := NewNext().Encode(other)
	if err != nil {
		t.Fatal(err)
	}
	foreign := stream(t, "a\n1\n")
	d := NewRows(RowsOptions{Topic: "p.heavy"})
	for i, r := range []Record{
		{Value: good[0].Value, Headers: good[0].Headers},
		{Value: damaged, Headers: good[0].Headers},
		{Value: good[0].Value},
		{Value: changed[0].Value, Headers: changed[0].Headers},
		{Value: foreign, Headers: []Header{{SumHeader, sum(foreign)}}},
		{Value: []byte("x"), Headers: []Header{{SumHeader, sum([]byte("x"))}}},
	} {
		r.Partition, r.Offset, r.Time = 3, int64(i), testStamp
		d.Append(r)
	}
	got := d.Flush()
	defer got.Release()
	wantTable(t, columnsOf(t, got, Offset, Row, QueryID, StatusColumn, ReasonCode, ReasonMessage), `
		_offset  _row  _query_id      _status   _reason_code  _reason_message
		7        0     a              open      null          null
		7        1     b              open      null          null
		1        -1    p.heavy/3/1/0  rejected  undecodable   "the bytes are not those that were written: their weir-sum differs"
		2        -1    p.heavy/3/2/0  rejected  undecodable   "the record has no weir-sum header"
		3        -1    p.heavy/3/3/0  rejected  undecodable   "column _label is binary, in the record before it utf8"
		4        -1    p.heavy/3/4/0  rejected  undecodable   "no column _partition of type int32"
		5        -1    p.heavy/3/5/0  rejected  undecodable   "arrow stream, message at byte 0: no continuation marker and length"
	`)
	dead, err := NewDead("p.heavy").Encode(got)
	if err != nil || len(dead) != 5 || !bytes.Equal(dead[0].Value, damaged) || dead[0].Row != 2 {
		t.Errorf("got %d dead letters, %v", len(dead), err)
	}
}

// TestMessagesStaySmall splits a large batch, and keeps the rows' places.
func TestMessagesStaySmall(t *testing.T) {
	noLeak(t)
	one := parseTable(t, rowsTable)
	parts := make([]arrow.Record, 3000)
	for i := range parts {
		parts[i] = one
	}
	rec, err := Concat(parts)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	msgs, err := NewNext().Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for _, m := range msgs {
		if len(m.Value) > MessageBytes+8<<10 || m.Row != next || m.Rows < 100 {
			t.Errorf("a message of %d bytes, rows %d+%d, want row %d", len(m.Value), m.Row, m.Rows, next)
		}
		next += m.Rows
	}
	if next != 6000 || len(msgs) < 2 {
		t.Errorf("%d messages of %d rows", len(msgs), next)
	}
}
