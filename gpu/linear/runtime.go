package linear

import (
	"context"

	"weir/gpu"
)

type runtime struct {
	sig     gpu.Signature
	weights []float32 // the model's, times its scale
	bias    []float32
}

func newRuntime(m Model) *runtime {
	r := &runtime{
		sig: gpu.Signature{
			Inputs:  []gpu.Port{{Name: m.Input, Type: gpu.Float32, Shape: []int64{int64(m.Features)}}},
			Outputs: []gpu.Port{{Name: m.Output, Type: gpu.Float32, Shape: []int64{int64(m.Outputs)}}},
		},
		weights: make([]float32, len(m.Weights)),
		bias:    make([]float32, m.Outputs),
	}
	copy(r.bias, m.Bias)
	scale := m.Scale
	if scale == 0 {
		scale = 1
	}
	for i, w := range m.Weights {
		r.weights[i] = w * scale
	}
	return r
}

// Signature implements gpu.Runtime.
func (r *runtime) Signature() gpu.Signature { return r.sig }

// Close implements gpu.Runtime.
func (r *runtime) Close() error { return nil }

// Predict implements gpu.Runtime.
func (r *runtime) Predict(_ context.Context, rows int, in, out []gpu.Tensor) error {
	x, y := gpu.Float32s(in[0]), gpu.Float32s(out[0])
	features, outputs := len(r.weights)/len(r.bias), len(r.bias)
	for row := range rows {
		r.row(x[row*features:][:features], y[row*outputs:][:outputs])
	}
	return nil
}

// row computes one row, four outputs at a time: four sums that do not wait for one another, and a number of
// the row is loaded once for all of them.
func (r *runtime) row(x, y []float32) {
	n, o := len(x), 0
	for ; o+4 <= len(y); o += 4 {
		w := r.weights[o*n:]
		b := r.bias[o:]
		y[o], y[o+1], y[o+2], y[o+3] = dot4(x, w[:n], w[n:][:n], w[2*n:][:n], w[3*n:][:n], b[0], b[1], b[2], b[3])
	}
	for ; o < len(y); o++ {
		y[o] = dot(x, r.weights[o*n:][:n], r.bias[o])
	}
}

// The conversions float32(x * w) forbid a fused multiply-add, which some platforms have: it would round
// another way there, and dot and dot4 must give the same bits.

func dot4(x, w0, w1, w2, w3 []float32, s0, s1, s2, s3 float32) (_, _, _, _ float32) {
	w0, w1, w2, w3 = w0[:len(x)], w1[:len(x)], w2[:len(x)], w3[:len(x)]
	for i, v := range x {
		s0 += float32(v * w0[i])
		s1 += float32(v * w1[i])
		s2 += float32(v * w2[i])
		s3 += float32(v * w3[i])
	}
	return s0, s1, s2, s3
}

func dot(x, w []float32, s float32) float32 {
	w = w[:len(x)]
	for i, v := range x {
		s += float32(v * w[i])
	}
	return s
}
