package cascade

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// A Gate answers the rows whose score is at least AtLeast and leaves the others open. A gate that no model
// follows (Last) ends the others as defaulted, with the pipeline's Default as their label.
type Gate struct {
	Name    string
	Score   Score
	AtLeast float32
	// Version of the threshold: "spec", or that of the tuned snapshot that it came from.
	Version string

	// Last says that no model comes after this gate.
	Last bool
	// Default is the label of unsure rows after the last gate: a string where the pipeline has labels, an
	// int32 where it has none, nil where the pipeline names no default (their label is null then).
	Default any

	atLeast schemas.Repeated[float32]
	version schemas.Repeated[string]
}

// Process implements pipeline.Stage.
func (g *Gate) Process(_ context.Context, in arrow.Record) (arrow.Record, error) {
	scores, err := schemas.Column[*array.FixedSizeList](in, schemas.Scores)
	if err != nil {
		return nil, fmt.Errorf("gate %s: no model has scored these rows; a gate stands after a predict stage: %w", g.Name, err)
	}
	sure := make([]float32, in.NumRows())
	measured := array.NewFloat32Builder(schemas.Allocator)
	defer measured.Release()
	width := int(scores.DataType().(*arrow.FixedSizeListType).Len())
	values, ok := scores.ListValues().(*array.Float32)
	if !ok {
		return nil, fmt.Errorf("gate %s: scores are %s, not float32", g.Name, scores.ListValues().DataType())
	}
	for i := range sure {
		if scores.IsNull(i) {
			measured.AppendNull()
			sure[i] = -1
			continue
		}
		at := (scores.Data().Offset() + i) * width
		sure[i] = g.Score.of(values.Float32Values()[at : at+width])
		measured.Append(sure[i])
	}
	column := measured.NewArray()
	defer column.Release()
	return g.decide(in, sure, column)
}

// decide ends the rows that are sure enough, and after the last gate the others too.
func (g *Gate) decide(in arrow.Record, sure []float32, measured arrow.Array) (arrow.Record, error) {
	atLeast, version := g.atLeast.Rows(g.AtLeast, len(sure)), g.version.Rows(g.Version, len(sure))
	defer atLeast.Release()
	defer version.Release()
	out := schemas.With(in,
		schemas.Named{Name: schemas.Gate(g.Name, schemas.GateScore), Array: measured},
		schemas.Named{Name: schemas.Gate(g.Name, schemas.GateAtLeast), Array: atLeast},
		schemas.Named{Name: schemas.Gate(g.Name, schemas.GateVersion), Array: version})
	defer out.Release()
	var ends []schemas.Ending
	unsure := make([]bool, len(sure))
	for i, s := range sure {
		switch {
		case s >= g.AtLeast:
			ends = append(ends, schemas.Ending{Row: i, Status: schemas.Answered})
		case g.Last:
			unsure[i] = true
			ends = append(ends, schemas.Ending{Row: i, Status: schemas.Defaulted, Code: schemas.Unsure,
				Message: fmt.Sprintf("gate %s: score %.4g, at least %.4g is asked", g.Name, s, g.AtLeast)})
		}
	}
	if !g.Last {
		return schemas.End(out, ends), nil
	}
	ended := schemas.End(out, ends)
	defer ended.Release()
	return g.withDefault(ended, unsure)
}

// withDefault gives unsure rows the pipeline's default label.
func (g *Gate) withDefault(rec arrow.Record, unsure []bool) (arrow.Record, error) {
	var column arrow.Array
	var err error
	switch labels := rec.Column(rec.Schema().FieldIndices(schemas.Label)[0]).(type) {
	case *array.String:
		column, err = replace(array.NewStringBuilder(schemas.Allocator), labels, unsure, g.Default)
	case *array.Int32:
		column, err = replace(array.NewInt32Builder(schemas.Allocator), labels, unsure, g.Default)
	default:
		err = fmt.Errorf("labels are %s, not text or int32", labels.DataType())
	}
	if err != nil {
		return nil, fmt.Errorf("gate %s: %w", g.Name, err)
	}
	defer column.Release()
	return schemas.With(rec, schemas.Named{Name: schemas.Label, Array: column}), nil
}

// replace puts fallback in the place of the labels of unsure rows. It consumes b.
func replace[T any, B interface {
	array.Builder
	Append(T)
}, A interface {
	arrow.Array
	Value(int) T
}](b B, labels A, unsure []bool, fallback any) (arrow.Array, error) {
	defer b.Release()
	label, ok := fallback.(T)
	if fallback != nil && !ok {
		return nil, fmt.Errorf("the default label %v is a %T, but the models' labels are %T", fallback, fallback, label)
	}
	for i, u := range unsure {
		switch {
		case u && ok:
			b.Append(label)
		case u || labels.IsNull(i):
			b.AppendNull()
		default:
			b.Append(labels.Value(i))
		}
	}
	return b.NewArray(), nil
}
