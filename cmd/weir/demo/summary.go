package demo

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// A Summary is the outcome of a run. Its JSON form is the contract of `weir demo --json`.
type Summary struct {
	// Published counts queries that were handed to the broker; Final those with at least one prediction; Lost
	// those without one 10 s after the last was published; Duplicates the predictions beyond the first.
	Published  int `json:"published"`
	Final      int `json:"final"`
	Lost       int `json:"lost"`
	Duplicates int `json:"duplicates"`
	// ByStatus and ByModel count the final predictions, Late those marked late.
	ByStatus map[string]int `json:"by_status"`
	ByModel  map[string]int `json:"by_model"`
	Late     int            `json:"late"`
	// Accuracy is the share of final predictions that were answered with the true label, HeavyAlone that
	// of the last model alone on the same queries. null without labels.
	Accuracy   *float64 `json:"accuracy"`
	HeavyAlone *float64 `json:"heavy_accuracy_alone"`
	// The quantiles of the time from the intended publishing to the decoded prediction.
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	// Rate is Final over Seconds, which last from the first intended publishing to the last prediction.
	Rate float64 `json:"rate_qps"`
	// MeanBatch is the mean number of rows of a device run, over all models.
	MeanBatch float64 `json:"mean_batch"`
	Seconds   float64 `json:"seconds"`
}

// Summary sums up the run so far.
func (c *Collector) Summary() Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.copyTotals()
	s := Summary{
		Published: t.Published, Final: t.Final, Lost: t.Lost, Duplicates: t.Duplicates,
		ByStatus: t.ByStatus, ByModel: t.ByModel, Late: t.Late,
		Accuracy: c.accuracy(),
		P50:      milliseconds(c.latency.Quantile(0.5)),
		P99:      milliseconds(c.latency.Quantile(0.99)),
		P999:     milliseconds(c.latency.Quantile(0.999)),

		MeanBatch: round(c.meanBatch(), 2),
		Seconds:   round(c.last.Sub(c.first).Seconds(), 3),
	}
	if s.Seconds > 0 {
		s.Rate = round(float64(s.Final)/s.Seconds, 1)
	}
	if s.Accuracy != nil {
		*s.Accuracy = round(*s.Accuracy, 5)
	}
	return s
}

// Print writes the summary for people.
func (s Summary) Print(w io.Writer) error {
	if s.Published == 0 {
		_, err := fmt.Fprintln(w, "no query was published")
		return err
	}
	var b strings.Builder
	line := func(name, format string, a ...any) { fmt.Fprintf(&b, "%-11s %s\n", name, fmt.Sprintf(format, a...)) }
	line("queries", "%d published, %d final, %d lost, %d duplicates in %.1f s (%.0f/s)",
		s.Published, s.Final, s.Lost, s.Duplicates, s.Seconds, s.Rate)
	line("latency", "p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, %d late", s.P50, s.P99, s.P999, s.Late)
	line("status", "%s", shares(s.ByStatus))
	line("model", "%s", shares(s.ByModel))
	switch {
	case s.Accuracy == nil:
		line("accuracy", "unknown: the data has no labels")
	case s.HeavyAlone == nil:
		line("accuracy", "%.2f %%", 100**s.Accuracy)
	default:
		line("accuracy", "%.2f %%, the last model alone %.2f %%", 100**s.Accuracy, 100**s.HeavyAlone)
	}
	line("mean batch", "%.2f rows", s.MeanBatch)
	_, err := io.WriteString(w, b.String())
	return err
}

// shares lists counts with their share, the largest first.
func shares(counts map[string]int) string {
	var parts []string
	for _, s := range sorted(counts) {
		parts = append(parts, fmt.Sprintf("%s %d (%.1f %%)", s.name, s.count, 100*s.share))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

type share struct {
	name  string
	count int
	share float64
}

func sorted(counts map[string]int) []share {
	total := 0
	for _, n := range counts {
		total += n
	}
	var out []share
	for name, n := range counts {
		out = append(out, share{name, n, float64(n) / float64(total)})
	}
	slices.SortFunc(out, func(a, b share) int {
		if a.count != b.count {
			return b.count - a.count
		}
		return strings.Compare(a.name, b.name)
	})
	return out
}

func milliseconds(d time.Duration) float64 { return round(d.Seconds()*1e3, 3) }

func round(x float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(x*p) / p
}
