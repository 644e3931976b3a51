package linear_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/gpu"
	"weir/gpu/linear"
)

// random makes a model and rows of it.
func random(features, outputs, rows int) (linear.Model, gpu.Tensor) {
	rnd := rand.New(rand.NewPCG(1, 2))
	m := linear.Model{Input: "x", Output: "y", Features: features, Outputs: outputs, Scale: 1.0 / 256,
		Weights: make([]float32, features*outputs), Bias: make([]float32, outputs)}
	for i := range m.Weights {
		m.Weights[i] = rnd.Float32() - 0.5
	}
	for i := range m.Bias {
		m.Bias[i] = rnd.Float32()
	}
	x := gpu.NewTensor(gpu.Float32, []int64{int64(features)}, rows)
	for i := range gpu.Float32s(x) {
		gpu.Float32s(x)[i] = float32(rnd.IntN(256))
	}
	return m, x
}

func open(tb testing.TB, m linear.Model) gpu.Runtime {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "model.json")
	if err := linear.Write(path, m); err != nil {
		tb.Fatal(err)
	}
	rt, err := linear.Open(tb.Context(), path, gpu.OpenOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}

func predict(tb testing.TB, rt gpu.Runtime, rows int, x gpu.Tensor) []float32 {
	tb.Helper()
	y := gpu.NewTensor(gpu.Float32, rt.Signature().Outputs[0].Shape, rows)
	if err := rt.Predict(tb.Context(), rows, []gpu.Tensor{x}, []gpu.Tensor{y}); err != nil {
		tb.Fatal(err)
	}
	return gpu.Float32s(y)
}

// The model computes what its formula says, whether outputs fall into fours or not.
func TestPredict(t *testing.T) {
	for _, outputs := range []int{1, 3, 4, 10} {
		m, x := random(37, outputs, 5)
		got := predict(t, open(t, m), 5, x)
		for row := range 5 {
			for o := range outputs {
				want := float64(m.Bias[o])
				for i := range 37 {
					want += float64(m.Weights[o*37+i]) * float64(gpu.Float32s(x)[row*37+i]) / 256
				}
				if got := float64(got[row*outputs+o]); math.Abs(got-want) > 1e-5 {
					t.Errorf("%d outputs, row %d, output %d: got %v, want %v", outputs, row, o, got, want)
				}
			}
		}
	}
}

// A row has the same bits in a batch of any size.
func TestRowsDoNotDependOnTheBatch(t *testing.T) {
	m, x := random(784, 10, 64)
	rt := open(t, m)
	whole := predict(t, rt, 64, x)
	for row := range 64 {
		alone := predict(t, rt, 1, x.Slice(row, row+1))
		if want := whole[10*row : 10*row+10]; !slices.Equal(alone, want) {
			t.Fatalf("row %d: got %v alone, %v in a batch", row, alone, want)
		}
	}
}

func TestSignature(t *testing.T) {
	m, _ := random(2, 3, 0)
	m.Scale, m.Bias = 0, nil
	rt := open(t, m)
	if got, want := fmt.Sprint(rt.Signature()), "{[x float32[2]] [y float32[3]]}"; got != want {
		t.Errorf("signature: got %s, want %s", got, want)
	}
	x := gpu.NewTensor(gpu.Float32, []int64{2}, 1)
	copy(gpu.Float32s(x), []float32{1, 0})
	want := []float32{m.Weights[0], m.Weights[2], m.Weights[4]}
	if got := predict(t, rt, 1, x); !slices.Equal(got, want) {
		t.Errorf("without scale and bias: got %v, want %v", got, want)
	}
}

func TestBadFiles(t *testing.T) {
	for _, tt := range []struct{ file, want string }{
		{"", "not a linear model in JSON"},
		{`{"input":"x","output":"y","features":1,"outputs":1,"weights":"AACA"}`, "not whole float32s"},
		{`{"input":"x","output":"y","features":1,"outputs":1,"weights":"?"}`, "not a linear model in JSON"},
		{`{"features":1,"outputs":1}`, "linear: the model has no input name\nlinear: the model has no output name\nlinear: the model has 0 weights, 1 outputs × 1 features need 1"},
		{`{"input":"x","output":"y"}`, "0 features and 0 outputs"},
		{`{"input":"x","output":"y","features":1,"outputs":1,"weights":"AACAPw==","bias":"AACAPwAAgD8="}`, "2 biases for 1 outputs"},
	} {
		path := filepath.Join(t.TempDir(), "model.json")
		if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := linear.Open(t.Context(), path, gpu.OpenOptions{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.file, err, tt.want)
		}
	}
	if err := linear.Write(filepath.Join(t.TempDir(), "model.json"), linear.Model{}); err == nil {
		t.Error("wrote an empty model")
	}
	if _, err := linear.Open(t.Context(), "absent.json", gpu.OpenOptions{}); err == nil {
		t.Error("opened a file that is not there")
	}
}

// BenchmarkPredict runs the model alone, and behind a Model's queue with one caller: the difference is what
// the queue costs a call.
func BenchmarkPredict(b *testing.B) {
	for _, rows := range []int{1, 32, 256} {
		m, x := random(784, 10, rows)
		rt := open(b, m)
		in, out := []gpu.Tensor{x}, []gpu.Tensor{gpu.NewTensor(gpu.Float32, []int64{10}, rows)}
		b.Run(fmt.Sprintf("runtime/%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := rt.Predict(b.Context(), rows, in, out); err != nil {
					b.Fatal(err)
				}
			}
		})
		model := gpu.NewModel("linear", "", []gpu.Runtime{rt}, gpu.Options{}, gpu.Events{})
		call := gpu.Call{Rows: rows, In: in, Out: out, Results: make([]gpu.Result, rows)}
		b.Run(fmt.Sprintf("model/%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := model.Predict(b.Context(), &call); err != nil {
					b.Fatal(err)
				}
			}
		})
		if err := model.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
