//go:build !cgo

package onnx

import (
	"context"
	"errors"

	"weir/gpu"
)

// Open implements gpu.Open: without cgo there is nothing to open a model with.
func Open(context.Context, string, gpu.OpenOptions) (gpu.Runtime, error) {
	return nil, errors.New("onnx: built without cgo: install a C compiler and build with CGO_ENABLED=1, or use runtime linear")
}
