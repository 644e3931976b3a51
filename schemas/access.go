package schemas

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// Column returns the column of that name as a T, e.g. Column[*array.Float32]. It is borrowed from rec. The
// error names the column and, if it is missing, the nearest one that is there.
func Column[T arrow.Array](rec arrow.Record, name string) (T, error) {
	var none T
	i := index(rec, name)
	if i < 0 {
		return none, missing(rec, name)
	}
	col, ok := rec.Column(i).(T)
	if !ok {
		return none, fmt.Errorf("schemas: column %q is %s, not %s", name, rec.Column(i).DataType(), typeName(none))
	}
	return col, nil
}

// Has says whether rec has a column of that name.
func Has(rec arrow.Record, name string) bool { return index(rec, name) >= 0 }

func index(rec arrow.Record, name string) int {
	if r, ok := rec.(*record); ok {
		for i := range r.fields {
			if r.fields[i].Name == name {
				return i
			}
		}
		return -1
	}
	if at := rec.Schema().FieldIndices(name); len(at) > 0 {
		return at[0]
	}
	return -1
}

// MissingColumnError tells of a column that a record lacks, and of the nearest one that it has.
type MissingColumnError struct {
	Column, Nearest string
}

// Error implements error.
func (e *MissingColumnError) Error() string {
	if e.Nearest != "" {
		return fmt.Sprintf("schemas: no column %q: did you mean %q?", e.Column, e.Nearest)
	}
	return fmt.Sprintf("schemas: no column %q", e.Column)
}

func missing(rec arrow.Record, name string) error {
	known := make([]string, rec.NumCols())
	for i := range known {
		known[i] = rec.ColumnName(i)
	}
	return &MissingColumnError{name, Nearest(name, known)}
}

func typeName(a any) string { return fmt.Sprintf("%T", a) }

// Named is a column to add to a record.
type Named struct {
	Name  string
	Array arrow.Array
}

// With returns rec with columns added behind, or replaced in place where the name is there already. The
// arrays are retained, not consumed; the caller owns the result.
func With(rec arrow.Record, cols ...Named) arrow.Record {
	old, meta := fieldsOf(rec)
	fields := append(make([]arrow.Field, 0, len(old)+len(cols)), old...)
	arrays := append(make([]arrow.Array, 0, cap(fields)), rec.Columns()...)
	for _, c := range cols {
		field := arrow.Field{Name: c.Name, Type: c.Array.DataType(), Nullable: true}
		at := slices.IndexFunc(fields, func(f arrow.Field) bool { return f.Name == c.Name })
		if at < 0 {
			fields, arrays = append(fields, field), append(arrays, c.Array)
			continue
		}
		fields[at], arrays[at] = field, c.Array
	}
	return newRecord(fields, meta, retained(arrays), rec.NumRows())
}

func retained(arrays []arrow.Array) []arrow.Array {
	for _, a := range arrays {
		a.Retain()
	}
	return arrays
}

// Select returns the columns whose names keep accepts. The caller owns the result; the data is shared.
func Select(rec arrow.Record, keep func(name string) bool) arrow.Record {
	old, _ := fieldsOf(rec)
	fields, arrays := make([]arrow.Field, 0, len(old)), make([]arrow.Array, 0, len(old))
	for i, f := range old {
		if keep(f.Name) {
			fields, arrays = append(fields, f), append(arrays, rec.Column(i))
		}
	}
	return newRecord(fields, arrow.Metadata{}, retained(arrays), rec.NumRows())
}

// Take returns the given rows in the given order; a row may stand several times. A run of neighbours is a
// slice that shares rec's memory, anything else is copied. The caller owns the result.
func Take(rec arrow.Record, rows []int) arrow.Record {
	if from, ok := contiguous(rows); ok {
		return rec.NewSlice(int64(from), int64(from+len(rows)))
	}
	arrays := make([]arrow.Array, rec.NumCols())
	for i := range arrays {
		arrays[i] = takeArray(rec.Column(i), rows)
	}
	fields, meta := fieldsOf(rec)
	return newRecord(fields, meta, arrays, int64(len(rows)))
}

// contiguous says whether rows is a run that ascends by one, and where it starts.
func contiguous(rows []int) (from int, ok bool) {
	if len(rows) == 0 {
		return 0, true
	}
	for i, r := range rows {
		if r != rows[0]+i {
			return 0, false
		}
	}
	return rows[0], true
}

// ownedRecord makes a record of arrays that fit the schema, and takes over the caller's references to them.
func ownedRecord(schema *arrow.Schema, arrays []arrow.Array, rows int) arrow.Record {
	r := newRecord(schema.Fields(), schema.Metadata(), arrays, int64(rows))
	r.schema.Store(schema)
	return r
}

// Split parts the rows by a predicate, keeping their order. Both parts always come, perhaps with zero rows;
// the caller owns both.
func Split(rec arrow.Record, match func(row int) bool) (yes, no arrow.Record) {
	n := int(rec.NumRows())
	rows := make([]int, n)
	front, back := 0, n
	for i := range n {
		if match(i) {
			rows[front] = i
			front++
		} else {
			back--
			rows[back] = i
		}
	}
	for i, j := front, n-1; i < j; i, j = i+1, j-1 {
		rows[i], rows[j] = rows[j], rows[i]
	}
	return Take(rec, rows[:front]), Take(rec, rows[front:])
}

// Concat glues records together. The result has every column of any of them, in the order of first sight;
// where a record lacks one its rows are null. A column of two types is an error. The records are borrowed,
// the caller owns the result.
func Concat(recs []arrow.Record) (arrow.Record, error) {
	switch len(recs) {
	case 0:
		return nil, fmt.Errorf("schemas: nothing to concatenate")
	case 1:
		recs[0].Retain()
		return recs[0], nil
	}
	fields, err := union(recs)
	if err != nil {
		return nil, err
	}
	rows := 0
	for _, r := range recs {
		rows += int(r.NumRows())
	}
	arrays := make([]arrow.Array, len(fields))
	for i, f := range fields {
		if arrays[i], err = concatColumn(recs, f); err != nil {
			for _, a := range arrays[:i] {
				a.Release()
			}
			return nil, fmt.Errorf("schemas: concatenate column %q: %w", f.Name, err)
		}
	}
	return newRecord(fields, arrow.Metadata{}, arrays, int64(rows)), nil
}

func union(recs []arrow.Record) ([]arrow.Field, error) {
	var fields []arrow.Field
	at := map[string]int{}
	for _, r := range recs {
		here, _ := fieldsOf(r)
		for _, f := range here {
			i, known := at[f.Name]
			if !known {
				at[f.Name] = len(fields)
				fields = append(fields, f)
				continue
			}
			if !arrow.TypeEqual(f.Type, fields[i].Type) {
				return nil, fmt.Errorf("schemas: concatenate: column %q is both %s and %s", f.Name, fields[i].Type, f.Type)
			}
		}
	}
	for i := range fields {
		fields[i].Nullable = true
	}
	return fields, nil
}

func concatColumn(recs []arrow.Record, f arrow.Field) (arrow.Array, error) {
	parts := make([]arrow.Array, len(recs))
	for i, r := range recs {
		if j := index(r, f.Name); j >= 0 {
			parts[i] = r.Column(j)
			continue
		}
		nulls := Nulls(f.Type, int(r.NumRows()))
		defer nulls.Release()
		parts[i] = nulls
	}
	return array.Concatenate(parts, Allocator)
}
