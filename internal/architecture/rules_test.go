package architecture

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// A rule reads the whole tree and says where it is broken. bad is a source that breaks it in the places
// named in finds, one each; good is what it must leave alone. Both are files by path.
type rule struct {
	name      string
	check     func([]*source) []finding
	bad, good map[string]string
	finds     []string
}

var rules = []rule{imports, goroutines, clocks, state, sleeps, clients, exits, telemetry, promises, sizes}

// The repository keeps every rule.
func TestRules(t *testing.T) {
	all := tree(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, f := range r.check(all) {
				t.Error(f)
			}
		})
	}
}

// Every rule finds what it is there to find, and nothing else.
func TestRulesFind(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if got := r.check(parseAll(t, r.good)); len(got) > 0 {
				t.Errorf("found in good source: %q", got)
			}
			got := r.check(parseAll(t, r.bad))
			for _, want := range r.finds {
				if !slices.ContainsFunc(got, func(f finding) bool { return strings.Contains(string(f), want) }) {
					t.Errorf("not found: %q; got %q", want, got)
				}
			}
			if len(got) != len(r.finds) {
				t.Errorf("%d findings, want %d: %q", len(got), len(r.finds), got)
			}
		})
	}
}

func parseAll(t *testing.T, files map[string]string) []*source {
	t.Helper()
	var all []*source
	for _, name := range slices.Sorted(maps.Keys(files)) {
		s, err := parse(name, []byte(files[name]))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// An allowance goes when its variable goes.
func TestAllowances(t *testing.T) {
	for _, f := range stale(tree(t)) {
		t.Error(f)
	}
	if got := stale(nil); len(got) != len(allowed) {
		t.Errorf("in an empty tree %d allowances are stale, want %d", len(got), len(allowed))
	}
}
