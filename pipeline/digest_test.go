package pipeline_test

import (
	"strings"
	"testing"

	"weir/pipeline"
)

const digested = `pipeline: p
objective: 10ms
schema: {x: float32}
models:
  m: {runtime: r, path: m, scores: {output: y, apply: softmax}}
stages:
  - predict: {model: m}
  - gate: {at_least: 0.5, name: g}   # half
`

func digest(t *testing.T, text string, versions map[string]string) string {
	t.Helper()
	s, err := pipeline.Parse("p.yaml", []byte(text), kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	units, err := s.Plan(nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Digest(units[0], versions)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The digest tells apart what answers differently, and nothing else.
func TestDigest(t *testing.T) {
	is := map[string]string{"m": "1"}
	base := digest(t, digested, is)
	for from, to := range map[string]string{
		"10ms": "20ms", "path: m": "path: other/m", "   # half": "", "{at_least: 0.5, name: g}": "\n      name: g\n      at_least: 0.5",
	} {
		if got := digest(t, strings.Replace(digested, from, to, 1), is); got != base {
			t.Errorf("%q for %q: another digest, want the same", to, from)
		}
	}
	seen := map[string]string{base: "as it is"}
	for from, to := range map[string]string{
		"pipeline: p": "pipeline: q", "x: float32": "x: float64", "0.5": "0.6", "softmax": "sigmoid",
		"schema:": "topics: {partitions: 8}\nschema:", "stages:": "order: key\nstages:", "name: g": "name: h",
	} {
		got := digest(t, strings.Replace(digested, from, to, 1), is)
		if also, ok := seen[got]; ok {
			t.Errorf("%q for %q: the digest of %s, want another", to, from, also)
		}
		seen[got] = to
	}
	if digest(t, digested, map[string]string{"m": "2"}) == base {
		t.Error("another version of the model: the same digest")
	}
}
