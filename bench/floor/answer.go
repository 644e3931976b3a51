package floor

import (
	"context"
	"math"

	"weir/gpu"
)

// Answerer runs one model, or a light and a heavy one, over rows of numbers. Its buffers are used again: one
// goroutine may use it, and an answer holds until the next one.
type Answerer struct {
	Light, Heavy gpu.Runtime // Heavy may be nil
	AtLeast      float32     // a light answer below it goes on to Heavy; without a Heavy it is unsure
	Labels       []string

	x, hard []float32
	scores  []float32
	heavier []float32
	rows    []int // that Light is unsure of
	best    []int
}

// Answers are rows of scores, the best class of each row, and the rows, in order, that are unsure.
type Answers struct {
	Scores  []float32
	Classes int
	Best    []int
	Unsure  []int
}

// Row is the scores of a row.
func (a Answers) Row(i int) []float32 { return a.Scores[i*a.Classes:][:a.Classes] }

// Answer runs the models over the pixels of queries.
func (a *Answerer) Answer(ctx context.Context, q Query) (Answers, error) {
	rows, width := q.Rows, len(q.pixels)/q.Rows
	a.x = grown(a.x, len(q.pixels))
	x := a.x[:len(q.pixels)]
	for i, v := range q.pixels {
		x[i] = float32(v)
	}
	classes := len(a.Labels)
	a.scores = grown(a.scores, rows*classes)
	if err := run(ctx, a.Light, a.x, a.scores, rows); err != nil {
		return Answers{}, err
	}
	a.best, a.rows = a.best[:0], a.rows[:0]
	for i := range rows {
		best := softmax(a.scores[i*classes:][:classes])
		a.best = append(a.best, best)
		if a.scores[i*classes+best] < a.AtLeast {
			a.rows = append(a.rows, i)
		}
	}
	if len(a.rows) > 0 && a.Heavy != nil {
		if err := a.again(ctx, width, classes); err != nil {
			return Answers{}, err
		}
		a.rows = a.rows[:0]
	}
	return Answers{Scores: a.scores, Classes: classes, Best: a.best, Unsure: a.rows}, nil
}

// again asks the heavy model about the rows that the light one was unsure of.
func (a *Answerer) again(ctx context.Context, width, classes int) error {
	n := len(a.rows)
	a.hard, a.heavier = grown(a.hard, n*width), grown(a.heavier, n*classes)
	for i, row := range a.rows {
		copy(a.hard[i*width:], a.x[row*width:][:width])
	}
	if err := run(ctx, a.Heavy, a.hard, a.heavier, n); err != nil {
		return err
	}
	for i, row := range a.rows {
		a.best[row] = softmax(a.heavier[i*classes:][:classes])
		copy(a.scores[row*classes:], a.heavier[i*classes:][:classes])
	}
	return nil
}

// Close closes the models.
func (a *Answerer) Close() error {
	if a.Heavy != nil {
		if err := a.Heavy.Close(); err != nil {
			return err
		}
	}
	return a.Light.Close()
}

func run(ctx context.Context, rt gpu.Runtime, x, y []float32, rows int) error {
	sig := rt.Signature()
	in := [1]gpu.Tensor{{Type: gpu.Float32, Shape: sig.Inputs[0].Shape, Data: gpu.Bytes(x)}}
	out := [1]gpu.Tensor{{Type: gpu.Float32, Shape: sig.Outputs[0].Shape, Data: gpu.Bytes(y)}}
	return rt.Predict(ctx, rows, in[:], out[:])
}

// softmax works in place and gives the best class.
func softmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	top, sum := x[best], 0.0
	for i, v := range x {
		e := math.Exp(float64(v - top))
		x[i] = float32(e)
		sum += e
	}
	for i := range x {
		x[i] = float32(float64(x[i]) / sum)
	}
	return best
}

func grown(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}
