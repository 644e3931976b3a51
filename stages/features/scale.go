package features

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/schemas"
)

// Scale writes (x - Subtract) / Divide as float32, computed in float64 and rounded once.
type Scale struct {
	// Column holds numbers or tensors of numbers.
	Column string
	// As names the result; empty: it replaces Column.
	As               string
	Subtract, Divide float64
}

// Process implements pipeline.Stage.
func (s Scale) Process(_ context.Context, in arrow.Record) (arrow.Record, error) {
	c, err := numbers(in, s.Column)
	if err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	scaled := rebuild(c, arrow.PrimitiveTypes.Float32, func(out []float32) {
		each(c, func(i int, x float64) { out[i] = float32((x - s.Subtract) / s.Divide) })
	})
	defer scaled.Release()
	return schemas.With(in, schemas.Named{Name: name(s.As, s.Column), Array: scaled}), nil
}

// name is as, or the column's own where as is empty.
func name(as, column string) string {
	if as == "" {
		return column
	}
	return as
}
