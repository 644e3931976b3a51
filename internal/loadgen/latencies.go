package loadgen

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency bounds what is told apart; longer latencies count as this one.
const maxLatency = 10 * time.Minute

// Latencies is a histogram of durations from 1 µs to 10 minutes, exact to three digits. It is not safe
// for concurrent use.
type Latencies struct{ h *hdrhistogram.Histogram }

// NewLatencies makes an empty histogram.
func NewLatencies() *Latencies {
	return &Latencies{hdrhistogram.New(1, maxLatency.Microseconds(), 3)}
}

// Record counts one latency. A negative one, which only a stepped clock can give, counts as the shortest.
func (l *Latencies) Record(d time.Duration) {
	us := min(max(d, time.Microsecond), maxLatency).Microseconds()
	if err := l.h.RecordValue(us); err != nil {
		panic("loadgen: " + err.Error()) // unreachable: the value was clamped to the histogram's range
	}
}

// Quantile is the latency that a share q of all recorded ones did not exceed, 0 without any.
func (l *Latencies) Quantile(q float64) time.Duration {
	return time.Duration(l.h.ValueAtQuantile(100*q)) * time.Microsecond
}

// Count is the number of recorded latencies.
func (l *Latencies) Count() int64 { return l.h.TotalCount() }

// Merge adds all that other recorded.
func (l *Latencies) Merge(other *Latencies) { l.h.Merge(other.h) }

// Reset forgets everything.
func (l *Latencies) Reset() { l.h.Reset() }
