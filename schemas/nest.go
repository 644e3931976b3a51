package schemas

import (
	"math"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// shared is the array itself, retained.
func shared(a arrow.Array) arrow.Array {
	a.Retain()
	return a
}

// orNulls is a, retained, or nulls of type t where a batch has no such column.
func orNulls[A interface {
	*E
	arrow.Array
}, E any](a A, t arrow.DataType, n int) arrow.Array {
	if a == nil {
		return Nulls(t, n)
	}
	return shared(a)
}

// orFalse is a flag, false where it is null or missing.
func orFalse(a *array.Boolean, n int) arrow.Array {
	if a != nil && a.NullN() == 0 {
		return shared(a)
	}
	b := newBuilder(Type{Kind: Bool})
	for row := range n {
		b.appendBool(a != nil && a.IsValid(row) && a.Value(row))
	}
	return b.finish()
}

// repeatedText is the same text in n rows.
func repeatedText(v string, n int) arrow.Array {
	body := buffer(n * len(v))
	for at := 0; at < n*len(v); at += len(v) {
		copy(body.Bytes()[at:], v)
	}
	return assemble(arrow.BinaryTypes.String, n, []*memory.Buffer{nil, steps(n, len(v)), body}, nil, 0)
}

// repeatedList is the same list of texts in n rows.
func repeatedList(t arrow.DataType, items []string, n int) arrow.Array {
	b := newBuilder(Type{Kind: String})
	for range n {
		for _, v := range items {
			b.appendString(v)
		}
	}
	return assemble(t, n, []*memory.Buffer{nil, steps(n, len(items))}, []arrow.Array{b.finish()}, 0)
}

// steps are the offsets of n lists of width items each.
func steps(n, width int) *memory.Buffer {
	buf := buffer(4 * (n + 1))
	ends := arrow.Int32Traits.CastFromBytes(buf.Bytes())
	for i := range ends {
		ends[i] = int32(i * width)
	}
	return buf
}

func statusTexts(a *array.Uint8) arrow.Array {
	b := newBuilder(Type{Kind: String})
	for _, s := range a.Uint8Values() {
		b.appendString(Status(s).String())
	}
	return b.finish()
}

func sources(topic string, a *answers, n int) arrow.Array {
	return assemble(sourceType, n, []*memory.Buffer{nil},
		[]arrow.Array{repeatedText(topic, n), shared(a.partition), shared(a.offset), shared(a.row)}, 0)
}

// An item of a row's list is what the row has in the columns of one stage or gate.
type item struct{ of, row int }

// itemsOf lists, row after row, the stages or gates that left something: where their column is not null.
// whole says that there is one and that it left something in every row. Then the items are the rows, and the
// columns need no copy; this is the way of all batches but those that mix rows of several outcomes.
func itemsOf(n int, columns []arrow.Array) (offsets *memory.Buffer, items []item, whole bool) {
	if len(columns) == 1 && columns[0] != nil && columns[0].NullN() == 0 {
		return steps(n, 1), nil, true
	}
	offsets = buffer(4 * (n + 1))
	ends := arrow.Int32Traits.CastFromBytes(offsets.Bytes())
	ends[0] = 0
	items = make([]item, 0, n)
	for row := range n {
		for of, c := range columns {
			if c != nil && c.IsValid(row) {
				items = append(items, item{of, row})
			}
		}
		ends[row+1] = int32(len(items))
	}
	return offsets, items, false
}

// ranLists lists the models that ran for each row.
func ranLists(t arrow.DataType, ran []ranColumns, n int) arrow.Array {
	models := make([]arrow.Array, len(ran))
	for i := range ran {
		if ran[i].model != nil {
			models[i] = ran[i].model
		}
	}
	offsets, items, whole := itemsOf(n, models)
	count := len(items)
	var children []arrow.Array
	if whole {
		count = n
		children = []arrow.Array{shared(ran[0].model), orNulls(ran[0].version, arrow.BinaryTypes.String, n), ones(n),
			labelTexts(ran[0].label, n), scoreLists(ran[0].scores, n)}
	} else {
		children = []arrow.Array{
			textItems(items, func(i int) *array.String { return ran[i].model }),
			textItems(items, func(i int) *array.String { return ran[i].version }),
			ones(count), labelItems(items, ran), scoreItems(items, ran)}
	}
	structs := assemble(ranType, count, []*memory.Buffer{nil}, children, 0)
	return assemble(t, n, []*memory.Buffer{nil, offsets}, []arrow.Array{structs}, 0)
}

// gateLists lists the gates that each row was asked at.
func gateLists(t arrow.DataType, gates []gateColumns, n int) arrow.Array {
	scores := make([]arrow.Array, len(gates))
	for i := range gates {
		if gates[i].score != nil {
			scores[i] = gates[i].score
		}
	}
	offsets, items, whole := itemsOf(n, scores)
	count := len(items)
	var children []arrow.Array
	if whole {
		count = n
		children = []arrow.Array{repeatedText(gates[0].name, n), shared(gates[0].score),
			orNulls(gates[0].atLeast, arrow.PrimitiveTypes.Float32, n), orNulls(gates[0].version, arrow.BinaryTypes.String, n)}
	} else {
		names := newBuilder(Type{Kind: String})
		for _, it := range items {
			names.appendString(gates[it.of].name)
		}
		children = []arrow.Array{names.finish(),
			floatItems(items, func(i int) *array.Float32 { return gates[i].score }),
			floatItems(items, func(i int) *array.Float32 { return gates[i].atLeast }),
			textItems(items, func(i int) *array.String { return gates[i].version })}
	}
	structs := assemble(gateType, count, []*memory.Buffer{nil}, children, 0)
	return assemble(t, n, []*memory.Buffer{nil, offsets}, []arrow.Array{structs}, 0)
}

func ones(n int) arrow.Array {
	buf := buffer(8 * n)
	values := arrow.Float64Traits.CastFromBytes(buf.Bytes())
	for i := range values {
		values[i] = 1
	}
	return assemble(arrow.PrimitiveTypes.Float64, n, []*memory.Buffer{nil, buf}, nil, 0)
}

func textItems(items []item, column func(of int) *array.String) arrow.Array {
	b := newBuilder(Type{Kind: String})
	for _, it := range items {
		if v, ok := text(column(it.of), it.row); ok {
			b.appendString(v)
		} else {
			b.appendNull()
		}
	}
	return b.finish()
}

func floatItems(items []item, column func(of int) *array.Float32) arrow.Array {
	b := newBuilder(Type{Kind: Float32})
	for _, it := range items {
		if c := column(it.of); c != nil && c.IsValid(it.row) {
			b.appendInt32(int32(math.Float32bits(c.Value(it.row))))
		} else {
			b.appendNull()
		}
	}
	return b.finish()
}

// labelTexts are a column's labels as text; an index is text where the model has no names.
func labelTexts(l labels, n int) arrow.Array {
	if l.text != nil {
		return shared(l.text)
	}
	b := newBuilder(Type{Kind: String})
	for row := range n {
		appendLabelText(&b, l, row)
	}
	return b.finish()
}

func labelItems(items []item, ran []ranColumns) arrow.Array {
	b := newBuilder(Type{Kind: String})
	for _, it := range items {
		appendLabelText(&b, ran[it.of].label, it.row)
	}
	return b.finish()
}

func appendLabelText(b *builder, l labels, row int) {
	var digits [12]byte
	switch {
	case l.null(row):
		b.appendNull()
	case l.text != nil:
		b.appendString(l.text.Value(row))
	default:
		b.appendBytes(strconv.AppendInt(digits[:0], int64(l.index.Value(row)), 10))
	}
}

var scoresType = arrow.ListOf(arrow.PrimitiveTypes.Float32)

// scoreLists are a column's scores as lists. A tensor without nulls is one already, but for the offsets.
func scoreLists(s scores, n int) arrow.Array {
	if s.list == nil {
		return Nulls(scoresType, n)
	}
	if fixed, ok := s.list.(*array.FixedSizeList); ok && n > 0 && fixed.NullN() == 0 && s.values.NullN() == 0 {
		from, _ := fixed.ValueOffsets(0)
		_, to := fixed.ValueOffsets(n - 1)
		values := array.NewSlice(s.values, from, to)
		return assemble(scoresType, n, []*memory.Buffer{nil, steps(n, int(to-from)/n)}, []arrow.Array{values}, 0)
	}
	items := make([]item, n)
	for row := range items {
		items[row].row = row
	}
	return scoreItems(items, []ranColumns{{scores: s}})
}

func scoreItems(items []item, ran []ranColumns) arrow.Array {
	total, nulls := 0, 0
	for _, it := range items {
		total += len(ran[it.of].scores.row(it.row))
	}
	valid, offsets, values := zeroBuffer(int(bitutil.BytesForBits(int64(len(items))))), buffer(4*(len(items)+1)), buffer(4*total)
	ends, out := arrow.Int32Traits.CastFromBytes(offsets.Bytes()), arrow.Float32Traits.CastFromBytes(values.Bytes())
	ends[0] = 0
	for i, it := range items {
		row := ran[it.of].scores.row(it.row)
		if row == nil {
			nulls++
		} else {
			bitutil.SetBit(valid.Bytes(), i)
		}
		ends[i+1] = ends[i] + int32(copy(out[ends[i]:], row))
	}
	floats := assemble(arrow.PrimitiveTypes.Float32, total, []*memory.Buffer{nil, values}, nil, 0)
	return assemble(scoresType, len(items), []*memory.Buffer{valid, offsets}, []arrow.Array{floats}, nulls)
}
