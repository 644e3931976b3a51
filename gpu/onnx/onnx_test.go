//go:build cgo

package onnx_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"weir/gpu"
	"weir/gpu/onnx"
)

// Without the library there is nothing to test: one line says so.
func TestMain(m *testing.M) {
	// A file that is not there tells: with a library, the model is missing; without, the library.
	if os.Getenv("WEIR_ORT_LIB") == "" {
		if _, err := onnx.Open(context.Background(), "", gpu.OpenOptions{}); err != nil && strings.Contains(err.Error(), "make runtime") {
			fmt.Println("SKIP weir/gpu/onnx:", err)
			return
		}
	}
	goleak.VerifyTestMain(m)
}

func model(name string) string { return filepath.Join("testdata", name+".onnx") }

func run(tb testing.TB, rt gpu.Runtime, rows int, in ...gpu.Tensor) []gpu.Tensor {
	tb.Helper()
	var out []gpu.Tensor
	for _, p := range rt.Signature().Outputs {
		out = append(out, gpu.NewTensor(p.Type, p.Shape, rows))
	}
	if err := rt.Predict(tb.Context(), rows, in, out); err != nil {
		tb.Fatal(err)
	}
	return out
}

func closeRuntime(t *testing.T, rt gpu.Runtime) {
	if err := rt.Close(); err != nil {
		t.Error(err)
	}
}

// want is the formula of testdata/generate.py.
func want(x []float32, output int) float32 {
	sum := float32(output)
	for i, v := range x {
		sum += v * float32((i+3*output)%7-3) / 4
	}
	return sum
}

func TestLinear(t *testing.T) {
	rt := open(t, model("linear"))
	defer closeRuntime(t, rt)
	if got, want := fmt.Sprint(rt.Signature()), "{[pixels float32[784]] [logits float32[10]]}"; got != want {
		t.Fatalf("signature: got %s, want %s", got, want)
	}
	x := gpu.NewTensor(gpu.Float32, []int64{784}, 65)
	for i := range gpu.Float32s(x) {
		gpu.Float32s(x)[i] = float32(i * 31 % 256)
	}
	for _, rows := range []int{65, 1, 7} {
		got := gpu.Float32s(run(t, rt, rows, x.Slice(0, rows))[0])
		for i, got := range got {
			if want := want(gpu.Float32s(x.Slice(i/10, i/10+1)), i%10); got != want {
				t.Fatalf("%d rows, row %d, output %d: got %v, want %v", rows, i/10, i%10, got, want)
			}
		}
	}
}

func TestInputTypes(t *testing.T) {
	x := []float32{1, 0, 200, 7}
	wants := []float32{want(x, 0), want(x, 1), want(x, 2)}
	for name, in := range map[string]gpu.Tensor{
		"uint8": {Type: gpu.Uint8, Shape: []int64{4}, Data: []byte{1, 0, 200, 7}},
		"int64": {Type: gpu.Int64, Shape: []int64{4}, Data: gpu.Bytes([]int64{1, 0, 200, 7})},
	} {
		rt := open(t, model(name))
		if got := gpu.Float32s(run(t, rt, 1, in)[0]); !slices.Equal(got, wants) {
			t.Errorf("%s: got %v, want %v", name, got, wants)
		}
		closeRuntime(t, rt)
	}
}

func TestSeveralInputsAndOutputs(t *testing.T) {
	rt := open(t, model("two"))
	defer closeRuntime(t, rt)
	if got, want := fmt.Sprint(rt.Signature()), "{[a float64[3] b float64[3]] [total float64[] index int64[1]]}"; got != want {
		t.Fatalf("signature: got %s, want %s", got, want)
	}
	tensor := func(v ...float64) gpu.Tensor {
		return gpu.Tensor{Type: gpu.Float64, Shape: []int64{3}, Data: gpu.Bytes(v)}
	}
	out := run(t, rt, 2, tensor(1, 2, 3, 4, 5, 6), tensor(0, 9, 0, 0.5, 0, 0))
	if got, want := gpu.Float64s(out[0]), []float64{15, 15.5}; !slices.Equal(got, want) {
		t.Errorf("total: got %v, want %v", got, want)
	}
	if got, want := gpu.Int64s(out[1]), []int64{1, 2}; !slices.Equal(got, want) {
		t.Errorf("index: got %v, want %v", got, want)
	}
}

