package schemas

import (
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
)

func TestParseType(t *testing.T) {
	for k := Bool; k <= Timestamp; k++ {
		typ, err := ParseType(k.String())
		if err != nil || typ.Kind != k || typ.String() != k.String() {
			t.Errorf("%s: got %v, %v", k, typ, err)
		}
	}
	typ, err := ParseType("fixed_list<uint8>[784]")
	if want := (Type{Kind: Uint8, Len: 784}); err != nil || typ != want || typ.String() != "fixed_list<uint8>[784]" {
		t.Errorf("got %v, %v", typ, err)
	}
	if got := typ.Arrow(); !arrow.TypeEqual(got, arrow.FixedSizeListOf(784, arrow.PrimitiveTypes.Uint8)) {
		t.Errorf("got %s", got)
	}
}

func TestParseTypeErrors(t *testing.T) {
	for text, want := range map[string]string{
		"flaot32":                       "did you mean float32?",
		"int":                           "did you mean int8?",
		"complex128":                    "known are",
		"fixed_list<flot32>[3]":         "did you mean float32?",
		"fixed_list<string>[3]":         "made of numbers",
		"fixed_list<uint8>[0]":          "from 1 to",
		"fixed_list<uint8>":             "spelled fixed_list<float32>[3]",
		"fixed_list<uint8>[9999999999]": "from 1 to",
		"fixed_list":                    "spelled",
		"fixed_list[3]":                 "spelled",
	} {
		if _, err := ParseType(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestSchemaValidate(t *testing.T) {
	u8 := Type{Kind: Uint8}
	s := Schema{Fields: []Field{{"a", u8}, {"a", u8}, {"_x", u8}, {"key", u8}, {"", u8}, {"b", Type{}}}}
	faults := s.Validate()
	for i, want := range []string{"twice", "Weir's own", "reserved field", "no name", "no valid type"} {
		if i >= len(faults) || !strings.Contains(faults[i].Error(), want) {
			t.Errorf("fault %d: got %v, want %q", i, faults, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"pixels", "amount", "store"}
	for name, want := range map[string]string{
		"pixel": "pixels", "pixles": "pixels", "amuont": "amount", "stor": "store", "zebra": "", "": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
