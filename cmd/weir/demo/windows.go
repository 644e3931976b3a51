package demo

import (
	"time"

	"weir/internal/loadgen"
)

// The live view shows the last seconds, not the whole run: a stall must be seen, and be seen to end.
const liveSeconds = 5

// windows holds what happened in each of the last seconds, the current one included.
type windows struct {
	slots [liveSeconds + 1]window
}

type window struct {
	second  int64 // Unix time
	in, out int
	latency *loadgen.Latencies
}

// at is the window of a moment. Moments come nearly in order; one from before the oldest window, which
// only a long stall of the caller gives, is counted in the window that took its place.
func (w *windows) at(t time.Time) *window {
	s := &w.slots[t.Unix()%int64(len(w.slots))]
	if s.second < t.Unix() || s.latency == nil {
		if s.latency == nil {
			s.latency = loadgen.NewLatencies()
		}
		s.latency.Reset()
		s.second, s.in, s.out = t.Unix(), 0, 0
	}
	return s
}

// recent sums up the last liveSeconds full seconds before now, or as many as there are since start.
func (w *windows) recent(start, now time.Time) (in, out float64, latency *loadgen.Latencies) {
	latency = loadgen.NewLatencies()
	oldest, current := now.Unix()-liveSeconds, now.Unix()
	nIn, nOut := 0, 0
	for _, s := range w.slots {
		if s.latency == nil || s.second < oldest || s.second > current {
			continue
		}
		latency.Merge(s.latency)
		nIn, nOut = nIn+s.in, nOut+s.out
	}
	from := time.Unix(oldest, 0)
	if start.After(from) {
		from = start
	}
	span := max(now.Sub(from).Seconds(), 0.001)
	return float64(nIn) / span, float64(nOut) / span, latency
}
