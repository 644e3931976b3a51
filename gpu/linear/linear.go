// Package linear is a runtime in Go alone: output = weights · (scale × input) + bias.
//
// It serves where no C compiler or ONNX Runtime is at hand, and as the reference that tests and benchmarks
// make models for. A model file is one JSON object:
//
//	{
//	  "input": "pixels", "output": "logits",   names of the ports
//	  "features": 784, "outputs": 10,          numbers a row
//	  "weights": "…",                          base64 of outputs × features little-endian float32s
//	  "bias": "…",                             base64 of outputs little-endian float32s; absent: 0
//	  "scale": 0.00392157                      absent: 1
//	}
//
// The input and the output are float32. A row's output depends on nothing but the row: the same bits come
// out in a batch of any size, on any platform.
package linear

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"weir/gpu"
)

// A Model is what a model file holds. Its zero Scale stands for 1.
type Model struct {
	Input, Output     string
	Features, Outputs int
	Weights           []float32 // Outputs × Features, an output after the other
	Bias              []float32 // nil: 0
	Scale             float32
}

type file struct {
	Input    string  `json:"input"`
	Output   string  `json:"output"`
	Features int     `json:"features"`
	Outputs  int     `json:"outputs"`
	Weights  []byte  `json:"weights"`
	Bias     []byte  `json:"bias,omitempty"`
	Scale    float32 `json:"scale,omitempty"`
}

// Write makes a model file.
func Write(path string, m Model) error {
	if err := m.check(); err != nil {
		return err
	}
	b, err := json.Marshal(file{m.Input, m.Output, m.Features, m.Outputs,
		gpu.Bytes(m.Weights), gpu.Bytes(m.Bias), m.Scale})
	if err != nil {
		return fmt.Errorf("linear: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("linear: %w", err)
	}
	return nil
}

func (m Model) check() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("linear: "+format, args...))
		}
	}
	fault(m.Input == "", "the model has no input name")
	fault(m.Output == "", "the model has no output name")
	fault(m.Features < 1 || m.Outputs < 1, "the model has %d features and %d outputs, it needs one of each", m.Features, m.Outputs)
	fault(len(m.Weights) != m.Outputs*m.Features, "the model has %d weights, %d outputs × %d features need %d",
		len(m.Weights), m.Outputs, m.Features, m.Outputs*m.Features)
	fault(len(m.Bias) != 0 && len(m.Bias) != m.Outputs, "the model has %d biases for %d outputs", len(m.Bias), m.Outputs)
	return errors.Join(errs...)
}

// Open implements gpu.Open.
func Open(_ context.Context, path string, _ gpu.OpenOptions) (gpu.Runtime, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("linear: %w", err)
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("linear: the file is not a linear model in JSON: %w", err)
	}
	if len(f.Weights)%4 != 0 || len(f.Bias)%4 != 0 {
		return nil, errors.New("linear: the weights or biases are not whole float32s")
	}
	m := Model{f.Input, f.Output, f.Features, f.Outputs, floats(f.Weights), floats(f.Bias), f.Scale}
	if err := m.check(); err != nil {
		return nil, err
	}
	return newRuntime(m), nil
}

// floats copies little-endian float32s, as b may lie anywhere.
func floats(b []byte) []float32 {
	t := gpu.NewTensor(gpu.Float32, nil, len(b)/4)
	copy(t.Data, b)
	return gpu.Float32s(t)
}
