package features

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"weir/pipeline/stagetest"
	"weir/schemas"
)

func TestScale(t *testing.T) {
	scale := Scale{Column: "x", Subtract: 10, Divide: 2}
	stagetest.Run(t, scale, "testdata/scale.txt")
	stagetest.Laws(t, scale)
}

func TestScaleTensor(t *testing.T) {
	scale := Scale{Column: "pixels", As: "scaled", Divide: 255}
	stagetest.Run(t, scale, "testdata/scale_tensor.txt")
	stagetest.Laws(t, scale, stagetest.File("testdata/scale_tensor.txt"))
}

func TestCast(t *testing.T) {
	cast := Cast{Column: "x", To: schemas.Int8}
	stagetest.Run(t, cast, "testdata/cast.txt")
	stagetest.Laws(t, cast)
}

func TestCastTensor(t *testing.T) {
	cast := Cast{Column: "v", As: "small", To: schemas.Uint8}
	stagetest.Run(t, cast, "testdata/cast_tensor.txt")
	stagetest.Laws(t, cast, stagetest.File("testdata/cast_tensor.txt"))
}

// A number fits a type exactly if it comes back as it was.
func TestConversionsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fits := true
		misfit := func(int, any) { fits = false }
		v := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-300, 300)).Draw(t, "v")
		if got := fromInt[int16](0, v, misfit); fits != (v >= math.MinInt16 && v <= math.MaxInt16) || fits && int64(got) != v {
			t.Fatalf("int16 of %d: got %d, fits %v", v, got, fits)
		}
		fits = true
		if got := fromInt[uint64](0, v, misfit); fits != (v >= 0) || fits && got != uint64(v) {
			t.Fatalf("uint64 of %d: got %d, fits %v", v, got, fits)
		}
		fits = true
		u := rapid.Uint64().Draw(t, "u")
		if got := fromInt[int64](0, u, misfit); fits != (u <= math.MaxInt64) || fits && uint64(got) != u {
			t.Fatalf("int64 of %d: got %d, fits %v", u, got, fits)
		}
		fits = true
		f := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-300, 300)).Draw(t, "f")
		whole := math.Trunc(f)
		if got := fromFloat[uint8](0, f, misfit); fits != (whole >= 0 && whole <= 255) || fits && float64(got) != whole {
			t.Fatalf("uint8 of %g: got %d, fits %v", f, got, fits)
		}
	})
	for _, f := range []float64{math.Ldexp(1, 63), -math.Ldexp(1, 63) * 1.1, math.Inf(1), math.NaN()} {
		fits := true
		fromFloat[int64](0, f, func(int, any) { fits = false })
		if fits {
			t.Errorf("int64 of %g: got a number, want a misfit", f)
		}
	}
	fits := true
	if got := fromFloat[int64](0, -math.Ldexp(1, 63), func(int, any) { fits = false }); !fits || got != math.MinInt64 {
		t.Errorf("int64 of -2^63: got %d, fits %v", got, fits)
	}
	if fromFloat[float32](0, 1e300, func(int, any) { fits = false }); fits {
		t.Error("float32 of 1e300: got a number, want a misfit")
	}
}
