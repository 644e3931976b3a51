package schemas

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
	"unsafe"
)

// verdict is why a query is rejected; without a code it is not.
type verdict struct{ code, column, message string }

func (v *verdict) set(code, message string) {
	if v.code == "" {
		v.code, v.message = code, message
	}
}

// value scans the JSON value at the scanner into row n of b. A value that does not fit leaves row n
// unwritten and a verdict; only a document that is no JSON answers false.
func (s *scanner) value(b *builder, v *verdict) bool {
	c := s.peek()
	if c == 'n' {
		if !s.literal("null") {
			return false
		}
		if !b.typ.Null {
			v.set(WrongType, "null, the schema says "+b.typ.String())
			return true
		}
		b.appendNull()
		return true
	}
	if b.typ.Tensor() {
		return s.tensor(b, v, c)
	}
	switch k := b.typ.Kind; {
	case k == Bool && (c == 't' || c == 'f'):
		if !s.skip() {
			return false
		}
		b.appendBool(c == 't')
		return true
	case k == String && c == '"':
		t, ok := s.str()
		if ok {
			b.appendBytes(t)
		}
		return ok
	case k == Binary && c == '"':
		return s.base64(b, v)
	case k == Timestamp && (c == '"' || numeric(c)):
		us, ok := s.time(v)
		if ok && v.code == "" {
			b.appendInt64(us)
		}
		return ok
	case k.Numeric() && numeric(c):
		n, ok := s.number()
		if !ok {
			return false
		}
		if s.put(b.slot(), b.typ, n, v); v.code == "" {
			b.done(true)
		}
		return true
	}
	v.set(WrongType, describe(c)+", the schema says "+b.typ.String())
	return s.skip()
}

func numeric(c byte) bool { return c-'0' <= 9 || c == '-' || c == 'N' || c == 'I' }

// describe names the JSON value that begins with c.
func describe(c byte) string {
	switch c {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// put writes one number, little-endian.
func (s *scanner) put(dst []byte, t Type, n number, v *verdict) {
	switch t.Kind {
	case Float32:
		f, ok := s.float32(n)
		if s.finite(t, n, ok, v) {
			binary.LittleEndian.PutUint32(dst, math.Float32bits(f))
		}
	case Float64:
		f, ok := s.float64(n)
		if s.finite(t, n, ok, v) {
			binary.LittleEndian.PutUint64(dst, math.Float64bits(f))
		}
	default:
		bits, ok := s.integer(t.Kind, n)
		if !ok {
			v.set(WrongType, s.clip(n)+" is no "+t.Kind.String())
			return
		}
		putUint(dst, bits)
	}
}

// putUint writes the low bytes of bits.
func putUint(dst []byte, bits uint64) {
	for i := range dst {
		dst[i] = byte(bits >> (8 * i))
	}
}

// finite checks a float that was scanned: ok says that it fits.
func (s *scanner) finite(t Type, n number, ok bool, v *verdict) bool {
	switch {
	case n.special && !t.NaN:
		v.set(NotANumber, s.text(n)+" is no number, the schema allows none such")
		return false
	case !ok && !n.special:
		v.set(WrongType, s.clip(n)+" does not fit "+t.Kind.String())
		return false
	}
	return true
}

// clip is a number's text for a message.
func (s *scanner) clip(n number) string {
	t := string(s.b[n.from:n.to])
	if len(t) > 40 {
		t = t[:40] + "…"
	}
	return t
}

// integer is n in two's complement if it is an integer within the kind's range. As with encoding/json 1.0
// is none.
func (s *scanner) integer(k Kind, n number) (bits uint64, ok bool) {
	if n.frac {
		return 0, false
	}
	mant := n.mant
	if n.long {
		from := n.from
		if n.neg {
			from++
		}
		var err error
		if mant, err = strconv.ParseUint(string(s.b[from:n.to]), 10, 64); err != nil {
			return 0, false
		}
	}
	neg, pos := k.span()
	if n.neg {
		return -mant, mant <= neg
	}
	return mant, mant <= pos
}

// span is how far an integer kind reaches below and above zero.
func (k Kind) span() (neg, pos uint64) {
	bits := 8 * k.width()
	if k >= Uint8 && k <= Uint64 {
		return 0, math.MaxUint64 >> (64 - bits)
	}
	return 1 << (bits - 1), 1<<(bits-1) - 1
}

// The years 0 to 9999 in milliseconds since 1970: what RFC 3339 can write.
const (
	minMillis = -62167219200000
	maxMillis = 253402300799999
)

// time scans a timestamp: a string of RFC 3339, or milliseconds since 1970. It answers microseconds.
func (s *scanner) time(v *verdict) (us int64, ok bool) {
	if s.peek() == '"' {
		text, ok := s.str()
		if !ok {
			return 0, false
		}
		us, err := parseTime(text)
		if err != nil {
			v.set(WrongType, fmt.Sprintf("%.40q is no time as in 2006-01-02T15:04:05Z", text))
		}
		return us, true
	}
	n, ok := s.number()
	if !ok {
		return 0, false
	}
	f, fits := s.float64(n)
	if !fits || n.special || f < minMillis || f > maxMillis {
		v.set(WrongType, s.clip(n)+" is no time in milliseconds since 1970")
		return 0, true
	}
	return int64(math.Round(f * 1000)), true
}

func parseTime(text []byte) (us int64, err error) {
	t, err := time.Parse(time.RFC3339, unsafe.String(unsafe.SliceData(text), len(text)))
	if err != nil {
		return 0, err
	}
	return t.UnixMicro(), nil
}