func TestRefused(t *testing.T) {
	for name, wants := range map[string][]string{
		"fixed":  {`pixels has a fixed first dimension ([1 4]): save the model with it open`, "logits has a fixed first dimension"},
		"onerow": {"y has a fixed first dimension ([1 3])"},
		"open":   {"pixels has an open dimension after the first ([-1 -1]): save the model with fixed ones"},
		"broken": {"the file is not a model that ONNX Runtime 1."},
		"absent": {"File doesn't exist"},
	} {
		rt, err := onnx.Open(t.Context(), model(name), gpu.OpenOptions{})
		if err == nil {
			closeRuntime(t, rt)
			t.Errorf("%s was opened", name)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
	}
}

// A model that loses rows, and one that fails on a row, say so and work on.
func TestFaults(t *testing.T) {
	lost := open(t, model("lastrow"))
	defer closeRuntime(t, lost)
	for rows := 3; rows > 0; rows-- {
		in, out := gpu.NewTensor(gpu.Float32, []int64{3}, rows), gpu.NewTensor(gpu.Float32, []int64{3}, rows)
		err := lost.Predict(t.Context(), rows, []gpu.Tensor{in}, []gpu.Tensor{out})
		var e *gpu.RowsError
		if !errors.As(err, &e) || *e != (gpu.RowsError{Output: "y", Want: rows, Got: rows - 1}) {
			t.Errorf("%d rows: got %v, want a RowsError", rows, err)
		}
	}
	lookup := open(t, model("lookup"))
	defer closeRuntime(t, lookup)
	index := gpu.Tensor{Type: gpu.Int64, Shape: []int64{2}, Data: gpu.Bytes([]int64{0, 3, 1, 9})}
	out := gpu.NewTensor(gpu.Float32, []int64{2}, 2)
	err := lookup.Predict(t.Context(), 2, []gpu.Tensor{index}, []gpu.Tensor{out})
	if err == nil || !strings.Contains(err.Error(), "out of data bounds, idx=9") {
		t.Errorf("got %v, want an index out of bounds", err)
	}
	if got, want := gpu.Float32s(run(t, lookup, 1, index.Slice(0, 1))[0]), []float32{0.5, 3.5}; !slices.Equal(got, want) {
		t.Errorf("after the fault: got %v, want %v", got, want)
	}
}

// Many callers of one Model, two instances, uint8 rows that are widened: every row is that of the formula,
// and a row that the model cannot compute fails alone.
func TestBehindAModel(t *testing.T) {
	specs := []gpu.Spec{
		{Name: "linear", Runtime: "onnx", Path: model("linear"), Instances: 2},
		{Name: "lookup", Runtime: "onnx", Path: model("lookup")},
	}
	models, err := gpu.Load(t.Context(), specs, gpu.Drivers{"onnx": onnx.Open}, gpu.Options{MaxRows: 16}, gpu.Events{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := models.Close(); err != nil {
			t.Error(err)
		}
	}()
	linear, _ := models.Get("linear")
	lookup, _ := models.Get("lookup")
	var wg sync.WaitGroup
	for caller := range 4 {
		wg.Go(func() {
			for round := range 20 {
				checkLinear(t, linear, 1+(caller+round)%20, byte(caller+round))
				checkLookup(t, lookup, 1+(caller+round)%20)
			}
		})
	}
	wg.Wait()
}

func checkLinear(t *testing.T, m *gpu.Model, rows int, first byte) {
	c := gpu.Call{Rows: rows, Results: make([]gpu.Result, rows),
		In:  []gpu.Tensor{gpu.NewTensor(gpu.Uint8, []int64{28, 28}, rows)},
		Out: []gpu.Tensor{gpu.NewTensor(gpu.Float32, []int64{10}, rows)}}
	x := make([]float32, 784*rows)
	for i := range x {
		c.In[0].Data[i] = first + byte(i)
		x[i] = float32(c.In[0].Data[i])
	}
	if err := m.Predict(t.Context(), &c); err != nil {
		t.Error(err)
		return
	}
	for i, got := range gpu.Float32s(c.Out[0]) {
		row := i / 10
		if want := want(x[784*row:784*(row+1)], i%10); c.Results[row].Outcome != gpu.OK || got != want {
			t.Errorf("row %d (%+v): got %v, want %v", row, c.Results[row], got, want)
			return
		}
	}
}

func checkLookup(t *testing.T, m *gpu.Model, rows int) {
	c := gpu.Call{Rows: rows, Results: make([]gpu.Result, rows),
		In:  []gpu.Tensor{gpu.NewTensor(gpu.Int64, []int64{2}, rows)},
		Out: []gpu.Tensor{gpu.NewTensor(gpu.Float32, []int64{2}, rows)}}
	for i := range rows {
		gpu.Int64s(c.In[0])[2*i] = int64(i) // beyond row 3 the table has none
	}
	if err := m.Predict(t.Context(), &c); err != nil {
		t.Error(err)
		return
	}
	for i, r := range c.Results {
		if (r.Outcome == gpu.OK) != (i < 4) || (r.Outcome == gpu.Failed) != (i >= 4) {
			t.Errorf("row %d: got %+v", i, r)
		} else if got := gpu.Float32s(c.Out[0])[2*i]; i < 4 && got != float32(i)+0.5 {
			t.Errorf("row %d: got %v", i, got)
		}
	}
}
