package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/gpu"
	"weir/gpu/linear"
	"weir/gpu/onnx"
	"weir/pipeline"
	"weir/schemas"
	"weir/stages/cascade"
	"weir/stages/features"
	"weir/stages/inference"
)

// kinds is the one list of the stages that a spec may name.
func kinds() []pipeline.Kind {
	return slices.Concat(features.Kinds(), inference.Kinds(), cascade.Kinds())
}

// drivers is the one list of the runtimes that a model may name.
func drivers() gpu.Drivers {
	return gpu.Drivers{"onnx": onnx.Open, "linear": linear.Open}
}

// loadModels loads the models that the stages ask and binds them. The faults of all are reported together,
// each with its place in the spec.
func loadModels(ctx context.Context, spec *pipeline.Spec, stages []pipeline.NamedStage, o gpu.Options, ev gpu.Events) (*gpu.Models, error) {
	var specs []gpu.Spec
	var errs []error
	for _, name := range modelNames(stages) {
		m := spec.Models[name]
		if known := slices.Sorted(maps.Keys(drivers())); !slices.Contains(known, m.Runtime) {
			errs = append(errs, spec.Errorf(spec.At("models", name, "runtime"),
				"model %s: unknown runtime %q; there are: %s", name, m.Runtime, strings.Join(known, ", ")))
			continue
		}
		if _, err := os.Stat(m.Path); err != nil {
			errs = append(errs, spec.Errorf(spec.At("models", name, "path"),
				"model %s: %w; the path is relative to the spec's folder", name, err))
			continue
		}
		specs = append(specs, gpu.Spec{Name: name, Runtime: m.Runtime, Path: m.Path, Instances: m.Instances, Threads: m.Threads})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	models, err := gpu.Load(ctx, specs, drivers(), o, ev)
	if err != nil {
		return nil, placed(spec, err)
	}
	for _, st := range stages {
		if predict, ok := st.Stage.(*inference.Predict); ok {
			errs = append(errs, bind(spec, st, predict, models))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, models.Close())
	}
	return models, nil
}

// placed gives the fault of each model that could not be loaded its place in the spec.
func placed(spec *pipeline.Spec, err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range several.Unwrap() {
			errs = append(errs, placed(spec, e))
		}
		return errors.Join(errs...)
	}
	path := []string{"models"}
	var fault *gpu.LoadError
	if errors.As(err, &fault) {
		path = append(path, fault.Model, "path")
	}
	return spec.Errorf(spec.At(path...), "%w", err)
}

func modelNames(stages []pipeline.NamedStage) []string {
	var names []string
	for _, st := range stages {
		if predict, ok := st.Stage.(*inference.Predict); ok && !slices.Contains(names, predict.ModelName) {
			names = append(names, predict.ModelName)
		}
	}
	return names
}

