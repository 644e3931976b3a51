package inference

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/gpu"
	"weir/gpu/linear"
	"weir/pipeline/stagetest"
	"weir/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// linearModel puts a linear runtime of three inputs behind a real batcher.
func linearModel(t *testing.T, outputs int, weights, bias []float32) *gpu.Model {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.json")
	if err := linear.Write(path, linear.Model{Input: "x", Output: "y", Features: 3, Outputs: outputs, Weights: weights, Bias: bias}); err != nil {
		t.Fatal(err)
	}
	rt, err := linear.Open(t.Context(), path, gpu.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, rt, gpu.Options{})
}

func serve(t *testing.T, rt gpu.Runtime, o gpu.Options) *gpu.Model {
	t.Helper()
	m := gpu.NewModel("m", "0123456789ab", []gpu.Runtime{rt}, o, gpu.Events{})
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func bound(t *testing.T, p Predict, m Model, labels ...string) *Predict {
	t.Helper()
	p.Name = "m"
	if err := p.Bind(m, labels); err != nil {
		t.Fatal(err)
	}
	return &p
}

// fixed keeps the columns whose random values would not be ones that occur.
var fixed = stagetest.Keep("_deadline", "_model", "_label")

func TestPredictClasses(t *testing.T) {
	m := linearModel(t, 2, []float32{1, 0, 0, 0, 1, 0}, []float32{0, 0.5})
	p := bound(t, Predict{Inputs: map[string]string{"x": "pixels"}, Scores: Scores{"y", Softmax}}, m, "cat", "dog")
	stagetest.Run(t, p, "testdata/classes.txt")
	stagetest.Laws(t, p, stagetest.File("testdata/classes.txt"), fixed)
}

func TestPredictWithoutLabels(t *testing.T) {
	m := linearModel(t, 2, []float32{1, 0, 0, 0, 1, 0}, nil)
	p := bound(t, Predict{Scores: Scores{"y", None}}, m)
	stagetest.Run(t, p, "testdata/index.txt")
	stagetest.Laws(t, p, stagetest.File("testdata/index.txt"), fixed)
}

// One output is the probability of the second class.
func TestPredictOneProbability(t *testing.T) {
	m := linearModel(t, 1, []float32{1, 0, 0}, nil)
	p := bound(t, Predict{Scores: Scores{"y", Sigmoid}}, m, "no", "yes")
	stagetest.Run(t, p, "testdata/sigmoid.txt")
	stagetest.Laws(t, p, stagetest.File("testdata/sigmoid.txt"), fixed)
}

func TestPredictRegression(t *testing.T) {
	m := linearModel(t, 1, []float32{1, 2, 3}, []float32{0.5})
	p := bound(t, Predict{Outputs: map[string]string{"price": "y"}}, m)
	stagetest.Run(t, p, "testdata/regression.txt")
	stagetest.Laws(t, p, stagetest.File("testdata/regression.txt"), fixed)
}

// pair is a runtime of two inputs, "a" of float64 and "b" of two int64, and of two outputs, their sum and
// the largest. It fails on a = 13 and gives NaN for a = 14.
type pair struct{}

func (pair) Close() error { return nil }

func (pair) Signature() gpu.Signature {
	return gpu.Signature{
		Inputs:  []gpu.Port{{Name: "a", Type: gpu.Float64}, {Name: "b", Type: gpu.Int64, Shape: []int64{2}}},
		Outputs: []gpu.Port{{Name: "scores", Type: gpu.Float64, Shape: []int64{2}}, {Name: "most", Type: gpu.Int64}},
	}
}

func (pair) Predict(_ context.Context, rows int, in, out []gpu.Tensor) error {
	a, b := gpu.Float64s(in[0]), gpu.Int64s(in[1])
	scores, most := gpu.Float64s(out[0]), gpu.Int64s(out[1])
	for i := range rows {
		switch a[i] {
		case 13:
			return errors.New("unlucky")
		case 14:
			scores[2*i], scores[2*i+1] = a[i]/(a[i]-14)-a[i]/(a[i]-14), 0 // Inf - Inf
		default:
			scores[2*i], scores[2*i+1] = a[i], float64(b[2*i]+b[2*i+1])
		}
		most[i] = max(b[2*i], b[2*i+1])
	}
	return nil
}

// The clock stands at 12:00:00: a deadline before that has passed.
func TestPredictOutcomes(t *testing.T) {
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	m := serve(t, pair{}, gpu.Options{Now: func() time.Time { return noon }})
	p := bound(t, Predict{Scores: Scores{"scores", None}, Outputs: map[string]string{"most": "most"}}, m, "left", "right")
	stagetest.Run(t, p, "testdata/outcomes.txt")
}

func TestBindReportsEveryMisfit(t *testing.T) {
	m := serve(t, pair{}, gpu.Options{})
	for name, test := range map[string]struct {
		p      Predict
		labels []string
		want   []string
	}{
		"inputs": {Predict{Inputs: map[string]string{"a": "x", "c": "y"}}, nil,
			[]string{`no input "c"; its inputs: a, b`, `input "b" is not listed`}},
		"no output":  {Predict{Scores: Scores{Output: "logits"}}, nil, []string{`no output "logits"; its outputs: scores, most`}},
		"int scores": {Predict{Scores: Scores{Output: "most"}}, nil, []string{`"most" holds int64; scores are float32 or float64`}},
		"labels":     {Predict{Scores: Scores{Output: "scores"}}, []string{"a", "b", "c"}, []string{`3 labels for 2 scores`}},
		"columns": {Predict{Outputs: map[string]string{"_x": "most", "y": "none"}}, nil,
			[]string{`"_x": names with a leading underscore`, `no output "none"`}},
	} {
		t.Run(name, func(t *testing.T) {
			test.p.Name = "m"
			err := test.p.Bind(m, test.labels)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to say %q", err, want)
				}
			}
		})
	}
}

// A batch of zero rows shows at the start whether columns and inputs fit.
func TestPredictMisfittingColumns(t *testing.T) {
	for name, test := range map[string]struct{ table, want string }{
		"missing": {"a:float64\n1", `no column "b"`},
		"length":  {"a:float64 b:fixed_list<int32>[3]\n1 [1 2 3]", `input b takes 2 numbers a row (shape [2]), column "b" has 3`},
		"type":    {"a:float64 b:fixed_list<float32>[2]\n1 [1 2]", `input b takes int64, which column "b" of fixed_list<float32>[2]`},
		"text":    {"a:string b:fixed_list<int32>[2]\nx [1 2]", `input a takes float64, which column "a" of utf8`},
		"null":    {"a:float64 b:fixed_list<int32>[2]\nnull [1 2]", `column "a" is null, which no model takes`},
	} {
		t.Run(name, func(t *testing.T) {
			before := schemas.Allocator.InUse()
			rec, err := schemas.ParseTable(test.table)
			if err != nil {
				t.Fatal(err)
			}
			p := bound(t, Predict{Scores: Scores{"scores", None}}, serve(t, pair{}, gpu.Options{}))
			_, err = p.Process(t.Context(), rec)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
			rec.Release()
			if after := schemas.Allocator.InUse(); after != before {
				t.Errorf("%d bytes leaked", after-before)
			}
		})
	}
}
