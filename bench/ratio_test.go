package main

import (
	"math"
	"slices"
	"testing"
)

// Blocks of a known ratio give that ratio, and bounds that hold it.
func TestRatioOf(t *testing.T) {
	floor := []float64{100, 50, 80, 120, 100, 90}
	ours := make([]float64, len(floor))
	for i, f := range floor {
		ours[i] = f * []float64{0.7, 0.8, 0.9, 0.7, 0.8, 0.9}[i]
	}
	got := ratioOf(ours, floor)
	want := math.Cbrt(0.7 * 0.8 * 0.9)
	if math.Abs(got.Mean-want) > 1e-9 {
		t.Errorf("mean: got %v, want %v", got.Mean, want)
	}
	if got.Low < 0.7 || got.Low >= want || got.High > 0.9 || got.High <= want {
		t.Errorf("bounds: got %v to %v, want them within 0.7 to 0.9 on both sides of %v", got.Low, got.High, want)
	}
	if again := ratioOf(ours, floor); again != got {
		t.Errorf("the same blocks give %v, then %v", got, again)
	}
}

// Where all pairs agree there is no spread, however different the pairs are.
func TestRatioOfSteadyPairs(t *testing.T) {
	got := ratioOf([]float64{50, 500, 5}, []float64{100, 1000, 10})
	for _, v := range []float64{got.Mean, got.Low, got.High} {
		if math.Abs(v-0.5) > 1e-9 {
			t.Errorf("got %v, want 0.5 throughout", got)
		}
	}
}

// Each subject comes first as often as second.
func TestAlternate(t *testing.T) {
	var got []bool
	if err := alternate(4, func(ours bool) error { got = append(got, ours); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []bool{true, false, false, true, true, false, false, true}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
