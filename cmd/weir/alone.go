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
	options := queryOptions(spec)
	options.Deadline = 0 // nobody waits here
	decoder := schemas.NewQueries(options)
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

// answer runs rows through stages and gives their labels, "" for a rejected query, which no stage sees. It
// consumes rows.
func answer(ctx context.Context, stages []pipeline.NamedStage, rows arrow.Record) ([]string, error) {
	labels := make([]string, rows.NumRows())
	open, err := openRows(rows)
	if err == nil {
		rows = replace(rows, schemas.Take(rows, open))
	}
	defer func() { rows.Release() }()
	if err != nil {
		return nil, err
	}
	for _, st := range stages {
		out, err := st.Stage.Process(ctx, rows)
		if err != nil {
			return nil, fmt.Errorf("%s: stage %s: %w", st.Pos, st.Name, err)
		}
		rows = replace(rows, out)
	}
	column, err := schemas.Column[arrow.Array](rows, schemas.Label)
	if err != nil {
		return nil, err
	}
	for i, row := range open {
		labels[row] = labelText(column, i)
	}
	return labels, nil
}

// replace releases one batch and gives the other.
func replace(old, with arrow.Record) arrow.Record {
	old.Release()
	return with
}

func openRows(rec arrow.Record) ([]int, error) {
	status, err := schemas.Column[*array.Uint8](rec, schemas.StatusColumn)
	if err != nil {
		return nil, err
	}
	var open []int
	for row := range status.Len() {
		if schemas.Status(status.Value(row)) == schemas.Open {
			open = append(open, row)
		}
	}
	return open, nil
}

// labelText is a label as people write it: its name, or its index where the labels have no names.
func labelText(column arrow.Array, row int) string {
	switch c := column.(type) {
	case *array.String:
		if c.IsValid(row) {
			return strings.Clone(c.Value(row)) // Arrow's memory is used again
		}
	case *array.Int32:
		if c.IsValid(row) {
			return strconv.Itoa(int(c.Value(row)))
		}
	}
	return ""
}
