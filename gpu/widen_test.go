package gpu

import (
	"math"
	"testing"
)

// A type widens to another exactly where its extreme values survive the way there and back. The extremes
// of a float32 are a fraction, and a number larger than every integer.
func TestWidens(t *testing.T) {
	for from := Bool; from <= Float64; from++ {
		for to := Bool; to <= Float64; to++ {
			want := from == to || to != Bool && survives(from, to)
			if got := Widens(from, to); got != want {
				t.Errorf("%s to %s: got %v, want %v", from, to, got, want)
			}
			if Widens(from, to) {
				checkWidened(t, from, to)
			}
		}
	}
	if Widens(Invalid, Invalid) || Widens(Invalid, Float64) || Widens(Uint8, Invalid) || Widens(Bool, Type(99)) {
		t.Error("an invalid type widens")
	}
}

// extremes of the integer types are those that need all their bits: a float rounds the largest, though it
// may hold the smallest.
var extremes = map[Type][]float64{
	Bool: {0, 1}, Int8: {-128, 127}, Int16: {-1 << 15, 1<<15 - 1}, Int32: {-1 << 31, 1<<31 - 1},
	Uint8: {0, 255}, Uint16: {0, 1<<16 - 1}, Uint32: {0, 1<<32 - 1}, Float32: {0.5, math.MaxFloat32, -math.MaxFloat32},
}

func survives(from, to Type) bool {
	values, small := extremes[from]
	if !small { // 64 bits: no float64 holds their extremes, and no other type holds the type
		return false
	}
	for _, v := range values {
		if !holds(to, v) {
			return false
		}
	}
	return true
}

func holds(t Type, v float64) bool {
	switch t {
	case Float64:
		return true
	case Float32:
		return float64(float32(v)) == v
	case Int64:
		return v == math.Trunc(v) && math.Abs(v) < 1<<63
	case Uint64:
		return v == math.Trunc(v) && v >= 0 && v < 1<<64
	}
	limits := extremes[t]
	return v == math.Trunc(v) && v >= limits[0] && v <= limits[1]
}

func checkWidened(t *testing.T, from, to Type) {
	t.Helper()
	for _, v := range append(extremes[from], 1) {
		src, dst := NewTensor(from, nil, 3), NewTensor(to, nil, 3)
		for i := range 3 {
			set(src, i, v)
		}
		widen(dst, src)
		for i := range 3 {
			if got := get(dst, i); got != v {
				t.Errorf("%v as %s widened to %s: got %v", v, from, to, got)
			}
		}
	}
}

func set(t Tensor, i int, v float64) {
	switch t.Type {
	case Bool, Uint8:
		t.Data[i] = uint8(v)
	case Int8:
		view[int8](t.Data)[i] = int8(v)
	case Int16:
		view[int16](t.Data)[i] = int16(v)
	case Int32:
		view[int32](t.Data)[i] = int32(v)
	case Int64:
		Int64s(t)[i] = int64(v)
	case Uint16:
		view[uint16](t.Data)[i] = uint16(v)
	case Uint32:
		view[uint32](t.Data)[i] = uint32(v)
	case Uint64:
		view[uint64](t.Data)[i] = uint64(v)
	case Float32:
		Float32s(t)[i] = float32(v)
	case Float64:
		Float64s(t)[i] = v
	}
}

func get(t Tensor, i int) float64 {
	switch t.Type {
	case Bool, Uint8:
		return float64(Uint8s(t)[i])
	case Int8:
		return float64(view[int8](t.Data)[i])
	case Int16:
		return float64(view[int16](t.Data)[i])
	case Int32:
		return float64(view[int32](t.Data)[i])
	case Int64:
		return float64(Int64s(t)[i])
	case Uint16:
		return float64(view[uint16](t.Data)[i])
	case Uint32:
		return float64(view[uint32](t.Data)[i])
	case Uint64:
		return float64(view[uint64](t.Data)[i])
	case Float32:
		return float64(Float32s(t)[i])
	default:
		return Float64s(t)[i]
	}
}

func TestTensor(t *testing.T) {
	x := NewTensor(Float32, []int64{2, 3}, 4)
	for i := range Float32s(x) {
		Float32s(x)[i] = float32(i)
	}
	got := x.Slice(1, 3)
	if v := Float32s(got); len(v) != 12 || v[0] != 6 || v[11] != 17 || cap(got.Data) != 48 {
		t.Errorf("rows 1 to 3: got %v with capacity %d", v, cap(got.Data))
	}
	if n := len(Bytes(Float32s(x))); n != len(x.Data) || n != 96 {
		t.Errorf("got %d bytes, want 96", n)
	}
	if Elements([]int64{2, -1}) != -1 || Elements(nil) != 1 {
		t.Error("elements of an open shape and of none")
	}
	for n := range 20 {
		if d := (Tensor{Type: Float64, Data: alignedBytes(n)}); len(d.Data) != n || !d.aligned() {
			t.Errorf("%d bytes: got %d, aligned %v", n, len(d.Data), d.aligned())
		}
	}
}

// A caller's numbers need not lie where their type may stand.
func TestUnaligned(t *testing.T) {
	odd := Tensor{Type: Float32, Data: alignedBytes(9)[1:]}
	if odd.aligned() {
		t.Fatal("want a tensor that is not aligned")
	}
	src := NewTensor(Float32, nil, 2)
	copy(Float32s(src), []float32{1.5, -2})
	widen(odd, src)
	back := NewTensor(Float32, nil, 2)
	widen(back, odd)
	if v := Float32s(back); v[0] != 1.5 || v[1] != -2 {
		t.Errorf("got %v", v)
	}
}

func BenchmarkWiden(b *testing.B) {
	src := NewTensor(Uint8, []int64{784}, 256)
	dst := NewTensor(Float32, []int64{784}, 256)
	b.SetBytes(int64(len(src.Data)))
	for b.Loop() {
		widen(dst, src)
	}
}
