package inference

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"weir/gpu"
	"weir/schemas"
)

// A Model answers rows. *gpu.Model is one. It is used from many goroutines.
type Model interface {
	Name() string
	Version() string
	Signature() gpu.Signature
	Predict(ctx context.Context, call *gpu.Call) error
}

// Predict asks one model about every row and adds its answer: label, scores and confidence for a
// classifier, columns of their own for other outputs. It leaves the rows open.
type Predict struct {
	Name string
	// ModelName is the model that Bind expects, for who loads it.
	ModelName string
	// Inputs names the column of each model input: of all of them, or of none, and then each takes the
	// column of its own name.
	Inputs map[string]string
	// Scores says which output holds the classes' scores. The zero value: no classifier.
	Scores Scores
	// Outputs names the model output of each column that it adds.
	Outputs map[string]string

	model  Model
	labels []string    // of the classes, in the order of the scores; empty: the index is the label
	ports  []port      // of the model's inputs
	scores int         // index of the scores' output, -1: none
	extra  []extraPort // of Outputs

	ran           ranNames
	name, version *schemas.Repeated[string] // the model's, in every row
}

// ranNames are the names of the columns that tell what the stage did. They are made once, because making them
// for a batch of one row costs as much as a column.
type ranNames struct{ model, version, wait, run, batch, label, scores string }

func namesOf(stage string) ranNames {
	of := func(suffix string) string { return schemas.Ran(stage, suffix) }
	return ranNames{of(schemas.RanModel), of(schemas.RanVersion), of(schemas.RanWait), of(schemas.RanRun),
		of(schemas.RanBatch), of(schemas.RanLabel), of(schemas.RanScores)}
}

type port struct {
	gpu.Port
	column string
}

type extraPort struct {
	gpu.Port
	column string
	output int
}

// Process implements pipeline.Stage.
func (p *Predict) Process(ctx context.Context, in arrow.Record) (arrow.Record, error) {
	if p.model == nil {
		return nil, fmt.Errorf("predict %s: no model is bound", p.Name)
	}
	call, outputs, err := p.call(in)
	if err != nil {
		return nil, fmt.Errorf("predict %s: %w", p.Name, err)
	}
	defer func() {
		for _, b := range outputs {
			b.Release()
		}
	}()
	if call.Rows > 0 {
		if err := p.model.Predict(ctx, call); err != nil {
			return nil, fmt.Errorf("predict %s: %w", p.Name, err)
		}
	}
	return p.answer(in, call, outputs)
}

// call lays out what the model is asked: views of the input columns, and buffers for its outputs that
// become columns without another copy.
func (p *Predict) call(in arrow.Record) (*gpu.Call, []*memory.Buffer, error) {
	rows := int(in.NumRows())
	call := &gpu.Call{Rows: rows, Results: make([]gpu.Result, rows), Deadlines: deadlines(in)}
	for _, port := range p.ports {
		t, err := tensor(in, port)
		if err != nil {
			return nil, nil, err
		}
		call.In = append(call.In, t)
	}
	var buffers []*memory.Buffer
	for _, port := range p.model.Signature().Outputs {
		b := memory.NewResizableBuffer(schemas.Allocator)
		b.Resize(rows * elements(port.Shape) * port.Type.Size())
		buffers = append(buffers, b)
		call.Out = append(call.Out, gpu.Tensor{Type: port.Type, Shape: port.Shape, Data: b.Bytes()})
	}
	return call, buffers, nil
}

// Columns implements pipeline.Reader. A spec that lists inputs lists them all, so that a process without the
// model file knows them too.
func (p *Predict) Columns() []string {
	if p.model == nil {
		return slices.Collect(maps.Values(p.Inputs))
	}
	var names []string
	for _, port := range p.ports {
		names = append(names, port.column)
	}
	return names
}

// deadlines are the hard ones in unix microseconds, nil where no row has one.
func deadlines(in arrow.Record) []int64 {
	column, err := schemas.Column[*array.Timestamp](in, schemas.Deadline)
	if err != nil || column.NullN() == column.Len() {
		return nil
	}
	out := make([]int64, column.Len())
	for i := range out {
		if column.IsValid(i) {
			out[i] = int64(column.Value(i))
		}
	}
	return out
}
