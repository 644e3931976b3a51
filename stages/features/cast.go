package features

import (
	"context"
	"fmt"
	"math"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// Cast converts a column of numbers to another numeric type. Fractions are cut off towards zero where the
// type is an integer. A number that the type cannot hold, NaN as an integer among them, ends its row as
// rejected.
type Cast struct {
	// Column holds numbers or tensors of numbers.
	Column string
	// As names the result; empty: it replaces Column.
	As string
	To schemas.Kind
}

// Process implements pipeline.Stage.
func (s Cast) Process(_ context.Context, in arrow.Record) (arrow.Record, error) {
	c, err := numbers(in, s.Column)
	if err != nil {
		return nil, fmt.Errorf("cast: %w", err)
	}
	result, misfits, err := s.convert(c)
	if err != nil {
		return nil, fmt.Errorf("cast: %w", err)
	}
	defer result.Release()
	out := schemas.With(in, schemas.Named{Name: name(s.As, s.Column), Array: result})
	defer out.Release()
	return schemas.End(out, misfits), nil
}

func (s Cast) convert(c column) (arrow.Array, []schemas.Ending, error) {
	switch s.To {
	case schemas.Int8:
		return castTo[int8](c, s.To)
	case schemas.Int16:
		return castTo[int16](c, s.To)
	case schemas.Int32:
		return castTo[int32](c, s.To)
	case schemas.Int64:
		return castTo[int64](c, s.To)
	case schemas.Uint8:
		return castTo[uint8](c, s.To)
	case schemas.Uint16:
		return castTo[uint16](c, s.To)
	case schemas.Uint32:
		return castTo[uint32](c, s.To)
	case schemas.Uint64:
		return castTo[uint64](c, s.To)
	case schemas.Float32:
		return castTo[float32](c, s.To)
	case schemas.Float64:
		return castTo[float64](c, s.To)
	}
	return nil, nil, fmt.Errorf("%s is not a numeric type", s.To)
}

// castTo goes by way of the widest type of the source's family, so that it is exact for every number.
func castTo[T number](c column, to schemas.Kind) (arrow.Array, []schemas.Ending, error) {
	var ends []schemas.Ending
	misfit := func(i int, v any) {
		row := i / c.perRow
		if c.whole.IsNull(row) || len(ends) > 0 && ends[len(ends)-1].Row == row {
			return
		}
		ends = append(ends, schemas.Ending{Row: row, Status: schemas.Rejected, Code: schemas.WrongType, Column: c.name,
			Message: fmt.Sprintf("%v does not fit %s", v, to)})
	}
	result := rebuild(c, schemas.Type{Kind: to}.Arrow(), func(out []T) {
		switch c.values.(type) {
		case *array.Float32, *array.Float64:
			each(c, func(i int, v float64) { out[i] = fromFloat[T](i, v, misfit) })
		case *array.Uint64:
			each(c, func(i int, v uint64) { out[i] = fromInt[T](i, v, misfit) })
		default:
			each(c, func(i int, v int64) { out[i] = fromInt[T](i, v, misfit) })
		}
	})
	return result, ends, nil
}

// fromInt converts an integer; it fits if it comes back as it was, on the same side of zero.
func fromInt[T number, W int64 | uint64](i int, v W, misfit func(int, any)) T {
	t := T(v)
	if isFloat[T]() {
		return t // the nearest float
	}
	if W(t) != v || (t < 0) != (v < 0) {
		misfit(i, v)
		return 0
	}
	return t
}

// fromFloat converts a float. Go leaves the conversion of one that does not fit open, so it is asked first.
func fromFloat[T number](i int, v float64, misfit func(int, any)) T {
	if isFloat[T]() {
		if t := T(v); !math.IsInf(float64(t), 0) || math.IsInf(v, 0) {
			return t
		}
		misfit(i, v)
		return 0
	}
	low, high := limits[T]()
	if whole := math.Trunc(v); whole < low || whole >= high || math.IsNaN(v) {
		misfit(i, v)
		return 0
	}
	return T(v)
}

func isFloat[T number]() bool { return T(1)/T(2) != 0 }

// limits are the least value of an integer type and the first one above its greatest; both are exact as
// float64 for every width.
func limits[T number]() (low, high float64) {
	var zero T
	bits := 8 * int(unsafe.Sizeof(zero))
	if zero-1 > 0 {
		return 0, math.Ldexp(1, bits)
	}
	return -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1)
}
