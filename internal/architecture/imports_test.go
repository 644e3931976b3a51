package architecture

import (
	"strings"
)

// module is the name in go.mod.
const module = "weir"

// layers says which folders of ours the code of a folder may import, the first match counting; "own" is the
// folder two levels deep that a file lies in, such as stages/cascade. Tests may look further: they couple no
// code that runs.
var layers = []struct {
	folder string
	may    []string
}{
	{"schemas", []string{"schemas"}},
	{"gpu", []string{"gpu"}},
	{"pipeline", []string{"schemas", "pipeline"}},
	{"stages/inference", []string{"schemas", "pipeline", "gpu", "own"}},
	{"stages", []string{"schemas", "pipeline", "own"}},
	{"connectors", []string{"schemas", "pipeline", "connectors"}},
	{"replay", []string{"schemas", "pipeline", "stages", "connectors", "replay"}},
	{"web", []string{"web"}},
	{"cmd", []string{"schemas", "pipeline", "stages", "connectors", "gpu", "replay", "web", "internal", "cmd"}},
	{"bench", []string{"schemas", "pipeline", "stages", "connectors", "gpu", "replay", "internal", "bench"}},
	{"examples", []string{"schemas", "pipeline", "stages", "connectors", "gpu", "examples"}},
	{"internal", []string{"schemas", "pipeline", "stages", "connectors", "gpu", "replay", "internal"}},
}

var imports = rule{
	name: "imports",
	check: func(all []*source) (found []finding) {
		for _, s := range all {
			if !s.test {
				found = append(found, badImports(s)...)
			}
		}
		return found
	},
	good: map[string]string{
		"stages/inference/predict.go":      `package inference; import ("weir/gpu"; "weir/pipeline"; "weir/schemas"; "fmt")`,
		"stages/cascade/gate.go":           `package cascade; import "weir/stages/cascade/score"`,
		"stages/cascade/gate_test.go":      `package cascade; import "weir/stages/inference"`,
		"connectors/kafka/client.go":       `package kafka; import "weir/schemas"`,
		"cmd/weir/wire.go":                 `package main; import ("weir/gpu"; "weir/stages/cascade"; "weir/internal/loadgen")`,
		"pipeline/stagetest/stagetest.go":  `package stagetest; import "weir/pipeline"`,
		"internal/loadgen/loadgen.go":      `package loadgen; import "weir/connectors/kafka"`,
		"stages/features/other_modules.go": `package features; import "weirdly/named"`,
	},
	bad: map[string]string{
		"schemas/a.go":             `package schemas; import "weir/pipeline"`,
		"gpu/a.go":                 `package gpu; import "weir/schemas"`,
		"pipeline/a.go":            `package pipeline; import ("weir/schemas"; "weir/stages/cascade")`,
		"stages/cascade/a.go":      `package cascade; import "weir/stages/inference"`,
		"stages/features/a.go":     `package features; import "weir/gpu"`,
		"connectors/kafka/a.go":    `package kafka; import "weir/stages/cascade"`,
		"internal/loadgen/a.go":    `package loadgen; import "weir/cmd/weir"`,
		"elsewhere/a.go":           `package elsewhere; import "fmt"`,
		"stages/inference/twin.go": `package inference; import "weir/connectors/kafka"`,
	},
	finds: []string{
		"schemas/a.go:1: schemas may not import weir/pipeline", "gpu/a.go:1: gpu may not import weir/schemas",
		"pipeline may not import weir/stages/cascade", "stages/cascade may not import weir/stages/inference",
		"stages/features may not import weir/gpu", "connectors/kafka may not import weir/stages/cascade",
		"internal/loadgen may not import weir/cmd/weir", "elsewhere has no place",
		"stages/inference may not import weir/connectors/kafka",
	},
}

func badImports(s *source) (found []finding) {
	for _, l := range layers {
		if !s.in(l.folder) {
			continue
		}
		for _, imp := range s.syntax.Imports {
			target, ours := strings.CutPrefix(importPath(imp), module+"/")
			if ours && !mayImport(s.dir, target, l.may) {
				found = append(found, s.at(imp.Pos(), "%s may not import %s/%s", s.dir, module, target))
			}
		}
		return found
	}
	return []finding{s.at(s.syntax.Pos(), "%s has no place in the order of imports", s.dir)}
}

func mayImport(dir, target string, may []string) bool {
	parts := strings.SplitN(dir, "/", 3)
	own := strings.Join(parts[:min(2, len(parts))], "/")
	for _, folder := range may {
		if folder == "own" {
			folder = own
		}
		if target == folder || strings.HasPrefix(target, folder+"/") {
			return true
		}
	}
	return false
}

// Metrics, command lines and the terminal belong to the program; packages tell facts by events.
var telemetry = rule{
	name: "telemetry",
	check: func(all []*source) (found []finding) {
		for _, s := range all {
			if s.in("cmd", "bench", "internal", "pipeline/stagetest") || s.test {
				continue
			}
			for _, imp := range s.syntax.Imports {
				for _, prefix := range []string{"github.com/prometheus/", "github.com/spf13/", "github.com/charmbracelet/", "flag"} {
					if p := importPath(imp); p == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(p, prefix) {
						found = append(found, s.at(imp.Pos(), "%s belongs in cmd", p))
					}
				}
			}
		}
		return found
	},
	good: map[string]string{
		"cmd/weir/metrics.go": `package main; import "github.com/prometheus/client_golang/prometheus"`,
		"pipeline/a.go":       `package pipeline; import "flagship"`,
		"pipeline/a_test.go":  `package pipeline; import "flag"`,
	},
	bad: map[string]string{
		"pipeline/metrics.go": `package pipeline; import "github.com/prometheus/client_golang/prometheus"`,
		"gpu/flags.go":        `package gpu; import "flag"`,
	},
	finds: []string{"pipeline/metrics.go:1: github.com/prometheus/client_golang/prometheus belongs in cmd", "flag belongs in cmd"},
}