func bind(spec *pipeline.Spec, st pipeline.NamedStage, predict *inference.Predict, models *gpu.Models) error {
	model, ok := models.Get(predict.ModelName)
	if !ok {
		return spec.Errorf(st.Pos, "model %s is not loaded", predict.ModelName)
	}
	labels, err := readLabels(spec.Models[predict.ModelName].Labels)
	if err == nil {
		err = predict.Bind(model, labels)
	}
	if err != nil {
		// A place, a line: several misfits of one model stand side by side.
		return spec.Errorf(spec.At("models", predict.ModelName), "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

// readLabels reads the names of the classes, one a line; no path, no names.
func readLabels(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("labels: %w; the path is relative to the spec's folder", err)
	}
	labels := strings.Split(strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
	if i := slices.Index(labels, ""); i >= 0 {
		return nil, fmt.Errorf("labels: %s:%d: an empty line; line i names class i", path, i+1)
	}
	return labels, nil
}

// stagesOf are the stages of several segments, in order.
func stagesOf(segments []pipeline.SegmentSpec) []pipeline.NamedStage {
	var stages []pipeline.NamedStage
	for _, s := range segments {
		stages = append(stages, s.Stages...)
	}
	return stages
}

// unitDigest tells units apart that answer differently: by their stages, their models' files and labels.
func unitDigest(spec *pipeline.Spec, u pipeline.Unit, models *gpu.Models) (string, error) {
	versions := map[string]string{}
	for _, name := range modelNames(stagesOf(u.Segments)) {
		model, ok := models.Get(name)
		if !ok {
			return "", fmt.Errorf("model %s is not loaded", name)
		}
		labels, err := readLabels(spec.Models[name].Labels)
		if err != nil {
			return "", err
		}
		versions[name] = model.Version() + "\n" + strings.Join(labels, "\n")
	}
	return spec.Digest(u, versions)
}

// newSegment makes a unit's segment, without its outputs.
func newSegment(spec *pipeline.Spec, u pipeline.Unit, ev pipeline.Events) *pipeline.Segment {
	ended := keptAtEnd(spec)
	return &pipeline.Segment{
		Name: u.Name, Stages: stagesOf(u.Segments), Objective: spec.Objective,
		KeepEnded: ended, KeepNext: keptAtCut(spec, u, ended), InOrder: spec.Order == pipeline.ByKey, Events: ev,
	}
}

// keptAtEnd keeps what the prediction carries and what the decision records by value: small columns of the
// schema. Tensors lie at the row's place in the queries topic.
func keptAtEnd(spec *pipeline.Spec) func(string) bool {
	kept := map[string]bool{}
	for _, f := range spec.Schema.Fields {
		kept[f.Name] = !f.Type.Tensor()
	}
	for _, c := range spec.Columns {
		kept[c] = true
	}
	return func(name string) bool { return kept[name] }
}

// keptAtCut keeps what rows need at their end and what later stages read. nil, all, where a stage does not
// tell what it reads.
func keptAtCut(spec *pipeline.Spec, u pipeline.Unit, ended func(string) bool) func(string) bool {
	kept := map[string]bool{}
	last := u.Segments[len(u.Segments)-1].Name
	at := slices.IndexFunc(spec.Segments, func(s pipeline.SegmentSpec) bool { return s.Name == last })
	for _, st := range stagesOf(spec.Segments[at+1:]) {
		reader, ok := st.Stage.(pipeline.Reader)
		if !ok || reader.Columns() == nil {
			return nil
		}
		for _, c := range reader.Columns() {
			kept[c] = true
		}
	}
	return func(name string) bool { return kept[name] || ended(name) }
}

// checkSegments runs a batch of zero rows through the segments, as far as their models are bound.
func checkSegments(ctx context.Context, spec *pipeline.Spec, segments []*pipeline.Segment, whole bool) error {
	rows := emptyQueries(spec)
	defer func() { rows.Release() }()
	for i, s := range segments {
		out, err := s.Check(ctx, rows)
		var missing *schemas.MissingColumnError
		if !whole && i == 0 && errors.As(err, &missing) {
			return nil // a column of a segment that another process runs
		}
		if err != nil {
			return err
		}
		rows.Release()
		rows = out
	}
	return nil
}

// emptyQueries is what the queries topic's decoder gives, with zero rows.
func emptyQueries(spec *pipeline.Spec) arrow.Record {
	schema := schemas.NewQueries(queryOptions(spec)).OutputSchema()
	columns := make([]arrow.Array, schema.NumFields())
	for i, f := range schema.Fields() {
		columns[i] = schemas.Nulls(f.Type, 0)
		defer columns[i].Release()
	}
	return array.NewRecord(schema, columns, 0)
}

func queryOptions(spec *pipeline.Spec) schemas.QueryOptions {
	return schemas.QueryOptions{
		Schema: spec.Schema, Topic: spec.Topics.Queries, Deadline: spec.Deadline,
		Limit: int(spec.Limits.Query), Headers: spec.Headers,
	}
}
