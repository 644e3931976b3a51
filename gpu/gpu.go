package gpu

import "context"

// Type of a tensor's elements.
type Type uint8

// The element types. All are stored little endian without padding; a Bool is one byte.
const (
	Invalid Type = iota
	Bool
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Float32
	Float64
)

// A Tensor is a view of rows of numbers. Shape is that of one row (empty: one number a row); Data holds
// rows × the row's bytes. A Tensor does not own Data.
type Tensor struct {
	Type  Type
	Shape []int64
	Data  []byte
}

// A Port is a named input or output of a model. Shape is that of one row, without the leading dimension
// of rows; -1 stands for a dimension that the model leaves open.
type Port struct {
	Name  string
	Type  Type
	Shape []int64
}

// A Signature lists what a model takes and returns.
type Signature struct {
	Inputs, Outputs []Port
}

// A Runtime is a driver: it runs one loaded model. in and out stand in the order of the signature's ports
// and hold exactly rows rows; out is preallocated and Predict fills it. Predict is called by one goroutine
// at a time for each instance, must not keep in or out, and returns a *RowsError where the model returned
// another number of rows.
type Runtime interface {
	Signature() Signature
	Predict(ctx context.Context, rows int, in, out []Tensor) error
	Close() error
}
