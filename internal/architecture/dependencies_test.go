package architecture

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every module that our code imports, and every tool, has a line of reason; every line has its module.
func TestDependencies(t *testing.T) {
	used := map[string]bool{}
	for _, s := range tree(t) {
		for _, imp := range s.syntax.Imports {
			used[importPath(imp)] = true
		}
	}
	for _, f := range dependencies(read(t, "go.mod"), read(t, "docs/dependencies.md"), used) {
		t.Error(f)
	}
}

func TestDependenciesFind(t *testing.T) {
	gomod := "module weir\n\nrequire (\n\ta.org/used v1.0.0\n\ta.org/used/sub v1.0.0\n\tb.org/silent v1.2.3\n\tc.org/idle v1.0.0\n)\n\n" +
		"require d.org/tool v1.0.0 // indirect\n\ntool d.org/tool/cmd/it\n"
	doc := "| module | why |\n| --- | --- |\n| `a.org/used/sub` | it does what we need |\n| `c.org/idle` | once needed |\n" +
		"| `e.org/gone` | it was needed |\n| `a.org/used` |  |\n"
	used := map[string]bool{"a.org/used/sub/x": true, "a.org/used": true, "b.org/silent": true, "fmt": true, "weir/gpu": true}
	want := []string{"a.org/used: no line", "b.org/silent: no line", "c.org/idle: nothing imports it", "d.org/tool: no line", "e.org/gone: not in go.mod"}
	var got []string
	for _, f := range dependencies(gomod, doc, used) {
		got = append(got, string(f))
	}
	slices.Sort(got)
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want %q…", got[i], want[i])
		}
	}
}

var (
	requirement = regexp.MustCompile(`(?m)^(?:require)?\s+(\S+\.\S+) v\S+`)
	tool        = regexp.MustCompile(`(?m)^(?:tool\s|\t)\s*([^\s/]+\.[^\s/]+/\S+)$`)
	reason      = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| *[^ |]")
)

// dependencies compares go.mod, the document and the imported packages.
func dependencies(gomod, doc string, imported map[string]bool) (found []finding) {
	required, used, reasons := firsts(requirement, gomod), map[string]bool{}, firsts(reason, doc)
	for pkg := range imported {
		used[owner(required, pkg)] = true
	}
	for pkg := range firsts(tool, gomod) {
		used[owner(required, pkg)] = true
	}
	delete(used, "")
	for _, m := range slices.Sorted(maps.Keys(used)) {
		if !reasons[m] {
			found = append(found, finding(fmt.Sprintf("%s: no line in docs/dependencies.md says why", m)))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(reasons)) {
		switch {
		case !required[m]:
			found = append(found, finding(fmt.Sprintf("%s: not in go.mod, but in docs/dependencies.md", m)))
		case !used[m]:
			found = append(found, finding(fmt.Sprintf("%s: nothing imports it, but it has a line in docs/dependencies.md", m)))
		}
	}
	return found
}

// firsts are the first groups of all matches.
func firsts(re *regexp.Regexp, text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		all[m[1]] = true
	}
	return all
}

// owner is the module that a package belongs to: the longest that its path begins with.
func owner(modules map[string]bool, pkg string) string {
	for ; pkg != "." && pkg != "/"; pkg = filepath.ToSlash(filepath.Dir(pkg)) {
		if modules[pkg] {
			return pkg
		}
	}
	return ""
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
