package architecture

import (
	"go/ast"
	"slices"
	"strings"
)

// Long-lived goroutines have their homes; an errgroup that is joined before return is free anywhere.
var goroutines = rule{
	name: "goroutines",
	check: func(all []*source) (found []finding) {
		for _, s := range all {
			if s.test || s.in("connectors", "gpu", "cmd", "bench", "internal/loadgen", "internal/sim") {
				continue
			}
			ast.Inspect(s.syntax, func(n ast.Node) bool {
				if g, ok := n.(*ast.GoStmt); ok {
					found = append(found, s.at(g.Pos(), "a goroutine outside connectors, gpu and cmd: use an errgroup that is joined before return"))
				}
				return true
			})
		}
		return found
	},
	good: map[string]string{
		"gpu/a.go":           `package gpu; func f() { go f() }`,
		"pipeline/a.go":      `package pipeline; func f(g group) { g.Go(func() error { return nil }) }`,
		"pipeline/a_test.go": `package pipeline; func f() { go f() }`,
	},
	bad:   map[string]string{"pipeline/a.go": "package pipeline\nfunc f() {\n go f()\n}"},
	finds: []string{"pipeline/a.go:3: a goroutine"},
}

// A stage's output depends on its row, never on when it runs.
var clocks = rule{
	name: "clocks",
	check: func(all []*source) (found []finding) {
		clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
		for _, s := range all {
			if s.test || !s.in("schemas", "stages") {
				continue
			}
			s.uses("time", func(sel *ast.SelectorExpr) {
				if slices.Contains(clock, sel.Sel.Name) {
					found = append(found, s.at(sel.Pos(), "time.%s: schemas and stages read no clock", sel.Sel.Name))
				}
			})
		}
		return found
	},
	good: map[string]string{
		"schemas/a.go":        `package schemas; import "time"; func f(time clock) { time.Now() }; var d = time.Second`,
		"connectors/a/a.go":   `package a; import "time"; func f() { time.Now() }`,
		"stages/a/a_test.go":  `package a; import "time"; func f() { time.Now() }`,
		"stages/a/no_time.go": `package a; func f(time clock) { time.Now() }`,
	},
	bad: map[string]string{
		"schemas/a.go":  "package schemas\nimport \"time\"\nfunc f() { time.Now() }",
		"stages/a/a.go": `package a; import clock "time"; var f = clock.Since`,
	},
	finds: []string{"schemas/a.go:3: time.Now", "stages/a/a.go:1: time.Since"},
}

// A test that sleeps is slow where it passes and flaky where it does not. Under testing/synctest a sleep is
// virtual: it may stand inside synctest.Test, and in the helpers of a package that uses it.
var sleeps = rule{
	name: "sleeps",
	check: func(all []*source) (found []finding) {
		virtual := map[string]bool{}
		for _, s := range all {
			virtual[s.dir] = virtual[s.dir] || len(s.localNames("testing/synctest")) > 0
		}
		for _, s := range all {
			if !s.test {
				continue
			}
			var bubbles []ast.Node
			s.uses("testing/synctest", func(sel *ast.SelectorExpr) {
				bubbles = append(bubbles, callOf(s.syntax, sel))
			})
			s.uses("time", func(sel *ast.SelectorExpr) {
				inside := slices.ContainsFunc(bubbles, func(n ast.Node) bool { return n != nil && n.Pos() <= sel.Pos() && sel.Pos() < n.End() })
				if sel.Sel.Name == "Sleep" && !inside && (isTest(s.syntax, sel) || !virtual[s.dir]) {
					found = append(found, s.at(sel.Pos(), "time.Sleep in a test: wait for the thing itself, or use testing/synctest"))
				}
			})
		}
		return found
	},
	good: map[string]string{
		"gpu/a.go": `package gpu; import "time"; func f() { time.Sleep(1) }`,
		"gpu/a_test.go": `package gpu; import ("testing/synctest"; "time")
			func TestA(t T) { synctest.Test(t, func(t T) { time.Sleep(1) }) }`,
		"gpu/b_test.go": `package gpu; import "time"; func helper() { time.Sleep(1) }`,
	},
	bad: map[string]string{
		"gpu/a_test.go": `package gpu; import ("testing/synctest"; "time")
			func TestA(t T) { synctest.Test(t, func(t T) { }); time.Sleep(1) }`,
		"cmd/a/a_test.go": `package main; import "time"; func helper() { time.Sleep(1) }`,
	},
	finds: []string{"gpu/a_test.go:2: time.Sleep in a test", "cmd/a/a_test.go:1: time.Sleep in a test"},
}

// callOf is the call whose function is the selector, nil without one.
func callOf(file *ast.File, sel *ast.SelectorExpr) (call ast.Node) {
	ast.Inspect(file, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && c.Fun == sel {
			call = c
		}
		return call == nil
	})
	return call
}

// isTest says whether a node stands in a test, benchmark or fuzz test itself.
func isTest(file *ast.File, n ast.Node) bool {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Pos() <= n.Pos() && n.Pos() < f.End() {
			return f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Benchmark") || strings.HasPrefix(f.Name.Name, "Fuzz"))
		}
	}
	return false
}

// kafka-go's Writer and Reader wait for batches, hide epochs and hand out control records as messages.
var clients = rule{
	name: "clients",
	check: func(all []*source) (found []finding) {
		never := []string{"Writer", "Reader", "NewWriter", "NewReader", "WriterConfig", "ReaderConfig"}
		for _, s := range all {
			s.uses("github.com/segmentio/kafka-go", func(sel *ast.SelectorExpr) {
				if slices.Contains(never, sel.Sel.Name) {
					found = append(found, s.at(sel.Pos(), "kafka-go's %s: use its low-level calls", sel.Sel.Name))
				}
			})
		}
		return found
	},
	good: map[string]string{"connectors/kafka/a.go": `package kafka; import "github.com/segmentio/kafka-go"; var c kafka.Client`},
	bad: map[string]string{
		"connectors/kafka/a.go": `package kafka; import kafkago "github.com/segmentio/kafka-go"; var w kafkago.Writer`,
		"bench/a_test.go":       `package bench; import "github.com/segmentio/kafka-go"; func f() { kafka.NewReader(x) }`,
	},
	finds: []string{"connectors/kafka/a.go:1: kafka-go's Writer", "bench/a_test.go:1: kafka-go's NewReader"},
}

// Only main exits: everything else returns its error.
var exits = rule{
	name: "exits",
	check: func(all []*source) (found []finding) {
		for _, s := range all {
			if s.syntax.Name.Name == "main" || s.test {
				continue
			}
			report := func(sel *ast.SelectorExpr) {
				if n := sel.Sel.Name; n == "Exit" || strings.HasPrefix(n, "Fatal") {
					found = append(found, s.at(sel.Pos(), "%s outside main: return the error", n))
				}
			}
			s.uses("os", report)
			s.uses("log", report)
		}
		return found
	},
	good:  map[string]string{"cmd/weir/main.go": `package main; import "os"; func main() { os.Exit(1) }`},
	bad:   map[string]string{"gpu/a.go": `package gpu; import ("log"; "os"); func f() { os.Exit(1); log.Fatalf("") }`},
	finds: []string{"gpu/a.go:1: Exit outside main", "gpu/a.go:1: Fatalf outside main"},
}
