package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"weir/bench/floor"
	"weir/gpu"
	"weir/gpu/linear"
	"weir/gpu/onnx"
	"weir/pipeline"
	"weir/schemas"
	"weir/stages/cascade"
	"weir/stages/features"
	"weir/stages/inference"
)

const (
	fashion    = "examples/fashion"
	pixels     = 784
	partitions = 4 // the default of a spec
)

// A Model is one of the models that are measured: a name, and the stages of its pipeline.
type Model struct {
	Name  string
	Light string // model file
	Heavy string // of a cascade, else ""
	Gate  float32
	// Cut puts a topic between Light and Heavy.
	Cut bool
	// Delivery is the spec's, "" its default.
	Delivery string
	// Partitions of the topics, 0 is a spec's default.
	Partitions int
	// Retention of the topics, 0 is a spec's default.
	Retention time.Duration
}

func (m Model) parts() int {
	if m.Partitions > 0 {
		return m.Partitions
	}
	return partitions
}

// The pipelines that are measured, by name.
func models(dir string) map[string]Model {
	light, heavy := filepath.Join(fashion, "models", "light.onnx"), filepath.Join(fashion, "models", "heavy.onnx")
	all := map[string]Model{}
	for _, m := range []Model{
		{Name: "linear", Light: filepath.Join(dir, "linear.onnx")},
		{Name: "heavy", Light: heavy},
		{Name: "fashion", Light: light, Heavy: heavy, Gate: 0.925},
	} {
		all[m.Name] = m
	}
	return all
}

// spec writes the pipeline's spec to dir and gives its path. name makes its topics its own.
func (m Model) spec(dir, name string) (string, error) {
	text := fmt.Sprintf(`pipeline: %s
objective: 10ms
schema: {pixels: "fixed_list<uint8>[784]"}
models:
  light: {runtime: onnx, path: %s, inputs: {pixels: pixels}, scores: {output: logits, apply: softmax}}
`, name, absolute(m.Light))
	stages := "  - predict: {model: light}\n"
	if m.Heavy != "" {
		text += fmt.Sprintf("  heavy: {runtime: onnx, path: %s, inputs: {pixels: pixels}, scores: {output: logits, apply: softmax}}\n", absolute(m.Heavy))
		stages = fmt.Sprintf("  - segment: light\n%s  - gate: {name: first, score: max_probability, at_least: %g}\n  - segment: heavy\n  - predict: {model: heavy}\n", stages, m.Gate)
	}
	if m.Cut {
		text += "layout: {cut: [heavy]}\n"
	}
	if m.Delivery != "" {
		text += "delivery: " + m.Delivery + "\n"
	}
	text += fmt.Sprintf("labels: %s\nstages:\n%stopics: {partitions: %d", absolute(labelsFile), stages, m.parts())
	if m.Retention > 0 {
		text += fmt.Sprintf(", retention: %v", m.Retention)
	}
	text += "}\n"
	path := filepath.Join(dir, name+".yaml")
	return path, os.WriteFile(path, []byte(text), 0o644)
}

const labelsFile = fashion + "/labels.txt"

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

func labels() ([]string, error) {
	text, err := os.ReadFile(labelsFile)
	return strings.Split(string(bytes.TrimSpace(text)), "\n"), err
}

func schema() schemas.Schema {
	return schemas.Schema{Fields: []schemas.Field{{Name: "pixels", Type: schemas.Type{Kind: schemas.Uint8, Len: pixels}}}}
}

// answerer opens the floor's models.
func (m Model) answerer(ctx context.Context) (a *floor.Answerer, err error) {
	a = &floor.Answerer{AtLeast: m.Gate}
	if a.Labels, err = labels(); err != nil {
		return nil, err
	}
	if a.Light, err = onnx.Open(ctx, m.Light, gpu.OpenOptions{}); err != nil || m.Heavy == "" {
		return a, err
	}
	a.Heavy, err = onnx.Open(ctx, m.Heavy, gpu.OpenOptions{})
	return a, err
}

// segment loads a spec as `weir run` does, without metrics.
func segment(ctx context.Context, path string) (*pipeline.Spec, *pipeline.Segment, *gpu.Models, error) {
	spec, err := pipeline.Load(path, append(append(features.Kinds(), inference.Kinds()...), cascade.Kinds()...)...)
	if err != nil {
		return nil, nil, nil, err
	}
	names, err := labels()
	if err != nil {
		return nil, nil, nil, err
	}
	var specs []gpu.Spec
	for _, name := range spec.ModelNames {
		specs = append(specs, gpu.Spec{Name: name, Runtime: spec.Models[name].Runtime, Path: spec.Models[name].Path})
	}
	all, err := gpu.Load(ctx, specs, gpu.Drivers{"onnx": onnx.Open, "linear": linear.Open}, gpu.Options{MaxRun: spec.Objective / 4}, gpu.Events{})
	if err != nil {
		return nil, nil, nil, err
	}
	s := &pipeline.Segment{Name: spec.Pipeline, Objective: spec.Objective, KeepEnded: func(string) bool { return false }}
	for _, part := range spec.Segments {
		s.Stages = append(s.Stages, part.Stages...)
	}
	for _, st := range s.Stages {
		if p, ok := st.Stage.(*inference.Predict); ok {
			model, _ := all.Get(p.ModelName)
			if err := p.Bind(model, names); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	return spec, s, all, nil
}
