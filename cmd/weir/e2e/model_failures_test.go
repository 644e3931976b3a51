package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/connectors/kafka"
	"weir/gpu"
	"weir/gpu/linear"
	"weir/pipeline"
	"weir/schemas"
	"weir/stages/cascade"
	"weir/stages/inference"
)

// A model whose numbers overflow fails the rows for which they do, and no other.
func TestModelOverflow(t *testing.T) {
	t.Parallel()
	p := embedded(t).toyPipe(t)
	m := linear.Model{Input: "input", Output: "logits", Features: 4, Outputs: 4, Weights: make([]float32, 16)}
	m.Weights[0], m.Weights[5], m.Weights[10], m.Weights[15] = 1, 1, 1, 3e38
	if err := linear.Write(filepath.Join(filepath.Dir(p.spec), "light.json"), m); err != nil {
		t.Fatal(err)
	}
	w := p.work(t)
	publish(t, p.client(t), toyRecords(p.topic("queries"), 0, 64)...)
	got := p.predictions(t)
	got.await(t, 64)
	failed := 0
	for i := range 64 {
		q, pr := toyQuery(i), got.once(t)[toyQuery(i).id()]
		switch {
		case q.class() != 3:
			q.check(t, pr)
		case q.model() == "heavy": // 1 × 3e38 is a number still, and a sure one
			if pr.Status != "answered" || pr.Label != "grey" || pr.Model != "light" {
				t.Errorf("query %s: got %s", q.id(), pr.record.Value)
			}
		default:
			failed++
			if pr.Status != "failed" || pr.Reason.Code != "model_failed" || !strings.Contains(pr.Reason.Message, "model light") || pr.Label != "" {
				t.Errorf("query %s: got %s, want it to have failed", q.id(), pr.record.Value)
			}
		}
	}
	eventually(t, "the failed rows are counted", func() bool {
		return w.metric(t, `weir_rows_total{reason="model_failed",status="failed"}`) == float64(failed)
	})
	p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)
}

// A fault is what a row asks for by its last number.
type fault float32

const (
	modelPanics fault = -1 - iota
	modelErrs
	modelLosesRows
	modelAddsRows
	stagePanics
	stageErrs
)

// faults, and how the row that asks for one must end.
var faults = []struct {
	fault
	code, message string
}{
	{modelPanics, "model_failed", "this row is poison"},
	{modelErrs, "model_failed", "cannot compute"},
	{modelLosesRows, "model_rows", "output logits has 0 rows, the input had 1"},
	{modelAddsRows, "model_rows", "output logits has 2 rows, the input had 1"},
	{stagePanics, "stage_failed", "stage strange: panic: this row is poison"},
	{stageErrs, "stage_failed", "stage strange: cannot compute"},
}

// faultyModel is a linear model that fails a run if one of its rows asks for that.
type faultyModel struct{ gpu.Runtime }

// Predict implements gpu.Runtime.
func (m faultyModel) Predict(ctx context.Context, rows int, in, out []gpu.Tensor) error {
	x := gpu.Float32s(in[0])
	for row := range rows {
		switch fault(x[4*row+3]) {
		case modelPanics:
			panic("this row is poison")
		case modelErrs:
			return errors.New("cannot compute")
		case modelLosesRows:
			return &gpu.RowsError{Output: "logits", Want: rows, Got: rows - 1}
		case modelAddsRows:
			return &gpu.RowsError{Output: "logits", Want: rows, Got: rows + 1}
		}
	}
	return m.Runtime.Predict(ctx, rows, in, out)
}

// faultyStage does nothing but fail on a batch if one of its rows asks for that.
type faultyStage struct{}

// Process implements pipeline.Stage.
func (faultyStage) Process(_ context.Context, in arrow.Record) (arrow.Record, error) {
	column, err := schemas.Column[*array.FixedSizeList](in, "x")
	if err != nil {
		return nil, err
	}
	values := column.ListValues().(*array.Float32)
	for row := range column.Len() {
		from, _ := column.ValueOffsets(row)
		switch fault(values.Value(int(from) + 3)) {
		case stagePanics:
			panic("this row is poison")
		case stageErrs:
			return nil, errors.New("cannot compute")
		}
	}
	in.Retain()
	return in, nil
}

