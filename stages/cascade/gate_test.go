package cascade

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"weir/pipeline/stagetest"
)

func TestGate(t *testing.T) {
	gate := &Gate{Name: "first", Score: MaxProbability, AtLeast: 0.8, Version: "spec"}
	stagetest.Run(t, gate, "testdata/gate.txt")
	stagetest.Laws(t, gate)
}

func TestLastGate(t *testing.T) {
	gate := &Gate{Name: "last", Score: Margin, AtLeast: 0.5, Version: "spec", Last: true, Default: "unknown"}
	stagetest.Run(t, gate, "testdata/last.txt")
	stagetest.Laws(t, gate, stagetest.File("testdata/last.txt"))
}

func TestLastGateWithoutLabels(t *testing.T) {
	gate := &Gate{Name: "last", Score: Entropy, AtLeast: 0.3, Version: "spec", Last: true, Default: int32(7)}
	stagetest.Run(t, gate, "testdata/index.txt")
	stagetest.Laws(t, gate, stagetest.File("testdata/index.txt"))
}

func TestScoresOfCertainty(t *testing.T) {
	for _, test := range []struct {
		score Score
		p     []float32
		want  float64
	}{
		{MaxProbability, []float32{0.2, 0.7, 0.1}, 0.7},
		{Margin, []float32{0.2, 0.7, 0.1}, 0.5},
		{Margin, []float32{0.7, 0.7}, 0},
		{Margin, []float32{1}, 1},
		{Entropy, []float32{0.5, 0.5}, 0},
		{Entropy, []float32{1, 0}, 1},
		{Entropy, []float32{0.25, 0.75}, 1 - (0.25*math.Log(4)+0.75*math.Log(4.0/3))/math.Log(2)},
	} {
		if got := test.score.of(test.p); math.Abs(float64(got)-test.want) > 1e-6 {
			t.Errorf("%s of %v: got %v, want %v", test.score, test.p, got, test.want)
		}
	}
}

// Whatever the scores, a certainty lies between 0 and 1, and the order of the classes does not matter.
func TestCertaintyIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Float32Range(0, 1), 2, 12).Draw(t, "p")
		var sum float32
		for _, v := range p {
			sum += v
		}
		if sum == 0 {
			p[0], sum = 1, 1
		}
		for i := range p {
			p[i] /= sum
		}
		turned := append(append([]float32{}, p[1:]...), p[0])
		for _, s := range []Score{MaxProbability, Margin, Entropy} {
			got, again := s.of(p), s.of(turned)
			if got < 0 || got > 1.000001 || math.Abs(float64(got-again)) > 1e-5 {
				t.Fatalf("%s of %v: got %v, turned %v", s, p, got, again)
			}
		}
	})
}
