package schemas

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestNumbersAsStrconv compares every number's bits with strconv, the plain way.
func TestNumbersAsStrconv(t *testing.T) {
	text := rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?`),
		rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }),
		rapid.Map(rapid.Float32(), func(f float32) string { return strconv.FormatFloat(float64(f), 'f', -1, 32) }),
		// the middle between two neighbours, and just beside it
		rapid.Map(rapid.Float32Range(1e-9, 1e9), func(f float32) string {
			mid := (float64(f) + float64(math.Nextafter32(f, 2e9))) / 2
			return strconv.FormatFloat(mid, 'f', -1, 64)
		}),
		rapid.Map(rapid.Float32Range(1e-3, 1e6), func(f float32) string {
			mid := (float64(f) + float64(math.Nextafter32(f, 2e9))) / 2
			return strconv.FormatFloat(math.Nextafter(mid, 0), 'f', 18, 64)
		}),
	)
	rapid.Check(t, func(t *rapid.T) {
		s, v := text.Draw(t, "number"), verdict{}
		if !json.Valid([]byte(s)) { // the generator writes +Inf too
			return
		}
		for _, kind := range []Kind{Float32, Float64} {
			bits := 8 * kind.width()
			want, err := strconv.ParseFloat(s, bits)
			scan := scanner{b: []byte("[" + s + "," + s + ", " + s + "]")}
			b := newBuilder(Type{Kind: kind, Len: 3})
			if ok := scan.value(&b, &v); !ok {
				t.Fatalf("%s: %s", s, scan.message())
			}
			if (err != nil) != (b.n == 0) {
				t.Fatalf("%s as %s: strconv says %v, we %v", s, kind, err, v)
			}
			v = verdict{}
			for i := range 3 * b.n {
				got := numberBits(b.data, i*kind.width(), kind)
				if got != floatBits(want, kind) {
					t.Fatalf("%s as %s, element %d: got bits %x, want %x", s, kind, i, got, floatBits(want, kind))
				}
			}
			b.finish().Release()
		}
	})
}

func numberBits(b []byte, at int, k Kind) uint64 { return integerAt(b[at:], k.width(), false) }

func floatBits(f float64, k Kind) uint64 {
	if k == Float32 {
		return uint64(math.Float32bits(float32(f)))
	}
	return math.Float64bits(f)
}

// TestIntegersAsStrconv does the same for integers of every kind.
func TestIntegersAsStrconv(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`-?(0|[1-9][0-9]{0,22})`), rapid.StringMatching(`-?[0-9]{1,3}(\.0|e1)?`),
		rapid.SampledFrom([]string{"-128", "-129", "127", "128", "255", "256", "65535", "65536", "-32768", "4294967295",
			"4294967296", "18446744073709551615", "18446744073709551616", "9223372036854775807", "9223372036854775808",
			"-9223372036854775808", "-9223372036854775809", "-0"}))
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "number")
		if !json.Valid([]byte(s)) {
			return
		}
		for k := Int8; k <= Uint64; k++ {
			want, err := uint64(0), error(nil)
			if neg, _ := k.span(); neg > 0 {
				var i int64
				i, err = strconv.ParseInt(s, 10, 8*k.width())
				want = uint64(i)
			} else if s != "-0" {
				want, err = strconv.ParseUint(s, 10, 8*k.width())
			}
			var v verdict
			scan := scanner{b: []byte("[" + s + "," + s + "]")}
			b := newBuilder(Type{Kind: k, Len: 2})
			if !scan.value(&b, &v) {
				t.Fatalf("%s: %s", s, scan.message())
			}
			if (err != nil) != (v.code == WrongType) {
				t.Fatalf("%s as %s: strconv says %v, we %v", s, k, err, v)
			}
			if err == nil {
				for i := range 2 {
					if got := integerAt(b.data[i*k.width():], k.width(), false); got != want&(math.MaxUint64>>(64-8*k.width())) {
						t.Fatalf("%s as %s: got %x, want %x", s, k, got, want)
					}
				}
			}
			b.finish().Release()
		}
	})
}

// TestStringsAsEncodingJSON compares strings, valid or not, with encoding/json.
func TestStringsAsEncodingJSON(t *testing.T) {
	piece := rapid.OneOf(
		rapid.StringMatching(`[a-zä€😀"\\/]`), rapid.SampledFrom([]string{`\u00e4`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\ud83dx`, `\ud83d\u0041`,
			`\n`, `\"`, `\\`, `\/`, `\b`, `\f`, `\r`, `\t`, `\x`, `\u12`, `\u12G4`, "\xff", "\xc3", "\xe2\x82", "\x00", "\n", "\x7f", `\uABCD`}))
	rapid.Check(t, func(t *rapid.T) {
		text := `"`
		for _, p := range rapid.SliceOfN(piece, 0, 8).Draw(t, "pieces") {
			text += p
		}
		if rapid.IntRange(0, 9).Draw(t, "end") > 0 {
			text += `"`
		}
		var want string
		err := json.Unmarshal([]byte(text), &want)
		s := scanner{b: []byte(text)}
		got, ok := s.str()
		s.space()
		ok = ok && s.i == len(text)
		if ok != (err == nil) || ok && string(got) != want {
			t.Fatalf("%q: got %q, %v; encoding/json says %q, %v", text, got, ok, want, err)
		}
	})
}

// TestDocumentsAsEncodingJSON asks of random bytes that look like JSON whether they are.
func TestDocumentsAsEncodingJSON(t *testing.T) {
	token := rapid.SampledFrom([]string{"{", "}", "[", "]", ",", ":", `"a"`, `"b"`, "1", "-", "0", "01", "1.5", "1.", ".5", "1e5", "1e", "true",
		"false", "null", "nul", " ", "\n", `"\`, `"`, "\xef\xbb\xbf", "{}", "[]", `"a":1`, `"c":[1,2]`})
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(nil)
		for _, p := range rapid.SliceOfN(token, 0, 12).Draw(t, "tokens") {
			text = append(text, p...)
		}
		s := scanner{b: text}
		ok := s.skip()
		if s.space(); ok && s.i < len(s.b) {
			ok = s.unexpected("the end")
		}
		if ok != json.Valid(text) {
			t.Fatalf("%q: got %v (%s), encoding/json says %v", text, ok, s.message(), json.Valid(text))
		}
		if ok && s.depth != 0 {
			t.Fatalf("%q: depth %d at the end", text, s.depth)
		}
	})
}

func TestDepthIsBounded(t *testing.T) {
	for _, open := range []string{"[", `{"a":`} {
		s := scanner{b: bytes.Repeat([]byte(open), 100_000)}
		if s.skip() || s.fault != "nested deeper than 64 levels" {
			t.Errorf("%s: got %q", open, s.fault)
		}
	}
}
