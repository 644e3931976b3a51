package inference

import (
	"math"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"weir/gpu"
	"weir/schemas"
)

// Apply says how a model's numbers become scores.
type Apply string

// The ways to make scores. One number a row, p, stands for the pair [1-p, p].
const (
	None    Apply = "none"    // they are scores already
	Softmax Apply = "softmax" // exp(x_i) / Σ exp(x_j)
	Sigmoid Apply = "sigmoid" // 1 / (1 + exp(-x))
)

// Scores says which output of a model scores the classes, and how its numbers become scores.
type Scores struct {
	Output string
	Apply  Apply
}

// scored is what the scores of a batch say: rows × classes numbers, and for each row the best class and its
// score. A row with a score that is not a number has best -1.
type scored struct {
	scores  *memory.Buffer // float32
	classes int
	best    []int
	top     []float32
}

// score turns the raw output into scores, in place where it is float32 already.
func (p *Predict) score(raw *memory.Buffer, t gpu.Type, rows int) scored {
	width := p.classes()
	if elements(p.model.Signature().Outputs[p.scores].Shape) == 1 {
		width = 1
	}
	buffer := asFloat32(raw, t)
	values := gpu.Float32s(gpu.Tensor{Type: gpu.Float32, Data: buffer.Bytes()})
	switch p.Scores.Apply {
	case Softmax:
		if width > 1 { // of one number it would always be 1
			for i := range rows {
				softmax(values[i*width : (i+1)*width])
			}
		}
	case Sigmoid:
		for i, v := range values {
			values[i] = float32(1 / (1 + math.Exp(-float64(v))))
		}
	}
	if width == 1 {
		pair := pairs(values)
		buffer.Release()
		buffer, width = pair, 2
		values = gpu.Float32s(gpu.Tensor{Type: gpu.Float32, Data: buffer.Bytes()})
	}
	s := scored{scores: buffer, classes: width, best: make([]int, rows), top: make([]float32, rows)}
	for i := range rows {
		s.best[i], s.top[i] = argmax(values[i*width : (i+1)*width])
	}
	return s
}

// softmax is computed relative to the largest logit, so that no exponential overflows.
func softmax(x []float32) {
	top := x[0]
	for _, v := range x[1:] {
		top = max(top, v)
	}
	sum := 0.0
	for i, v := range x {
		e := math.Exp(float64(v - top))
		x[i] = float32(e)
		sum += e
	}
	for i := range x {
		x[i] = float32(float64(x[i]) / sum)
	}
}

// argmax is the first of the largest scores; -1 where one is not a number.
func argmax(x []float32) (int, float32) {
	best := 0
	for i, v := range x {
		if v != v {
			return -1, v
		}
		if v > x[best] {
			best = i
		}
	}
	return best, x[best]
}

// pairs makes [1-p, p] of every p.
func pairs(p []float32) *memory.Buffer {
	b := memory.NewResizableBuffer(schemas.Allocator)
	b.Resize(len(p) * 2 * 4)
	out := gpu.Float32s(gpu.Tensor{Type: gpu.Float32, Data: b.Bytes()})
	for i, v := range p {
		out[2*i], out[2*i+1] = 1-v, v
	}
	return b
}

// asFloat32 gives the buffer itself, retained, or a narrowed copy of float64 scores.
func asFloat32(raw *memory.Buffer, t gpu.Type) *memory.Buffer {
	if t == gpu.Float32 {
		raw.Retain()
		return raw
	}
	wide := gpu.Float64s(gpu.Tensor{Type: gpu.Float64, Data: raw.Bytes()})
	b := memory.NewResizableBuffer(schemas.Allocator)
	b.Resize(len(wide) * 4)
	out := gpu.Float32s(gpu.Tensor{Type: gpu.Float32, Data: b.Bytes()})
	for i, v := range wide {
		out[i] = float32(v)
	}
	return b
}
