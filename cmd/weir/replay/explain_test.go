package replay

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	json "github.com/goccy/go-json"
)

// parse reads a prediction. Fields are named by their first letters: short, as a test's table wants them.
func parse(t *testing.T, value string) *prediction {
	t.Helper()
	p := &prediction{version: 7, signed: true}
	if err := json.Unmarshal([]byte(value), p); err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	return p
}

const whole = `{"query_id":"q","status":"answered","late":false,"label":"Bag","confidence":0.75,"scores":[0.75,0.25],"model":"light",` +
	`"model_version":"v1","gates":[{"name":"g","score":0.75,"at_least":0.5}],"columns":{"store":"s","n":1},"trace":{"total_ms":1}}`

func TestDifference(t *testing.T) {
	for _, c := range []struct {
		old, new string
		want     Kind
	}{
		{`"late":false`, `"late":true`, ""},
		{`"total_ms":1`, `"total_ms":2`, ""},
		{`"at_least":0.5`, `"at_least":0.7`, ""},
		{`[0.75`, `[0.7500001`, ""},
		{`"columns":{"store":"s","n":1}`, `"columns": {"n":1, "store":"s"}`, ""},
		{`"answered"`, `"degraded"`, Status},
		{`"answered"`, `"answered","reason":{"code":"unsure"}`, Status},
		{`"Bag"`, `"Coat"`, Label},
		{`"Bag"`, `3`, Label},
		{`"light"`, `"heavy"`, Model},
		{`"v1"`, `"v2"`, Model},
		{`,0.25]`, `]`, Scores},
		{`,0.25]`, `,0.2502]`, Scores},
		{`"confidence":0.75,`, ``, Scores},
		{`"score":0.75`, `"score":0.76`, Gates},
		{`"name":"g"`, `"name":"h"`, Gates},
		{`"s"`, `"t"`, Other},
		{`"columns":{"store":"s","n":1},`, ``, Other},
		{`"q"`, `"r"`, Other},
	} {
		changed := strings.Replace(whole, c.old, c.new, 1)
		if changed == whole {
			t.Fatalf("nothing to replace: %s", c.old)
		}
		a, b := parse(t, whole), parse(t, changed)
		if got, back := difference(a, b), difference(b, a); got != c.want || back != c.want {
			t.Errorf("%s instead of %s: %q and %q, want %q", c.new, c.old, got, back, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	k := known{map[string]string{"light": "v1", "heavy": "v1"}, map[uint32]bool{7: true}}
	// A prediction by a model, after a gate.
	said := func(model, version, label string, score, atLeast float64) string {
		return fmt.Sprintf(`{"status":"answered","label":%q,"model":%q,"model_version":%q,"gates":[{"name":"g","score":%v,"at_least":%v}]}`,
			label, model, version, score, atLeast)
	}
	const failed = `{"status":"failed","reason":{"code":"%s","message":"oh"}}`
	for _, c := range []struct {
		name     string
		was, is  string
		ran      map[string]string
		unsigned bool
		version  uint32
		want     Cause
	}{
		{name: "a cut deadline", was: `{"status":"expired","reason":{"code":"deadline"}}`, is: whole, want: Deadline},
		{name: "a deadline that cuts now", was: whole, is: `{"status":"degraded","reason":{"code":"deadline"},"label":"Bag"}`, want: Deadline},
		{name: "a higher threshold", was: said("light", "v1", "Bag", 0.6, 0.5), is: said("heavy", "v1", "Coat", 0.6, 0.7), want: Threshold},
		{name: "a lower threshold", was: said("heavy", "v1", "Bag", 0.6, 0.7), is: said("light", "v1", "Coat", 0.6, 0.5), want: Threshold},
		{name: "a threshold that does not matter", was: said("light", "v1", "Bag", 0.9, 0.5), is: said("light", "v1", "Coat", 0.9, 0.7)},
		{name: "a threshold, but the score is another", was: said("light", "v1", "Bag", 0.9, 0.5), is: said("heavy", "v1", "Bag", 0.6, 0.7)},
		{name: "another score", was: said("light", "v1", "Bag", 0.6, 0.5), is: said("heavy", "v1", "Bag", 0.4, 0.5)},
		{name: "another version", was: said("light", "v0", "Bag", 0.6, 0.5), is: said("light", "v1", "Coat", 0.6, 0.5), want: Version},
		{name: "another version that a decision knows", was: said("heavy", "v1", "Bag", 0.4, 0.5), is: said("light", "v1", "Bag", 0.6, 0.5),
			ran: map[string]string{"light": "v0", "heavy": "v1"}, want: Version},
		{name: "the versions are the same", was: said("heavy", "v1", "Bag", 0.4, 0.5), is: said("light", "v1", "Bag", 0.6, 0.5),
			ran: map[string]string{"light": "v1", "heavy": "v1"}},
		{name: "the last bits", was: said("heavy", "v1", "Bag", 0.4999999, 0.5), is: said("light", "v1", "Coat", 0.5, 0.5), want: Rounding},
		{name: "a tie", was: `{"status":"answered","label":"a","scores":[0.1,0.45,0.45]}`, is: `{"status":"answered","label":"b","scores":[0.1,0.45,0.45]}`, want: Rounding},
		{name: "no tie", was: `{"status":"answered","label":"a","scores":[0.5,0.4]}`, is: `{"status":"answered","label":"b","scores":[0.5,0.4]}`},
		{name: "one score", was: `{"status":"answered","label":"a","scores":[1]}`, is: `{"status":"answered","label":"b","scores":[1]}`},
		{name: "a model failed", was: fmt.Sprintf(failed, "model_failed"), is: whole, want: Failure},
		{name: "a model fails now", was: whole, is: fmt.Sprintf(failed, "model_failed")},
		{name: "a stage failed", was: fmt.Sprintf(failed, "stage_failed"), is: whole},
		{name: "another spec", was: `{"status":"answered","label":"a"}`, is: whole, version: 8, want: Spec},
		{name: "nobody signed", was: `{"status":"answered","label":"a"}`, is: whole, version: 8, unsigned: true},
	} {
		was, is := parse(t, c.was), parse(t, c.is)
		was.signed = !c.unsigned
		if c.version != 0 {
			was.version = c.version
		}
		got, why := k.explain(was, is, c.ran)
		if got != c.want || (why == "") != (got == "") {
			t.Errorf("%s: explained by %q (%s), want %q", c.name, got, why, c.want)
		}
	}
}

// Runs that are near are one, and there are few.
func TestSpans(t *testing.T) {
	s := &spans{from: 100, runs: make([][]run, 2)}
	for _, at := range []int64{5, 6, 7, 7 + runGap, 9 + 2*runGap} {
		s.add(100, at)
	}
	s.add(99, 1)                         // before the range
	s.add(100+2*spanOffsets, 1)          // behind it
	s.add(100+spanOffsets, 1)            // the next span's first
	s.add(100+2*spanOffsets-1, 2*runGap) // and its last
	for i := range int64(2 * runCount) { // many more
		s.add(100, (10+i)*10*runGap)
	}
	if got, want := s.runs[0][:3], []run{{5, 8 + runGap}, {9 + 2*runGap, 10 + 2*runGap}, {100 * runGap, 100*runGap + 1}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := len(s.runs[0]); n != runCount || s.runs[0][n-1].to != (9+2*runCount)*10*runGap+1 {
		t.Errorf("%d runs: %v", n, s.runs[0])
	}
	if want := []run{{1, 2}, {2 * runGap, 2*runGap + 1}}; !slices.Equal(s.runs[1], want) {
		t.Errorf("got %v, want %v", s.runs[1], want)
	}
}
