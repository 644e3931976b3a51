package cascade

import "math"

// Score measures how sure a model is, from the scores of one row: from 0, not at all, to 1.
type Score string

// The scores of certainty.
const (
	// MaxProbability is the largest score.
	MaxProbability Score = "max_probability"
	// Margin is the largest score less the second largest.
	Margin Score = "margin"
	// Entropy is 1 - H(p)/ln n with H the Shannon entropy: 1 where all is on one class of n, 0 where all
	// are equal, so that "at least" means surer here too.
	Entropy Score = "entropy"
)

// of computes the score of one row.
func (s Score) of(p []float32) float32 {
	switch s {
	case Margin:
		return margin(p)
	case Entropy:
		return certainty(p)
	default:
		top, _ := topTwo(p)
		return top
	}
}

func margin(p []float32) float32 {
	top, second := topTwo(p)
	return top - second
}

// topTwo are the two largest scores; the second is 0 where there is but one.
func topTwo(p []float32) (top, second float32) {
	for _, v := range p {
		if v > top {
			top, second = v, top
		} else if v > second {
			second = v
		}
	}
	return top, second
}

func certainty(p []float32) float32 {
	if len(p) < 2 {
		return 1
	}
	h := 0.0
	for _, v := range p {
		if v > 0 {
			h -= float64(v) * math.Log(float64(v))
		}
	}
	return float32(max(1-h/math.Log(float64(len(p))), 0))
}
