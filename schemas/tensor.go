package schemas

import (
	"encoding/base64"
	"fmt"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
)

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
