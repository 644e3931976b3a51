// Package mutants_test tests the tests: each part of the exactly-once effect is taken out of the source, one at a
// time, and the tests that guard it must fail.
//
// A mutant is built from a copy of one file (go build -overlay), so that nothing in the product knows of it.
package mutants_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weir/internal/racing"
)

// A mutant is the product with a part taken out: in a file, a piece of source that is there once is replaced.
type mutant struct {
	name           string
	file, was, now string
	pkg, run       string // the tests that must fail on a real Kafka
	finding        string // in what they say
}

var mutants = [...]mutant{
	{
		"a take-over without markers",
		"connectors/kafka/takeover.go",
		"if err := f.mark(ctx, name, first, places); err != nil {",
		"if err := error(nil); err != nil {",
		"./connectors/kafka", "^TestFence$/kafka", "want to be fenced off",
	},
	{
		"a take-over that does not ask for its identity a second time",
		"connectors/kafka/takeover.go",
		"second, err := f.identify(ctx, name, first)",
		"second, err := first, error(nil)",
		"./connectors/kafka", "^TestNothingIsStoredAfterTheLook$/kafka", "was stored after the new owner had looked",
	},
	{
		"a recovery by the committed offset alone",
		"connectors/kafka/scan.go",
		"	_, ok := w[rowKey{offset, row}]\n	return ok\n",
		"	_, ok := w[rowKey{offset, row}]\n	return ok && false\n",
		"./cmd/weir/e2e", "^TestForgottenOffsets$/kafka", "queries were answered twice",
	},
	{
		"a commit of what has begun",
		"connectors/kafka/shard.go",
		"			s.flights = append(s.flights, fl)\n",
		"			s.flights = append(s.flights, fl)\n			s.prefix = fl.next\n",
		"./cmd/weir/e2e", "^TestCrashWhileWritesWait$", "the ledger: ",
	},
}

// Every mutant is found.
func TestMutantsAreFound(t *testing.T) {
	if os.Getenv("WEIR_TEST_KAFKA") == "" {
		t.Skip("real Kafka: WEIR_TEST_KAFKA=host:port is not set")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			args := []string{"test", "-count=1", "-timeout=3m", "-run", m.run}
			if racing.Enabled() {
				args = append(args, "-race") // as everything else was built by now
			}
			c := exec.Command("go", append(args, m.pkg)...)
			c.Dir = root
			c.Env = append(os.Environ(), strings.TrimSpace("GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+m.overlay(t, root)))
			out, err := c.CombinedOutput()
			if err == nil {
				t.Fatalf("%s %s did not find it: %s", m.pkg, m.run, out)
			}
			if !strings.Contains(string(out), m.finding) || !strings.Contains(string(out), "--- FAIL") {
				t.Fatalf("%s %s failed for another reason than %q: %v\n%s", m.pkg, m.run, m.finding, err, out)
			}
			t.Logf("found by %s in %s", m.run, m.pkg)
		})
	}
}

// overlay writes the mutant's source, and the file that tells the compiler to take it.
func (m mutant) overlay(t *testing.T, root string) string {
	t.Helper()
	path, dir := filepath.Join(root, m.file), t.TempDir()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.was); n != 1 {
		t.Fatalf("%s: %d times %q, want it once; the mutant has to follow the source", m.file, n, m.was)
	}
	changed, list := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{changed: strings.Replace(string(source), m.was, m.now, 1), list: string(replace)} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return list
}
