package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/gpu"
	"weir/pipeline"
	"weir/schemas"
	"weir/stages/cascade"
	"weir/stages/inference"
)

// aloneRows is how many queries the last model is asked at once.
const aloneRows = 64

// alone answers queries with a pipeline's last model and nothing else: gates and other models are left out,
// the stages that prepare features stay. It gives each query's label, "" where there is none.
func alone(ctx context.Context, specFile string, queries [][]byte, progress func(done int)) (labels []string, err error) {
	spec, err := pipeline.Load(specFile, kinds()...)
	if err != nil {
		return nil, err
	}
	stages, err := lastModelOnly(stagesOf(spec.Segments))
	if err != nil {
		return nil, spec.Errorf(spec.At("stages"), "%w", err)
	}
	models, err := loadModels(ctx, spec, stages, gpu.Options{}, gpu.Events{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, models.Close()) }()
	decoder := schemas.NewQueries(queryOptions(spec))
	for start := 0; start < len(queries); start += aloneRows {
		end := min(start+aloneRows, len(queries))
		for i, q := range queries[start:end] {
			decoder.Append(schemas.Record{Offset: int64(start + i), Value: q})
		}
		some, err := answer(ctx, stages, decoder.Flush())
		if err != nil {
			return nil, err
		}
		labels = append(labels, some...)
		progress(end)
	}
	return labels, nil
}

// lastModelOnly leaves out gates and every predict stage but the last.
func lastModelOnly(stages []pipeline.NamedStage) ([]pipeline.NamedStage, error) {
	last := -1
	for i, st := range stages {
		if _, ok := st.Stage.(*inference.Predict); ok {
			last = i
		}
	}
	if last < 0 {
		return nil, errors.New("the pipeline asks no model")
	}
	var kept []pipeline.NamedStage
	for i, st := range stages[:last+1] {
		switch st.Stage.(type) {
		case *cascade.Gate:
		case *inference.Predict:
			if i == last {
				kept = append(kept, st)
			}
		default:
			kept = append(kept, st)
		}
	}
	return kept, nil
}

// answer runs rows through stages and gives their labels. It consumes rows.
func answer(ctx context.Context, stages []pipeline.NamedStage, rows arrow.Record) ([]string, error) {
	defer func() { rows.Release() }()
	for _, st := range stages {
		out, err := st.Stage.Process(ctx, rows)
		if err != nil {
			return nil, fmt.Errorf("%s: stage %s: %w", st.Pos, st.Name, err)
		}
		rows.Release()
		rows = out
	}
	labels := make([]string, rows.NumRows())
	column, err := schemas.Column[arrow.Array](rows, schemas.Label)
	if err != nil {
		return nil, err
	}
	for i := range labels {
		switch c := column.(type) {
		case *array.String:
			if c.IsValid(i) {
				labels[i] = strings.Clone(c.Value(i)) // Arrow's memory is used again
			}
		case *array.Int32:
			if c.IsValid(i) {
				labels[i] = strconv.Itoa(int(c.Value(i)))
			}
		}
	}
	return labels, nil
}
