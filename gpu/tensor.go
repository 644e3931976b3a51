package gpu

import (
	"fmt"
	"unsafe"
)

// Size of one element in bytes, 0 for an invalid type.
func (t Type) Size() int {
	switch t {
	case Bool, Int8, Uint8:
		return 1
	case Int16, Uint16:
		return 2
	case Int32, Uint32, Float32:
		return 4
	case Int64, Uint64, Float64:
		return 8
	}
	return 0
}

// String is the type's name as specs write it.
func (t Type) String() string {
	names := [...]string{"invalid", "bool", "int8", "int16", "int32", "int64",
		"uint8", "uint16", "uint32", "uint64", "float32", "float64"}
	if int(t) < len(names) {
		return names[t]
	}
	return "invalid"
}

// Elements is how many numbers one row of a shape holds, -1 where the shape leaves a dimension open.
func Elements(shape []int64) int {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return -1
		}
		n *= int(d)
	}
	return n
}

// rowBytes is the size of one row of the port, 0 where its shape leaves a dimension open.
func (p Port) rowBytes() int { return max(Elements(p.Shape), 0) * p.Type.Size() }

// String is for messages: the name, the type and the shape of a row.
func (p Port) String() string { return fmt.Sprintf("%s %s%v", p.Name, p.Type, p.Shape) }

// NewTensor makes a zeroed tensor of so many rows. Its data is aligned for every type.
func NewTensor(t Type, shape []int64, rows int) Tensor {
	return Tensor{Type: t, Shape: shape, Data: alignedBytes(rows * max(Elements(shape), 0) * t.Size())}
}

// alignedBytes is a slice that starts where any element type may stand: the Go allocator gives a small
// []byte no alignment at all.
func alignedBytes(n int) []byte {
	if n == 0 {
		return nil
	}
	words := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), n)
}

// aligned says that the tensor's data may be viewed as elements of its type.
func (t Tensor) aligned() bool {
	return len(t.Data) == 0 || uintptr(unsafe.Pointer(&t.Data[0]))%uintptr(max(t.Type.Size(), 1)) == 0
}

// Slice is a view of rows from to to of a tensor.
func (t Tensor) Slice(from, to int) Tensor {
	row := max(Elements(t.Shape), 0) * t.Type.Size()
	t.Data = t.Data[from*row : to*row : to*row]
	return t
}

// The views below share the tensor's memory. The caller has checked the type: a view of another type
// reads other numbers. They hold on little-endian machines, which all platforms with a runtime are.

// Int64s views the tensor's data.
func Int64s(t Tensor) []int64 { return view[int64](t.Data) }

// Uint8s views the tensor's data.
func Uint8s(t Tensor) []uint8 { return t.Data }

// Float32s views the tensor's data.
func Float32s(t Tensor) []float32 { return view[float32](t.Data) }

// Float64s views the tensor's data.
func Float64s(t Tensor) []float64 { return view[float64](t.Data) }

type number interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64
}

func view[T number](b []byte) []T {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(*new(T))))
}

// Bytes views numbers as a tensor's data, without a copy.
func Bytes[T number](v []T) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*int(unsafe.Sizeof(v[0])))
}
