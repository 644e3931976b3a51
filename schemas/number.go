package schemas

import (
	"math"
	"strconv"
	"unsafe"
)

// number is one scanned number: mant × 10^exp, unless it is long or special.
type number struct {
	mant    uint64
	exp     int
	from    int // its text is b[from:to]
	to      int
	neg     bool
	frac    bool // it has a point or an exponent
	long    bool // more than 19 digits: mant is not exact
	special bool // NaN or an infinity
}

// number scans the number at i.
func (s *scanner) number() (n number, ok bool) {
	b, i := s.b, s.i
	n.from = i
	if i < len(b) && b[i] == '-' {
		n.neg = true
		i++
	}
	first := i
	for i < len(b) && b[i]-'0' <= 9 {
		n.mant = n.mant*10 + uint64(b[i]-'0')
		i++
	}
	digits := i - first
	if digits == 0 {
		return s.word(n, i)
	}
	if digits > 1 && b[first] == '0' {
		return n, s.fail(first, "a number begins with 0")
	}
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && b[i]-'0' <= 9 {
			n.mant = n.mant*10 + uint64(b[i]-'0')
			i++
		}
		if i == point {
			return n, s.fail(i, "a digit must follow the point")
		}
		n.exp = point - i
		n.frac = true
		digits += i - point
		if digits > 19 {
			digits = significant(b[first:i])
		}
	}
	n.long = digits > 19
	if i < len(b) && b[i]|0x20 == 'e' {
		if i, ok = s.exponent(&n, i+1); !ok {
			return n, false
		}
	}
	s.i, n.to = i, i
	return n, true
}

// significant counts digits without leading zeros.
func significant(b []byte) int {
	count, seen := 0, false
	for _, c := range b {
		if c == '.' {
			continue
		}
		if seen = seen || c != '0'; seen {
			count++
		}
	}
	return count
}

func (s *scanner) exponent(n *number, i int) (int, bool) {
	b, neg, exp := s.b, false, 0
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		neg = b[i] == '-'
		i++
	}
	first := i
	for i < len(b) && b[i]-'0' <= 9 {
		exp = min(exp*10+int(b[i]-'0'), 1<<20)
		i++
	}
	if i == first {
		return i, s.fail(i, "a digit must stand in the exponent")
	}
	if neg {
		exp = -exp
	}
	n.exp += exp
	n.frac = true
	return i, true
}

// word scans NaN and the infinities.
func (s *scanner) word(n number, i int) (number, bool) {
	n.special, n.frac = true, true
	for _, w := range [...]string{"NaN", "Infinity"} {
		if len(s.b)-i >= len(w) && string(s.b[i:i+len(w)]) == w && !(n.neg && w == "NaN") {
			n.to = i + len(w)
			s.i = n.to
			return n, true
		}
	}
	if n.neg {
		s.i = i
		return n, s.unexpected("a digit")
	}
	return n, s.unexpected("a value")
}

func (s *scanner) text(n number) string {
	return unsafe.String(unsafe.SliceData(s.b[n.from:n.to]), n.to-n.from)
}

var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// scaled is mant × 10^exp in one rounding of mant and one of the product; ok is false where that would
// not do.
func (n number) scaled() (f float64, ok bool) {
	if n.long || n.special || n.exp < -22 || n.exp > 22 {
		return 0, false
	}
	f = float64(n.mant)
	if n.exp < 0 {
		f /= pow10[-n.exp]
	} else {
		f *= pow10[n.exp]
	}
	if n.neg {
		f = -f
	}
	return f, true
}

// float64 is the nearest float64; ok is false if the number is too large. Below 2^53 the digits and up to
// 10^22 the power are exact, so that one division rounds correctly (Clinger 1990); else strconv does it.
func (s *scanner) float64(n number) (f float64, ok bool) {
	if n.mant < 1<<53 {
		if f, ok = n.scaled(); ok {
			return f, true
		}
	}
	f, err := strconv.ParseFloat(s.text(n), 64)
	return f, err == nil
}

// float32 is the nearest float32; ok is false if the number is too large.
func (s *scanner) float32(n number) (float32, bool) {
	if f, ok := n.scaled(); ok && safe32(math.Abs(f), n.mant) {
		return float32(f), true
	}
	f, err := strconv.ParseFloat(s.text(n), 32)
	return float32(f), err == nil
}

// safe32 says that rounding f, mant scaled, to float32 gives what rounding the number itself would. f is
// off by less than two units of its 53rd bit, so that holds unless f lies that close to the middle between
// two float32, or is subnormal or too large as one.
func safe32(f float64, mant uint64) bool {
	middle := math.Float64bits(f)&(1<<29-1) - (1<<28 - 4)
	return middle > 8 && f < math.MaxFloat32 && (f > 0x1p-126 || mant == 0)
}
