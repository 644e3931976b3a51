//go:build cgo

package onnx_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"weir/gpu"
	"weir/gpu/onnx"
)

// BenchmarkPredict runs ONNX Runtime alone, and behind a Model's queue with one caller, whose rows are of
// the model's type or must be widened: the difference is what the queue and the copy cost a call.
func BenchmarkPredict(b *testing.B) {
	examples := filepath.Join("..", "..", "examples", "fashion", "models")
	for _, path := range []string{model("linear"), filepath.Join(examples, "light.onnx"), filepath.Join(examples, "heavy.onnx")} {
		if _, err := os.Stat(path); err != nil {
			b.Logf("no %s", path)
			continue
		}
		for _, rows := range []int{1, 32, 256} {
			b.Run(fmt.Sprintf("%s/%d", filepath.Base(path), rows), func(b *testing.B) { benchmark(b, path, rows) })
		}
	}
}

func benchmark(b *testing.B, path string, rows int) {
	rt := open(b, path)
	m := gpu.NewModel("model", "", []gpu.Runtime{rt}, gpu.Options{}, gpu.Events{})
	defer m.Close()
	in, out := m.Signature().Inputs[0], m.Signature().Outputs[0]
	call := gpu.Call{Rows: rows, Results: make([]gpu.Result, rows),
		In:  []gpu.Tensor{gpu.NewTensor(in.Type, in.Shape, rows)},
		Out: []gpu.Tensor{gpu.NewTensor(out.Type, out.Shape, rows)}}
	bytes := call
	bytes.In = []gpu.Tensor{gpu.NewTensor(gpu.Uint8, in.Shape, rows)}
	for _, tt := range []struct {
		name string
		run  func() error
	}{
		{"runtime", func() error { return rt.Predict(b.Context(), rows, call.In, call.Out) }},
		{"model", func() error { return m.Predict(b.Context(), &call) }},
		{"widened", func() error { return m.Predict(b.Context(), &bytes) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := tt.run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*rows), "µs/row")
		})
	}
}

func open(tb testing.TB, path string) gpu.Runtime {
	tb.Helper()
	rt, err := onnx.Open(tb.Context(), path, gpu.OpenOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}
