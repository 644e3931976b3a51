package main

import "math"

// A Trend is how fast something changes, with the bounds between which the true rate lies in 95 of 100 cases.
type Trend struct{ Rate, Low, High float64 }

// trendOf fits a line by least squares. Neighbouring samples of a running process resemble each other, so that n of
// them say less than n independent ones would: the interval counts as many as their first autocorrelation leaves.
// Fewer than four samples tell nothing.
func trendOf(x, y []float64) Trend {
	n := float64(len(x))
	if len(x) < 4 {
		return Trend{0, math.Inf(-1), math.Inf(1)}
	}
	mx, my := mean(x), mean(y)
	sxx, sxy := 0.0, 0.0
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	rate := sxy / sxx
	rest := make([]float64, len(x))
	sum, lagged := 0.0, 0.0
	for i := range x {
		rest[i] = y[i] - my - rate*(x[i]-mx)
		sum += rest[i] * rest[i]
		if i > 0 {
			lagged += rest[i] * rest[i-1]
		}
	}
	if sum == 0 {
		return Trend{rate, rate, rate}
	}
	alike := min(max(lagged/sum, 0), 0.99)
	independent := max(n*(1-alike)/(1+alike), 3)
	spread := 1.96 * math.Sqrt(sum/(independent-2)/sxx*n/independent)
	return Trend{rate, rate - spread, rate + spread}
}
