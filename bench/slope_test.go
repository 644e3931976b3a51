package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// A line's slope is found, within bounds that hold it.
func TestTrend(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, slope := range []float64{0, 5, -3} {
		var x, y []float64
		for i := range 300 {
			x = append(x, float64(i)/300)
			y = append(y, 100+slope*x[i]+rnd.NormFloat64())
		}
		got := trendOf(x, y)
		if math.Abs(got.Rate-slope) > 0.6 || got.Low > slope || got.High < slope {
			t.Errorf("slope %v: got %v", slope, got)
		}
		if got.High-got.Low > 1.5 {
			t.Errorf("slope %v: the bounds are %v apart", slope, got.High-got.Low)
		}
	}
}

// What wanders without a direction has wider bounds than noise of the same size.
func TestTrendOfWandering(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	missed := 0
	for range 200 {
		var x, y []float64
		v := 0.0
		for i := range 300 {
			v = 0.9*v + rnd.NormFloat64()
			x, y = append(x, float64(i)/300), append(y, v)
		}
		if got := trendOf(x, y); got.Low > 0 || got.High < 0 {
			missed++
		}
	}
	if missed > 30 {
		t.Errorf("a slope was seen in %d of 200 processes that have none", missed)
	}
}

func TestTrendOfFew(t *testing.T) {
	if got := trendOf([]float64{1, 2, 3}, []float64{1, 2, 3}); !math.IsInf(got.High, 1) || !math.IsInf(got.Low, -1) {
		t.Errorf("three samples: got %v, want no bounds", got)
	}
	if got := trendOf([]float64{1, 2, 3, 4}, []float64{2, 4, 6, 8}); got.Rate != 2 || got.Low != 2 || got.High != 2 {
		t.Errorf("a straight line: got %v, want 2", got)
	}
}

// A chart is well-formed and holds a point for each value.
func TestChart(t *testing.T) {
	var b strings.Builder
	err := chart(&b, "a < b", []float64{0, 1, 2}, []panel{{"memory", "MB", []line{{"rss", []float64{1, 2, 3}}, {"heap", []float64{0, 0, 0}}}}, {"none", "", []line{{"", nil}}}})
	if err != nil {
		t.Fatal(err)
	}
	points := 0
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, b.String())
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "polyline" {
			for _, a := range e.Attr {
				if a.Name.Local == "points" {
					points += len(strings.Fields(a.Value))
				}
			}
		}
	}
	if points != 6 {
		t.Errorf("got %d points, want 6", points)
	}
}
