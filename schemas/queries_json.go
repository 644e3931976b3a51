package schemas

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
)

type format uint8

const (
	formatObject format = iota + 1
	formatArray
	formatLines
	formatArrow
)

// continuation begins every message of an Arrow IPC stream.
const continuation = 0xFFFFFFFF

// formatOf tells how the queries of a record are written.
func formatOf(r Record) format {
	kind := ""
	for _, h := range r.Headers {
		if strings.EqualFold(h.Key, ContentType) {
			kind, _, _ = strings.Cut(string(h.Value), ";")
			kind = strings.ToLower(strings.TrimSpace(kind))
		}
	}
	arrow := len(r.Value) >= 4 && binary.LittleEndian.Uint32(r.Value) == continuation
	text := bytes.TrimLeft(r.Value, " \t\r\n")
	array := len(text) > 0 && text[0] == '['
	switch {
	case kind == ArrowStream, kind != JSON && kind != NDJSON && arrow:
		return formatArrow
	case kind == NDJSON:
		return formatLines
	case array:
		return formatArray
	case kind != JSON && lines(text):
		return formatLines
	}
	return formatObject
}

// lines says that the text looks like an object a line, and not like one object over several lines.
func lines(text []byte) bool {
	line, rest, _ := bytes.Cut(text, []byte{'\n'})
	line, rest = bytes.TrimRight(line, " \t\r"), bytes.TrimLeft(rest, " \t\r\n")
	return bytes.HasSuffix(line, []byte{'}'}) && bytes.HasPrefix(rest, []byte{'{'})
}

// decode appends the rows of a record. A verdict is about the record as a whole.
func (d *Queries) decode(r Record) verdict {
	switch formatOf(r) {
	case formatArrow:
		return d.arrow(r)
	case formatArray:
		return d.array(r)
	case formatLines:
		return d.lines(r)
	}
	d.startRow()
	d.scan.reset(r.Value, 0)
	if !d.document() {
		d.q.verdict = verdict{Undecodable, "", d.scan.message()}
	}
	d.endRow(r, r.Value)
	return verdict{}
}

// document scans an object that the text ends with.
func (d *Queries) document() bool {
	if !d.object() {
		return false
	}
	if d.scan.space(); d.scan.i < len(d.scan.b) {
		return d.scan.unexpected("the end")
	}
	return true
}

// lines decodes an object a line. Only a bad line is undecodable, and its bytes alone are kept.
func (d *Queries) lines(r Record) verdict {
	for from := 0; from < len(r.Value); {
		to := len(r.Value)
		if i := bytes.IndexByte(r.Value[from:], '\n'); i >= 0 {
			to = from + i
		}
		if line := r.Value[from:to]; len(bytes.TrimSpace(line)) > 0 {
			if d.expands(len(r.Value)) {
				return expandFault()
			}
			d.startRow()
			d.scan.reset(r.Value[:to], from)
			if !d.document() {
				d.q.verdict = verdict{Undecodable, "", d.scan.message()}
			}
			d.endRow(r, line)
		}
		from = to + 1
	}
	if len(d.rows) == 0 {
		return verdict{Undecodable, "", "the record holds no query"}
	}
	return verdict{}
}

// array decodes a list of objects. Where it is no JSON nobody can tell where its queries end: the record is
// undecodable as a whole.
func (d *Queries) array(r Record) verdict {
	s := &d.scan
	s.reset(r.Value, 0)
	s.space()
	more := s.open()
	if s.peek() == ']' {
		return verdict{Undecodable, "", "the record holds no query"}
	}
	for more {
		if d.expands(len(r.Value)) {
			return expandFault()
		}
		d.startRow()
		s.space()
		from := s.i
		if !d.object() {
			break
		}
		d.endRow(r, r.Value[from:s.i])
		var ok bool
		if more, ok = s.next(']'); !ok {
			break
		}
	}
	if s.space(); s.fault == "" && s.i < len(s.b) {
		s.unexpected("the end")
	}
	if s.fault != "" {
		return verdict{Undecodable, "", s.message()}
	}
	return verdict{}
}

