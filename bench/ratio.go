package main

import (
	"math"
	"math/rand/v2"
	"slices"
)

// A Ratio is ours over the floor's, with the bounds between which 95 of 100 repetitions would lie.
type Ratio struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// resamples of a bootstrap; seed is the same in every run, so that a run's figures can be computed again.
const (
	resamples = 10_000
	seed      = 1
)

// ratioOf pairs the blocks in their order: what slowed a moment down slowed both blocks of its pair. The
// mean is the geometric one, and the bounds come from a bootstrap over the pairs.
func ratioOf(ours, floor []float64) Ratio {
	n := min(len(ours), len(floor))
	logs := make([]float64, n)
	for i := range logs {
		logs[i] = math.Log(ours[i] / floor[i])
	}
	return bootstrap(n, func(pick []int) float64 {
		sum := 0.0
		for _, i := range pick {
			sum += logs[i]
		}
		return math.Exp(sum / float64(n))
	})
}

// bootstrap computes a statistic of n blocks and its bounds: the same statistic of blocks drawn with
// replacement.
func bootstrap(n int, of func(pick []int) float64) Ratio {
	pick := make([]int, n)
	for i := range pick {
		pick[i] = i
	}
	r := Ratio{Mean: of(pick)}
	rnd := rand.New(rand.NewPCG(seed, 0))
	drawn := make([]float64, resamples)
	for k := range drawn {
		for i := range pick {
			pick[i] = rnd.IntN(n)
		}
		drawn[k] = of(pick)
	}
	slices.Sort(drawn)
	r.Low, r.High = drawn[resamples*25/1000], drawn[resamples*975/1000]
	return r
}

// alternate runs n pairs of blocks in the order ours floor, floor ours, and so on.
func alternate(n int, block func(ours bool) error) error {
	for i := range n {
		first := i%2 == 0
		for _, ours := range [2]bool{first, !first} {
			if err := block(ours); err != nil {
				return err
			}
		}
	}
	return nil
}

// rotate runs n rounds of one block of each of k subjects, every other round in the opposite order.
func rotate(n, k int, block func(subject int) error) error {
	for round := range n {
		for i := range k {
			if round%2 == 1 {
				i = k - 1 - i
			}
			if err := block(i); err != nil {
				return err
			}
		}
	}
	return nil
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
