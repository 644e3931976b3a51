package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	spec := writeShop(t)
	got := weir(t, "", "check", spec)
	want := `pipeline   shop (` + spec + `)
schema     amount: float32
models     light: linear, light.json
           heavy: linear, heavy.json
segments   light: predict light, gate sure
           heavy: predict heavy
runs       light + heavy: shop.queries -> shop.predictions
objective  10ms, deadline none
topics     2 partitions, replication 1, kept for 24h0m0s
`
	if got.code != exitOK || got.out != want {
		t.Errorf("code %d, %s\ngot\n%s\nwant\n%s", got.code, got.err, got.out, want)
	}
	if err := os.WriteFile(spec, []byte(testSpec+"order: key\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got = weir(t, "", "check", spec); !strings.Contains(got.out, "\norder      the predictions of one key in the order of its queries\n") {
		t.Errorf("in order: code %d, %s%s", got.code, got.out, got.err)
	}
	if err := os.WriteFile(spec, []byte(testSpec+"layout: {cut: [heavy]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got = weir(t, "", "check", spec)
	for _, line := range []string{"light: shop.queries -> shop.predictions, shop.heavy\n", "heavy: shop.heavy -> shop.predictions\n"} {
		if !strings.Contains(got.out, line) {
			t.Errorf("cut in two: no %q in\n%s", line, got.out)
		}
	}
}

// All faults of a spec are told at once, a line each as editors understand it.
func TestCheckFaults(t *testing.T) {
	spec := writeShop(t)
	broken := strings.NewReplacer("{model: heavy}", "{model: haevy}", "at_least", "at_laest").Replace(testSpec)
	if err := os.WriteFile(spec, []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	got := weir(t, "", "check", spec)
	lines := strings.Split(strings.TrimSpace(got.err), "\n")
	if got.code != exitFailure || got.out != "" || len(lines) < 3 || lines[len(lines)-1] != "weir: "+spec+" has faults: 3" {
		t.Errorf("code %d, output %q, error output\n%s", got.code, got.out, got.err)
	}
	for _, want := range []string{spec + ":12:", "did you mean at_least?", spec + ":14:", "did you mean heavy?"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("no %q in\n%s", want, got.err)
		}
	}
}

func TestCheckModels(t *testing.T) {
	spec := writeShop(t)
	if err := os.Remove(filepath.Join(filepath.Dir(spec), "light.json")); err != nil {
		t.Fatal(err)
	}
	got := weir(t, "", "check", spec)
	if got.code != exitFailure || !strings.Contains(got.err, spec+":6:") || !strings.Contains(got.err, "light.json") {
		t.Errorf("a missing model: code %d, %s", got.code, got.err)
	}
	for _, name := range []string{"light.json", "heavy.json"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(spec), name), []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got = weir(t, "", "check", spec)
	lines := strings.Split(strings.TrimSpace(got.err), "\n")
	if got.code != exitFailure || len(lines) != 2 || !strings.HasPrefix(lines[0], "weir: "+spec+":6:34: gpu: model light: ") || !strings.HasPrefix(lines[1], spec+":7:34: gpu: model heavy: ") {
		t.Errorf("two damaged models: code %d, want a line and a place for each:\n%s", got.code, got.err)
	}
	if got := weir(t, "", "check", spec, "--spec-only"); got.code != exitOK {
		t.Errorf("--spec-only: code %d, %s", got.code, got.err)
	}
}
