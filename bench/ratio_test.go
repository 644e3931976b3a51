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

// Whatever comes first in one round comes last in the next.
func TestRotate(t *testing.T) {
	var got []int
	if err := rotate(2, 3, func(i int) error {
		got = append(got, i)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 2, 2, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A strict aim is asked of the interval's far end, and a bound on ours of ours.
func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Result
		want string
	}{
		{"no aim", Result{Ratio: Ratio{9, 9, 9}}, ""},
		{"the mean is enough", Result{Lower: true, Aim: 1.5, Ratio: Ratio{1.4, 1.3, 1.6}}, "met"},
		{"the mean is too high", Result{Lower: true, Aim: 1.5, Ratio: Ratio{1.6, 1.3, 1.7}}, "MISSED"},
		{"strict: the upper end is too high", Result{Lower: true, Strict: true, Aim: 1.5, Ratio: Ratio{1.4, 1.3, 1.6}}, "MISSED"},
		{"strict: the upper end is low enough", Result{Lower: true, Strict: true, Aim: 1.5, Ratio: Ratio{1.3, 1.2, 1.4}}, "met"},
		{"strict: the lower end is too low", Result{Strict: true, Aim: 0.95, Ratio: Ratio{1, 0.9, 1.1}}, "MISSED"},
		{"strict: the lower end is high enough", Result{Strict: true, Aim: 0.95, Ratio: Ratio{1, 0.96, 1.1}}, "met"},
		{"ours is above its own bound", Result{Lower: true, Aim: 1.5, Ratio: Ratio{1, 1, 1}, Most: 10, Together: []float64{11, 11}}, "MISSED"},
		{"ours keeps its own bound", Result{Lower: true, Aim: 1.5, Ratio: Ratio{1, 1, 1}, Most: 10, Together: []float64{9, 9}}, "met"},
	} {
		if got := c.r.verdict(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
