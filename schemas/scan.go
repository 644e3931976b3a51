package schemas

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a JSON document.
const maxDepth = 64

// scanner reads JSON from b, beginning at i, by the rules of encoding/json: the same documents are valid,
// and strings mean the same. One thing is added: the numbers NaN, Infinity and -Infinity, as Python's json
// writes them, are scanned as numbers, so that a query that holds one can be told which column it is.
//
// The first fault is kept with its place; every method answers false once there is one.
type scanner struct {
	b     []byte
	i     int
	depth int
	buf   []byte // the last string that had to be unescaped
	raw   []byte // the last string that was base64
	fault string
	at    int
}

func (s *scanner) reset(b []byte, from int) {
	s.b, s.i, s.depth, s.fault, s.at = b, from, 0, "", 0
}

// fail notes a fault at byte i.
func (s *scanner) fail(at int, what string) bool {
	if s.fault == "" {
		s.fault, s.at = what, at
	}
	return false
}

func (s *scanner) unexpected(want string) bool {
	if s.i >= len(s.b) {
		return s.fail(s.i, "the text ends where "+want+" should stand")
	}
	return s.fail(s.i, strconv.QuoteRune(rune(s.b[s.i]))+" stands where "+want+" should")
}

// message is the fault for people.
func (s *scanner) message() string { return "byte " + strconv.Itoa(s.at) + ": " + s.fault }

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek skips space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) literal(word string) bool {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return s.unexpected("a value")
	}
	s.i += len(word)
	return true
}

// open enters an object or a list whose bracket stands at i.
func (s *scanner) open() bool {
	s.i++
	s.depth++
	if s.depth > maxDepth {
		return s.fail(s.i-1, "nested deeper than "+strconv.Itoa(maxDepth)+" levels")
	}
	return true
}

// next is called behind a member: it says whether another follows, and ends at its first byte or behind
// the closing bracket.
func (s *scanner) next(closing byte) (more, ok bool) {
	switch s.peek() {
	case ',':
		s.i++
		return true, true
	case closing:
		s.i++
		s.depth--
		return false, true
	}
	return false, s.unexpected("a comma or " + strconv.QuoteRune(rune(closing)))
}

// skip scans any value.
func (s *scanner) skip() bool {
	switch c := s.peek(); {
	case c == '{':
		return s.skipObject()
	case c == '[':
		return s.skipList()
	case c == '"':
		_, ok := s.str()
		return ok
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	default:
		_, ok := s.number()
		return ok
	}
}

func (s *scanner) skipObject() bool {
	if !s.open() {
		return false
	}
	if s.peek() == '}' {
		s.i++
		s.depth--
		return true
	}
	for {
		if _, ok := s.key(); !ok || !s.skip() {
			return false
		}
		if more, ok := s.next('}'); !ok || !more {
			return ok
		}
	}
}

func (s *scanner) skipList() bool {
	if !s.open() {
		return false
	}
	if s.peek() == ']' {
		s.i++
		s.depth--
		return true
	}
	for {
		if !s.skip() {
			return false
		}
		if more, ok := s.next(']'); !ok || !more {
			return ok
		}
	}
}

// key scans a member's name and the colon behind it.
func (s *scanner) key() ([]byte, bool) {
	if s.peek() != '"' {
		return nil, s.unexpected("a name in quotes")
	}
	k, ok := s.str()
	if !ok {
		return nil, false
	}
	if s.peek() != ':' {
		return nil, s.unexpected("a colon")
	}
	s.i++
	return k, true
}

// plain marks the bytes of a string that stand for themselves and are ASCII.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// str scans the string at i. The bytes are part of the document, or, where it has escapes or invalid UTF-8,
// of a buffer that the next string reuses.
func (s *scanner) str() ([]byte, bool) {
	from := s.i + 1
	wide := false
	for i := from; i < len(s.b); i++ {
		c := s.b[i]
		switch {
		case plain[c]:
		case c == '"':
			if wide && !utf8.Valid(s.b[from:i]) {
				return s.unescape(from)
			}
			s.i = i + 1
			return s.b[from:i], true
		case c == '\\':
			return s.unescape(from)
		case c < 0x20:
			return nil, s.fail(i, "a control character in a string")
		default:
			wide = true
		}
	}
	return nil, s.fail(len(s.b), "a string does not end")
}

// unescape copies a string with its escapes resolved; what is no UTF-8 becomes U+FFFD.
func (s *scanner) unescape(from int) ([]byte, bool) {
	out := s.buf[:0]
	for i := from; i < len(s.b); {
		c := s.b[i]
		switch {
		case c == '"':
			s.i, s.buf = i+1, out
			return out, true
		case c == '\\':
			var ok bool
			if out, i, ok = s.escape(out, i); !ok {
				return nil, false
			}
		case c < 0x20:
			return nil, s.fail(i, "a control character in a string")
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, n := utf8.DecodeRune(s.b[i:])
			out = utf8.AppendRune(out, r)
			i += n
		}
	}
	return nil, s.fail(len(s.b), "a string does not end")
}

// escape resolves the escape at i and returns the place behind it.
func (s *scanner) escape(out []byte, i int) ([]byte, int, bool) {
	if i+1 >= len(s.b) {
		return nil, i, s.fail(len(s.b), "a string does not end")
	}
	switch c := s.b[i+1]; c {
	case '"', '\\', '/':
		return append(out, c), i + 2, true
	case 'b':
		return append(out, '\b'), i + 2, true
	case 'f':
		return append(out, '\f'), i + 2, true
	case 'n':
		return append(out, '\n'), i + 2, true
	case 'r':
		return append(out, '\r'), i + 2, true
	case 't':
		return append(out, '\t'), i + 2, true
	case 'u':
		r := hex4(s.b, i+2)
		if r < 0 {
			return nil, i, s.fail(i, "a \\u escape needs four hex digits")
		}
		i += 6
		if !utf16.IsSurrogate(r) {
			return utf8.AppendRune(out, r), i, true
		}
		if i+1 < len(s.b) && s.b[i] == '\\' && s.b[i+1] == 'u' {
			if pair := utf16.DecodeRune(r, hex4(s.b, i+2)); pair != utf8.RuneError {
				return utf8.AppendRune(out, pair), i + 6, true
			}
		}
		return utf8.AppendRune(out, utf8.RuneError), i, true
	}
	return nil, i, s.fail(i, "an unknown escape in a string")
}

// hex4 reads four hex digits, -1 if there are none.
func hex4(b []byte, i int) rune {
	if len(b)-i < 4 {
		return -1
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return -1
		}
	}
	return r
}
