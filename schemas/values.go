package schemas

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
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

// tensor scans a list of numbers, or a base64 string of their little-endian bytes, into row n of b.
func (s *scanner) tensor(b *builder, v *verdict, c byte) bool {
	switch c {
	case '"':
		return s.base64(b, v)
	case '[':
	default:
		v.set(WrongType, describe(c)+", the schema says "+b.typ.String())
		return s.skip()
	}
	n, ok := s.list(b.slot(), b.typ, v)
	if !ok {
		return false
	}
	if n != b.typ.Len {
		v.set(WrongLength, fmt.Sprintf("%d numbers, the schema says %d", n, b.typ.Len))
	}
	if v.code == "" {
		b.done(true)
	}
	return true
}

// list scans a list of numbers into a tensor's memory and counts them; those beyond its end are only
// counted.
func (s *scanner) list(dst []byte, t Type, v *verdict) (n int, ok bool) {
	if !s.open() {
		return 0, false
	}
	if s.peek() == ']' {
		s.i++
		s.depth--
		return 0, true
	}
	switch t.Kind {
	case Uint8:
		return listInts(s, dst, t, v)
	case Int8:
		return listInts(s, arrow.Int8Traits.CastFromBytes(dst), t, v)
	case Int16:
		return listInts(s, arrow.Int16Traits.CastFromBytes(dst), t, v)
	case Int32:
		return listInts(s, arrow.Int32Traits.CastFromBytes(dst), t, v)
	case Int64:
		return listInts(s, arrow.Int64Traits.CastFromBytes(dst), t, v)
	case Uint16:
		return listInts(s, arrow.Uint16Traits.CastFromBytes(dst), t, v)
	case Uint32:
		return listInts(s, arrow.Uint32Traits.CastFromBytes(dst), t, v)
	case Uint64:
		return listInts(s, arrow.Uint64Traits.CastFromBytes(dst), t, v)
	case Float32:
		return listFloats(s, arrow.Float32Traits.CastFromBytes(dst), t, v)
	}
	return listFloats(s, arrow.Float64Traits.CastFromBytes(dst), t, v)
}

// listInts scans the elements of a list up to its end. Most are a few digits and a comma; those it reads
// in place, all others go through element.
func listInts[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](s *scanner, dst []T, t Type, v *verdict) (n int, ok bool) {
	_, limit := t.Kind.span()
	for more := true; more; n++ {
		b, i, m := s.b, s.i, uint64(0)
		for i < len(b) && b[i]-'0' <= 9 {
			m = m*10 + uint64(b[i]-'0')
			i++
		}
		digits := i - s.i
		if digits > 0 && digits < 19 && m <= limit && i < len(b) && b[i] == ',' && (b[s.i] != '0' || digits == 1) {
			if n < len(dst) {
				dst[n] = T(m)
			}
			if i++; i < len(b) && b[i] == ' ' {
				i++
			}
			s.i = i
			continue
		}
		if more, ok = s.element(elementBytes(dst, n), t, n, v); !ok {
			return n, false
		}
	}
	return n, true
}

// listFloats scans the elements of a list up to its end. A number of up to 19 digits without an exponent,
// behind which a comma stands, it reads in place; all others go through element.
func listFloats[T float32 | float64](s *scanner, dst []T, t Type, v *verdict) (n int, ok bool) {
	single := unsafe.Sizeof(T(0)) == 4
	for more := true; more; n++ {
		b, i, m, exp := s.b, s.i, uint64(0), 0
		neg := i < len(b) && b[i] == '-'
		if neg {
			i++
		}
		first := i
		for i < len(b) && b[i]-'0' <= 9 {
			m = m*10 + uint64(b[i]-'0')
			i++
		}
		digits := i - first
		plain := digits == 1 || digits > 1 && b[first] != '0'
		if plain && i < len(b) && b[i] == '.' {
			i++
			point := i
			for i < len(b) && b[i]-'0' <= 9 {
				m = m*10 + uint64(b[i]-'0')
				i++
			}
			exp = i - point
			digits += exp
			plain = exp > 0
		}
		if plain && digits <= 19 && n < len(dst) && i < len(b) && b[i] == ',' {
			f := float64(m) / pow10[exp]
			if single && safe32(f, m) || !single && m < 1<<53 {
				if neg {
					f = -f
				}
				dst[n] = T(f)
				if i++; i < len(b) && b[i] == ' ' {
					i++
				}
				s.i = i
				continue
			}
		}
		if more, ok = s.element(elementBytes(dst, n), t, n, v); !ok {
			return n, false
		}
	}
	return n, true
}

// elementBytes is the memory of element n, or of a spare one beyond the end.
func elementBytes[T any](dst []T, n int) []byte {
	var spare T
	p := &spare
	if n < len(dst) {
		p = &dst[n]
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(spare))
}

// element scans any one element of a list and the comma or bracket behind it.
func (s *scanner) element(dst []byte, t Type, n int, v *verdict) (more, ok bool) {
	c := s.peek()
	if !numeric(c) {
		if !s.skip() {
			return false, false
		}
		v.set(WrongType, fmt.Sprintf("element %d is %s, the schema says %s", n, describe(c), t))
		return s.next(']')
	}
	num, ok := s.number()
	if !ok {
		return false, false
	}
	var fault verdict
	if s.put(dst, t, num, &fault); fault.code != "" {
		v.set(fault.code, fmt.Sprintf("element %d: %s", n, fault.message))
	}
	return s.next(']')
}

// base64 scans a base64 string: the bytes of a binary column, or a tensor's elements.
func (s *scanner) base64(b *builder, v *verdict) bool {
	at := s.i
	text, ok := s.str()
	if !ok {
		return false
	}
	raw, err := base64.StdEncoding.AppendDecode(s.raw[:0], text)
	s.raw = raw
	if err != nil {
		v.set(WrongType, fmt.Sprintf("the string at byte %d is no base64", at))
		return true
	}
	if !b.typ.Tensor() {
		b.appendBytes(raw)
		return true
	}
	if len(raw) != b.width {
		v.set(WrongLength, fmt.Sprintf("%d bytes, the schema says %d numbers of %d", len(raw), b.typ.Len, b.typ.Kind.width()))
		return true
	}
	if i := notFinite(raw, b.typ.Kind); i >= 0 && !b.typ.NaN {
		v.set(NotANumber, fmt.Sprintf("element %d is NaN or infinite, the schema allows none such", i))
		return true
	}
	b.appendFixed(raw)
	return true
}

// notFinite is the first element that is NaN or infinite, -1 if there is none. Those have an exponent of
// all ones.
func notFinite(raw []byte, k Kind) int {
	switch k {
	case Float32:
		for i, f := range arrow.Uint32Traits.CastFromBytes(raw) {
			if f&0x7f800000 == 0x7f800000 {
				return i
			}
		}
	case Float64:
		for i, f := range arrow.Uint64Traits.CastFromBytes(raw) {
			if f&0x7ff0000000000000 == 0x7ff0000000000000 {
				return i
			}
		}
	}
	return -1
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
