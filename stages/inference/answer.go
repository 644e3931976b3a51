package inference

import (
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"weir/gpu"
	"weir/schemas"
)

// answer adds the model's answer to the rows that it answered and ends the others.
func (p *Predict) answer(in arrow.Record, call *gpu.Call, outputs []*memory.Buffer) (arrow.Record, error) {
	var s scored
	if p.scores >= 0 {
		s = p.score(outputs[p.scores], call.Out[p.scores].Type, call.Rows)
		defer s.scores.Release()
	}
	columns := p.columns(call, outputs, s)
	full := schemas.With(in, columns...)
	for _, c := range columns {
		c.Array.Release()
	}
	ends := p.endings(in, call.Results, s)
	if len(ends) == 0 {
		return full, nil
	}
	defer full.Release()
	return merge(in, full, ends)
}

// endings of the rows that the model did not answer.
func (p *Predict) endings(in arrow.Record, results []gpu.Result, s scored) []schemas.Ending {
	var ends []schemas.Ending
	for i, r := range results {
		switch {
		case r.Outcome == gpu.Expired:
			ends = append(ends, schemas.PastDeadline(in, i))
		case r.Outcome == gpu.Failed:
			ends = append(ends, schemas.Ending{Row: i, Status: schemas.Failed, Code: failure(r.Err), Message: fmt.Sprintf("model %s: %v", p.model.Name(), r.Err)})
		case p.scores >= 0 && s.best[i] < 0:
			ends = append(ends, schemas.Ending{Row: i, Status: schemas.Failed, Code: schemas.ModelFailed, Message: fmt.Sprintf("model %s: a score is not a number", p.model.Name())})
		}
	}
	return ends
}

func failure(err error) string {
	var rows *gpu.RowsError
	if errors.As(err, &rows) {
		return schemas.ModelRows
	}
	return schemas.ModelFailed
}

// merge takes the rows in ends from in, where an earlier model's answer still stands, and the others from
// full. It is the rare way, so it is the plain one: part, end, glue, and put back in order.
func merge(in, full arrow.Record, ends []schemas.Ending) (arrow.Record, error) {
	n := int(in.NumRows())
	var answered, ended []int
	for i, e := 0, ends; i < n; i++ {
		if len(e) > 0 && e[0].Row == i {
			ended, e = append(ended, i), e[1:]
		} else {
			answered = append(answered, i)
		}
	}
	order := make([]int, n)
	for at, row := range append(answered, ended...) {
		order[row] = at
	}
	all := schemas.End(in, ends)
	defer all.Release()
	good, bad := schemas.Take(full, answered), schemas.Take(all, ended)
	defer good.Release()
	defer bad.Release()
	glued, err := schemas.Concat([]arrow.Record{good, bad})
	if err != nil {
		return nil, err
	}
	defer glued.Release()
	return schemas.Take(glued, order), nil
}

// columns of the answer. The current answer and the stage's own record of it share their arrays.
func (p *Predict) columns(call *gpu.Call, outputs []*memory.Buffer, s scored) []schemas.Named {
	model, version := p.name.Rows(p.model.Name(), call.Rows), p.version.Rows(p.model.Version(), call.Rows)
	wait, run, batch := trace(call.Results)
	columns := []schemas.Named{
		{Name: schemas.Model, Array: model}, {Name: schemas.ModelVersion, Array: version},
		{Name: p.ran.model, Array: retained(model)},
		{Name: p.ran.version, Array: retained(version)},
		{Name: p.ran.wait, Array: wait},
		{Name: p.ran.run, Array: run},
		{Name: p.ran.batch, Array: batch},
	}
	if p.scores >= 0 {
		label := p.label(s.best)
		scores := list(s.scores, arrow.PrimitiveTypes.Float32, s.classes, call.Rows)
		columns = append(columns,
			schemas.Named{Name: schemas.Label, Array: label},
			schemas.Named{Name: schemas.Scores, Array: scores},
			schemas.Named{Name: schemas.Confidence, Array: floats(s.top)},
			schemas.Named{Name: p.ran.label, Array: retained(label)},
			schemas.Named{Name: p.ran.scores, Array: retained(scores)},
		)
	}
	for _, e := range p.extra {
		columns = append(columns, schemas.Named{Name: e.column, Array: output(outputs[e.output], e.Port, call.Rows)})
	}
	return columns
}

// label names the best classes. A row without one gets null; it ends as failed.
func (p *Predict) label(best []int) arrow.Array {
	if len(p.labels) == 0 {
		return indexes(best)
	}
	return schemas.Texts(len(best), func(row int) (string, bool) {
		if best[row] < 0 {
			return "", false
		}
		return p.labels[best[row]], true
	})
}

// indexes are the best classes where they have no names.
func indexes(best []int) arrow.Array {
	b := array.NewInt32Builder(schemas.Allocator)
	defer b.Release()
	for _, k := range best {
		if k < 0 {
			b.AppendNull()
		} else {
			b.Append(int32(k))
		}
	}
	return b.NewArray()
}

func retained(a arrow.Array) arrow.Array {
	a.Retain()
	return a
}

func floats(v []float32) arrow.Array {
	return schemas.Numbers(len(v), func(row int) float32 { return v[row] })
}

// trace is the wait for a device and the run on it in microseconds, and the rows of the device batch.
func trace(results []gpu.Result) (wait, run, batch arrow.Array) {
	n := len(results)
	return schemas.Numbers(n, func(row int) int64 { return results[row].Wait.Microseconds() }),
		schemas.Numbers(n, func(row int) int64 { return results[row].Run.Microseconds() }),
		schemas.Numbers(n, func(row int) int32 { return results[row].Batch })
}

// output is a model output as a column, on the buffer that the model wrote to.
func output(b *memory.Buffer, p gpu.Port, rows int) arrow.Array {
	return list(b, arrowTypes[p.Type], elements(p.Shape), rows)
}

// list is a column of width numbers a row, a plain one where width is 1.
func list(b *memory.Buffer, t arrow.DataType, width, rows int) arrow.Array {
	values := array.NewData(t, width*rows, []*memory.Buffer{nil, b}, nil, 0, 0)
	defer values.Release()
	if width == 1 {
		return array.MakeFromData(values)
	}
	data := array.NewData(arrow.FixedSizeListOf(int32(width), t), rows, []*memory.Buffer{nil}, []arrow.ArrayData{values}, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}
