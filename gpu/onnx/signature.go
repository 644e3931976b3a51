//go:build cgo

package onnx

import (
	"errors"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"weir/gpu"
)

// numbers pairs the element types that a tensor here can hold.
func numbers() map[ort.TensorElementDataType]gpu.Type {
	return map[ort.TensorElementDataType]gpu.Type{
		ort.TensorElementDataTypeBool:   gpu.Bool,
		ort.TensorElementDataTypeInt8:   gpu.Int8,
		ort.TensorElementDataTypeInt16:  gpu.Int16,
		ort.TensorElementDataTypeInt32:  gpu.Int32,
		ort.TensorElementDataTypeInt64:  gpu.Int64,
		ort.TensorElementDataTypeUint8:  gpu.Uint8,
		ort.TensorElementDataTypeUint16: gpu.Uint16,
		ort.TensorElementDataTypeUint32: gpu.Uint32,
		ort.TensorElementDataTypeUint64: gpu.Uint64,
		ort.TensorElementDataTypeFloat:  gpu.Float32,
		ort.TensorElementDataTypeDouble: gpu.Float64,
	}
}

// signature checks that the model can be run on any number of rows, and reports every fault at once.
func signature(inputs, outputs []ort.InputOutputInfo) (gpu.Signature, error) {
	var sig gpu.Signature
	var errs []error
	known := numbers()
	for _, info := range inputs {
		if known[info.DataType] == gpu.Invalid {
			errs = append(errs, fmt.Errorf("onnx: input %s is %s: save the model with inputs of numbers, of at most 64 bits and not float16", info.Name, info.DataType))
			continue
		}
		p, err := port(info, known[info.DataType])
		sig.Inputs, errs = append(sig.Inputs, p), append(errs, err)
	}
	for _, info := range outputs {
		if known[info.DataType] == gpu.Invalid {
			continue
		}
		p, err := port(info, known[info.DataType])
		sig.Outputs, errs = append(sig.Outputs, p), append(errs, err)
	}
	if len(inputs) == 0 || len(sig.Outputs) == 0 {
		errs = append(errs, errors.New("onnx: the model has no input or no output of numbers"))
	}
	return sig, errors.Join(errs...)
}

func port(info ort.InputOutputInfo, t gpu.Type) (gpu.Port, error) {
	p := gpu.Port{Name: info.Name, Type: t}
	switch dims := info.Dimensions; {
	case len(dims) == 0:
		return p, fmt.Errorf("onnx: %s has no dimension for rows: save the model for batches, its first dimension open", info.Name)
	case dims[0] >= 0:
		return p, fmt.Errorf("onnx: %s has a fixed first dimension (%v): save the model with it open (torch.onnx.export: dynamic_axes={%q: {0: \"rows\"}})", info.Name, dims, info.Name)
	default:
		p.Shape = dims[1:]
	}
	if gpu.Elements(p.Shape) < 0 {
		return p, fmt.Errorf("onnx: %s has an open dimension after the first (%v): save the model with fixed ones for a row", info.Name, info.Dimensions)
	}
	return p, nil
}
