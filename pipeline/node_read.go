package pipeline

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// String reads a text. def, or "", stands in for what the spec does not have. A number or a truth value
// that is meant as text must be quoted, so that 1.10 does not become 1.1.
func (n Node) String(def ...string) string {
	if s, ok := n.text(); ok {
		return s
	}
	if n.value != nil {
		switch n.value.(type) {
		case *ast.MappingNode, *ast.SequenceNode:
			n.want("text")
		default:
			n.Errorf("want text, have %s; quote it if it is meant as text", describe(n.value))
		}
	}
	return or(def)
}

// OneOf reads one of a few words. The first is the default.
func (n Node) OneOf(choices ...string) string {
	if n.value == nil {
		return choices[0]
	}
	s, ok := n.text()
	switch {
	case !ok:
		n.Errorf("want one of %s, have %s", strings.Join(choices, ", "), describe(n.value))
	case !slices.Contains(choices, s):
		n.Errorf("unknown value %q; %s", clip(s), remedy(s, choices))
	default:
		return s
	}
	return choices[0]
}

// Bool reads true or false.
func (n Node) Bool(def ...bool) bool {
	if b, ok := n.value.(*ast.BoolNode); ok {
		return b.Value
	}
	if n.value != nil {
		n.want("true or false")
	}
	return or(def)
}

// Int reads a whole number.
func (n Node) Int(def ...int) int { return n.IntIn(math.MinInt, math.MaxInt, def...) }

// IntIn reads a whole number from low to high.
func (n Node) IntIn(low, high int, def ...int) int {
	if n.value == nil {
		return or(def)
	}
	s, ok := n.plain()
	i, err := strconv.Atoi(s)
	switch {
	case !ok || err != nil:
		n.want("a whole number")
	case i < low || i > high:
		n.Errorf("%d is out of range; from %d to %d", i, low, high)
	default:
		return i
	}
	return or(def)
}

// Float reads a finite number.
func (n Node) Float(def ...float64) float64 {
	return n.FloatIn(-math.MaxFloat64, math.MaxFloat64, def...)
}

// FloatIn reads a number from low to high.
func (n Node) FloatIn(low, high float64, def ...float64) float64 {
	if n.value == nil {
		return or(def)
	}
	s, ok := n.plain()
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case !ok || err != nil || math.IsNaN(f) || math.IsInf(f, 0):
		n.want("a number")
	case f < low || f > high:
		n.Errorf("%g is out of range; from %g to %g", f, low, high)
	default:
		return f
	}
	return or(def)
}

// Duration reads a time span with its unit, such as 10ms, 1.5s, 24h or 7d. It is never negative.
func (n Node) Duration(def ...time.Duration) time.Duration {
	if n.value == nil {
		return or(def)
	}
	s, ok := n.scalar()
	d, err := parseDuration(s)
	switch {
	case !ok || err != nil:
		n.want("a duration with its unit, such as 10ms or 24h")
	case d < 0:
		n.Errorf("%s is negative", s)
	default:
		return d
	}
	return or(def)
}

// parseDuration is time.ParseDuration with days.
func parseDuration(s string) (time.Duration, error) {
	days, ok := strings.CutSuffix(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseInt(days, 10, 64)
	if err == nil && (n > math.MaxInt64/int64(24*time.Hour) || n < 0) {
		err = strconv.ErrRange
	}
	return time.Duration(n) * 24 * time.Hour, err
}

// Bytes reads a size: a whole number of bytes, or one with a unit, such as 64KiB, 1MiB or 20MB.
func (n Node) Bytes(def ...int64) int64 {
	if n.value == nil {
		return or(def)
	}
	s, ok := n.scalar()
	size, good := parseBytes(s)
	if !ok || !good {
		n.want("a size such as 64KiB or 1MiB")
		return or(def)
	}
	return size
}

func parseBytes(s string) (int64, bool) {
	units := []struct {
		suffix string
		size   int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		return n * u.size, err == nil && n >= 0 && n <= math.MaxInt64/u.size
	}
	return 0, false
}

// Strings reads a list of texts; a single text is a list of one.
func (n Node) Strings() []string {
	var texts []string
	for _, item := range n.texts("a list of texts") {
		texts = append(texts, item.String())
	}
	return texts
}

// texts are the items of a list; a single text is a list of one.
func (n Node) texts(want string) []Node {
	if _, ok := n.text(); ok {
		return []Node{n}
	}
	if n.value != nil && !n.IsList() {
		n.want(want)
		return nil
	}
	return n.Items()
}

// distinct reads a list of texts, each of which may stand there once.
func (n Node) distinct(want string, check func(item Node, text string)) []string {
	var texts []string
	for _, item := range n.texts(want) {
		text := item.String()
		check(item, text)
		if slices.Contains(texts, text) {
			item.Errorf("%q stands twice; keep one", clip(text))
		}
		texts = append(texts, text)
	}
	return texts
}

// Map reads a map from text to text.
func (n Node) Map() map[string]string {
	entries := n.Entries()
	if entries == nil {
		return nil
	}
	texts := make(map[string]string, len(entries))
	for _, e := range entries {
		texts[e.Key] = e.Value.String()
	}
	return texts
}

// text is the value if it is a text: quoted, or nothing else by the rules of YAML.
func (n Node) text() (string, bool) {
	switch v := n.value.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	}
	return "", false
}

// plain is the value as written if it has no quotes. Numbers are read from it rather than from the
// library's idea of a number, to which 1e3 is a text and 010 is eight.
func (n Node) plain() (string, bool) {
	if s, ok := n.value.(*ast.StringNode); ok &&
		(s.Token.Type == token.SingleQuoteType || s.Token.Type == token.DoubleQuoteType) {
		return "", false
	}
	return n.scalar()
}

// scalar is the value as written if it is a single one.
func (n Node) scalar() (string, bool) {
	switch v := n.value.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.IntegerNode, *ast.FloatNode:
		return n.value.GetToken().Value, true
	}
	return "", false
}

func or[T any](def []T) T {
	if len(def) > 0 {
		return def[0]
	}
	var zero T
	return zero
}

// unique drops repetitions and keeps the order.
func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
