package demo

import "time"

// A Live is what a live view shows: totals since the start, rates and quantiles of the last seconds.
type Live struct {
	Totals
	InFlight  int
	In, Out   float64 // queries a second
	P50, P99  time.Duration
	Accuracy  *float64
	MeanBatch float64
	Elapsed   time.Duration // since the first query
}

// Live tells where the run stands at now.
func (c *Collector) Live(now time.Time) Live {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := Live{Totals: c.copyTotals(), InFlight: len(c.inFlight), Accuracy: c.accuracy(), MeanBatch: c.meanBatch()}
	if c.sent == 0 {
		return l
	}
	l.Elapsed = now.Sub(c.first)
	in, out, latency := c.windows.recent(c.first, now)
	l.In, l.Out = in, out
	l.P50, l.P99 = latency.Quantile(0.5), latency.Quantile(0.99)
	return l
}