// object scans one query into the row in hand.
func (d *Queries) object() bool {
	s, row := &d.scan, d.Rows()
	if s.peek() != '{' {
		return s.unexpected("an object")
	}
	if !s.open() {
		return false
	}
	if s.peek() == '}' {
		s.i++
		s.depth--
		return true
	}
	for {
		if !d.member(row) {
			return false
		}
		if more, ok := s.next('}'); !ok || !more {
			return ok
		}
	}
}

// member scans one name and its value.
func (d *Queries) member(row int) bool {
	s, q := &d.scan, &d.q
	s.space()
	at := s.i
	name, ok := s.key()
	if !ok {
		return false
	}
	if i, known := d.index[string(name)]; known {
		if d.seen[i] == d.serial {
			return s.fail(at, "column "+d.opt.Schema.Fields[i].Name+" stands twice")
		}
		d.seen[i] = d.serial
		before := q.code
		ok := s.value(&d.cols[i], &q.verdict)
		if before == "" && q.code != "" {
			q.column = d.opt.Schema.Fields[i].Name
		}
		return ok
	}
	if f := reservedField(string(name)); f != 0 {
		if q.seenFields&(1<<f) != 0 {
			return s.fail(at, "field "+string(name)+" stands twice")
		}
		q.seenFields |= 1 << f
		return d.field(f)
	}
	d.extra(name)
	return s.skip()
}

// extra handles a column that the schema lacks.
func (d *Queries) extra(name []byte) {
	d.counts.Extra++
	if d.opt.Schema.RejectUnknown && d.q.code == "" {
		d.q.verdict = verdict{WrongType, string(name), "the schema has no such column"}
	}
}

// field scans the value of a reserved field.
func (d *Queries) field(f int) bool {
	s, q := &d.scan, &d.q
	c := s.peek()
	bad := func(column, want string) {
		if q.code == "" {
			q.verdict = verdict{WrongType, column, describe(c) + ", " + want}
		}
	}
	switch {
	case c == 'n':
		return s.literal("null")
	case f == fieldQueryID && c == '"', f == fieldKey && c == '"':
		text, ok := s.str()
		if f == fieldQueryID {
			q.id, q.hasID = append(q.id[:0], text...), len(text) > 0
		} else {
			q.key, q.hasKey = append(q.key[:0], text...), true
		}
		return ok
	case f == fieldQueryID && numeric(c):
		n, ok := s.number()
		if !ok {
			return false
		}
		if q.id, q.hasID = append(q.id[:0], s.b[n.from:n.to]...), !n.frac; n.frac {
			bad("query_id", "an id is a string or an integer")
		}
		return true
	case f == fieldTimeout && numeric(c):
		n, ok := s.number()
		if !ok {
			return false
		}
		ms, fits := s.float64(n)
		if q.timeout = ms; !fits || !(ms > 0) || math.IsInf(ms, 0) {
			q.timeout = 0
			bad("timeout_ms", "a timeout is above 0 milliseconds")
		}
		return true
	case f == fieldEventTime && (c == '"' || numeric(c)):
		before := q.code
		us, ok := s.time(&q.verdict)
		if before == "" && q.code != "" {
			q.column = "event_time"
		} else if q.code == "" {
			q.eventTime, q.hasEvent = us, true
		}
		return ok
	}
	switch f {
	case fieldQueryID:
		bad("query_id", "an id is a string or an integer")
	case fieldKey:
		bad("key", "a key is a string")
	case fieldTimeout:
		bad("timeout_ms", "a timeout is a number of milliseconds")
	case fieldEventTime:
		bad("event_time", "a time is RFC 3339 or milliseconds since 1970")
	}
	return s.skip()
}
