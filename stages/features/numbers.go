package features

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// number is a numeric type of a column.
type number interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// column is a numeric column or a tensor column, seen as rows of perRow numbers that lie side by side.
type column struct {
	name   string
	whole  arrow.Array // as it stands in the record
	values arrow.Array // the numbers of all rows
	from   int         // where the first row's numbers begin in values
	perRow int
}

func numbers(rec arrow.Record, name string) (column, error) {
	whole, err := schemas.Column[arrow.Array](rec, name)
	if err != nil {
		return column{}, err
	}
	c := column{name: name, whole: whole, values: whole, perRow: 1}
	if list, ok := whole.(*array.FixedSizeList); ok {
		c.perRow = int(list.DataType().(*arrow.FixedSizeListType).Len())
		c.values, c.from = list.ListValues(), list.Data().Offset()*c.perRow
	}
	switch c.values.(type) {
	case *array.Int8, *array.Int16, *array.Int32, *array.Int64, *array.Uint8, *array.Uint16, *array.Uint32, *array.Uint64,
		*array.Float32, *array.Float64:
		return c, nil
	}
	return column{}, fmt.Errorf("column %q is %s, not a number or a tensor of numbers", name, whole.DataType())
}

// len is how many numbers all rows have.
func (c column) len() int { return c.whole.Len() * c.perRow }

// each calls f with every number, in the order of the rows, as a T. Only float64 holds every small
// number, so that a conversion by way of it would round large int64 values: each source type has its own.
func each[T number](c column, f func(i int, v T)) {
	switch a := c.values.(type) {
	case *array.Int8:
		walk(a.Int8Values(), c, f)
	case *array.Int16:
		walk(a.Int16Values(), c, f)
	case *array.Int32:
		walk(a.Int32Values(), c, f)
	case *array.Int64:
		walk(a.Int64Values(), c, f)
	case *array.Uint8:
		walk(a.Uint8Values(), c, f)
	case *array.Uint16:
		walk(a.Uint16Values(), c, f)
	case *array.Uint32:
		walk(a.Uint32Values(), c, f)
	case *array.Uint64:
		walk(a.Uint64Values(), c, f)
	case *array.Float32:
		walk(a.Float32Values(), c, f)
	case *array.Float64:
		walk(a.Float64Values(), c, f)
	}
}

func walk[S, T number](values []S, c column, f func(int, T)) {
	for i, v := range values[c.from : c.from+c.len()] {
		f(i, T(v))
	}
}
