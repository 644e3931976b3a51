//go:build cgo

package onnx

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"weir/gpu"
)

// A session is one loaded model. The slices are kept for the next run, as Predict is called by one
// goroutine at a time.
type session struct {
	sig     gpu.Signature
	types   map[gpu.Type]ort.TensorElementDataType
	ort     *ort.DynamicAdvancedSession
	in, out []ort.Value
	shape   ort.Shape
	pins    runtime.Pinner
}

// Open implements gpu.Open.
func Open(_ context.Context, path string, o gpu.OpenOptions) (gpu.Runtime, error) {
	if err := environment(); err != nil {
		return nil, err
	}
	sig, err := inspect(path)
	if err != nil {
		return nil, err
	}
	opts, err := options(o)
	if err != nil {
		return nil, fmt.Errorf("onnx: session options: %w", err)
	}
	defer opts.Destroy()
	s := &session{sig: sig, types: make(map[gpu.Type]ort.TensorElementDataType)}
	for theirs, ours := range numbers() {
		s.types[ours] = theirs
	}
	s.ort, err = ort.NewDynamicAdvancedSession(path, names(sig.Inputs), names(sig.Outputs), opts)
	if err != nil {
		return nil, fmt.Errorf("onnx: load: %w", err)
	}
	return s, nil
}

// inspect reads the model's signature. The binding opens a session of its own for that, which need not be
// optimised.
func inspect(path string) (gpu.Signature, error) {
	opts, err := ort.NewSessionOptions()
	if err != nil {
		return gpu.Signature{}, fmt.Errorf("onnx: session options: %w", err)
	}
	defer opts.Destroy()
	if err := opts.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll); err != nil {
		return gpu.Signature{}, fmt.Errorf("onnx: session options: %w", err)
	}
	inputs, outputs, err := ort.GetInputOutputInfoWithOptions(path, opts)
	if err != nil {
		return gpu.Signature{}, fmt.Errorf("onnx: the file is not a model that ONNX Runtime %s can load: %w", ort.GetVersion(), err)
	}
	return signature(inputs, outputs)
}

// options ask for exactly the threads that the spec gives: ONNX Runtime would take all cores, and its idle
// threads would spin.
func options(o gpu.OpenOptions) (*ort.SessionOptions, error) {
	opts, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		opts.SetIntraOpNumThreads(max(o.Threads, 1)),
		opts.SetInterOpNumThreads(1),
		opts.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		opts.AddSessionConfigEntry("session.inter_op.allow_spinning", "0"))
	if err != nil {
		return nil, errors.Join(err, opts.Destroy())
	}
	return opts, nil
}

func names(ports []gpu.Port) []string {
	var names []string
	for _, p := range ports {
		names = append(names, p.Name)
	}
	return names
}

// Signature implements gpu.Runtime.
func (s *session) Signature() gpu.Signature { return s.sig }

// Close implements gpu.Runtime.
func (s *session) Close() error { return s.ort.Destroy() }

// Predict implements gpu.Runtime.
func (s *session) Predict(_ context.Context, rows int, in, out []gpu.Tensor) error {
	defer s.release()
	var err error
	if s.in, err = s.wrap(s.in, rows, in); err != nil {
		return err
	}
	if s.out, err = s.wrap(s.out, rows, out); err != nil {
		return err
	}
	if err = s.ort.Run(s.in, s.out); err == nil {
		return nil
	}
	if rowsErr := s.countRows(rows, err); rowsErr != nil {
		return rowsErr
	}
	return fmt.Errorf("onnx: %w", err)
}

// wrap appends values that view the tensors' memory. ONNX Runtime keeps the addresses until the values are
// destroyed, which cgo allows for pinned memory only; release ends both.
func (s *session) wrap(values []ort.Value, rows int, ts []gpu.Tensor) ([]ort.Value, error) {
	for _, t := range ts {
		if len(t.Data) == 0 {
			return values, errors.New("onnx: a tensor without data")
		}
		s.pins.Pin(&t.Data[0])
		s.shape = append(append(s.shape[:0], int64(rows)), t.Shape...)
		v, err := ort.NewCustomDataTensor(s.shape, t.Data, s.types[t.Type])
		if err != nil {
			return values, fmt.Errorf("onnx: %w", err)
		}
		values = append(values, v)
	}
	return values, nil
}

func (s *session) release() {
	for _, values := range [][]ort.Value{s.in, s.out} {
		for _, v := range values {
			v.Destroy() // frees the view; it has no error to return
		}
		clear(values)
	}
	s.in, s.out = s.in[:0], s.out[:0]
	s.pins.Unpin()
}

// countRows finds out whether a run failed because the model returned another number of rows. ONNX Runtime
// then only says that an output does not have the shape of the memory which it was given; so the run is
// repeated with memory of ONNX Runtime's own.
func (s *session) countRows(rows int, err error) error {
	if !strings.Contains(err.Error(), "shape") {
		return nil
	}
	free := make([]ort.Value, len(s.out))
	defer func() {
		for _, v := range free {
			if v != nil {
				v.Destroy()
			}
		}
	}()
	if s.ort.Run(s.in, free) != nil {
		return nil
	}
	for i, v := range free {
		if shape := v.GetShape(); len(shape) == 0 || shape[0] != int64(rows) {
			got := 1
			if len(shape) > 0 {
				got = int(shape[0])
			}
			return &gpu.RowsError{Output: s.sig.Outputs[i].Name, Want: rows, Got: got}
		}
	}
	return nil
}
