//go:build cgo

package onnx_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"weir/gpu"
	"weir/gpu/onnx"
)

// BenchmarkPredict runs ONNX Runtime alone, and behind a Model's queue with one caller: the difference is
// what the queue costs a call.
func BenchmarkPredict(b *testing.B) {
	for _, rows := range []int{1, 32, 256} {
		rt := open(b, filepath.Join("testdata", "linear.onnx"))
		in := []gpu.Tensor{gpu.NewTensor(gpu.Float32, []int64{784}, rows)}
		out := []gpu.Tensor{gpu.NewTensor(gpu.Float32, []int64{10}, rows)}
		b.Run(fmt.Sprintf("runtime/%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := rt.Predict(b.Context(), rows, in, out); err != nil {
					b.Fatal(err)
				}
			}
		})
		m := gpu.NewModel("linear", "", []gpu.Runtime{rt}, gpu.Options{}, gpu.Events{})
		call := gpu.Call{Rows: rows, In: in, Out: out, Results: make([]gpu.Result, rows)}
		b.Run(fmt.Sprintf("model/%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Predict(b.Context(), &call); err != nil {
					b.Fatal(err)
				}
			}
		})
		pixels := gpu.Call{Rows: rows, In: []gpu.Tensor{gpu.NewTensor(gpu.Uint8, []int64{784}, rows)}, Out: out, Results: call.Results}
		b.Run(fmt.Sprintf("model-uint8/%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Predict(b.Context(), &pixels); err != nil {
					b.Fatal(err)
				}
			}
		})
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
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