// Models and stages that panic, err, or lose rows fail only the rows that make them do so. No file can hold
// such a model, so the pipeline runs in this process, put together as `weir run` does it.
func TestPoisonRows(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.toyFiles(t)
		runInside(t, p.create(t))
		var records []*kgo.Record
		good := 0
		next := func() string { good++; return toyQuery(good - 1).json() }
		add := func(value string) {
			records = append(records, &kgo.Record{Topic: p.topic("queries"), Partition: int32(good % partitions), Value: []byte(value)})
		}
		for i, f := range faults {
			add(next())
			add(fmt.Sprintf(`{"query_id":"alone-%d","x":[8,0,0,%v]}`, i, f.fault))
			add(next())
			add(fmt.Sprintf(`[%s,{"query_id":"between-%d","x":[8,0,0,%v]},%s]`, next(), i, f.fault, next()))
			add(next())
		}
		publish(t, p.client(t), records...)
		p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)
		got := p.predictions(t)
		byID := got.once(t)
		for i, f := range faults {
			for _, id := range []string{fmt.Sprint("alone-", i), fmt.Sprint("between-", i)} {
				pr, ok := byID[id]
				if !ok || pr.Status != "failed" || pr.Reason.Code != f.code || !strings.Contains(pr.Reason.Message, f.message) || pr.Label != "" {
					t.Errorf("%s: got %+v, want it to have failed with %s, %q", id, pr, f.code, f.message)
				}
			}
		}
		checkToys(t, got.all(t), good)
		if want := good + 2*len(faults); len(byID) != want {
			t.Errorf("%d predictions, want %d", len(byID), want)
		}
	})
}

// runInside runs a toy pipeline with a faulty light model and a stage before it, until the test ends.
func runInside(t *testing.T, p pipe) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	spec, err := pipeline.Load(p.spec, append(inference.Kinds(), cascade.Kinds()...)...)
	if err != nil {
		t.Fatal(err)
	}
	var specs []gpu.Spec
	for _, name := range spec.ModelNames {
		specs = append(specs, gpu.Spec{Name: name, Runtime: "faulty", Path: spec.Models[name].Path})
	}
	models, err := gpu.Load(ctx, specs, gpu.Drivers{"faulty": openFaulty}, gpu.Options{}, gpu.Events{})
	if err != nil {
		t.Fatal(err)
	}
	stages := []pipeline.NamedStage{{Name: "strange", Stage: faultyStage{}}}
	for _, segment := range spec.Segments {
		stages = append(stages, segment.Stages...)
		for _, st := range segment.Stages {
			if predict, ok := st.Stage.(*inference.Predict); ok {
				model, _ := models.Get(predict.ModelName)
				if err := predict.Bind(model, toyLabels[:]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	client, err := kafka.Dial(ctx, kafka.Options{Brokers: []string{p.addr}})
	if err != nil {
		t.Fatal(err)
	}
	queries := spec.Topics.Queries
	sink := func(topic string, e schemas.Encoder) pipeline.Sink {
		return &kafka.Sink{Client: client, Topic: topic, Encode: e}
	}
	segment := &pipeline.Segment{Name: "light", Stages: stages, Objective: spec.Objective, Outputs: pipeline.Outputs{
		Predictions: sink(spec.Topics.Predictions, schemas.NewPredictions(schemas.PredictionOptions{Topic: queries})),
		Dead:        sink(spec.Topics.Dead, schemas.NewDead(queries)),
		Decisions:   sink(spec.Topics.Decisions, schemas.NewDecisions(schemas.DecisionOptions{Topic: queries, Schema: spec.Schema})),
	}}
	source := &kafka.Source{Client: client, Topic: queries, Group: p.group("light"), NewDecoder: func(int32) schemas.Decoder {
		return schemas.NewQueries(schemas.QueryOptions{Schema: spec.Schema, Topic: queries})
	}}
	ended := make(chan error, 1)
	go func() { ended <- source.Run(ctx, segment.Open) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, client.Close(), models.Close()); err != nil {
			t.Error(err)
		}
	})
}

func openFaulty(ctx context.Context, path string, o gpu.OpenOptions) (gpu.Runtime, error) {
	rt, err := linear.Open(ctx, path, o)
	return faultyModel{rt}, err
}
