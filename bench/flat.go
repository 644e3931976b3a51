package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	// growth is the most that the upper end of the RSS's slope may be, in MB an hour.
	growth = 5
	// slower is the most that the p99 of the last third may be of that of the second one, by the interval's upper end.
	slower = 1.10
	// judgeable is the shortest run whose slope is judged: a slope an hour out of few minutes is a guess.
	judgeable = 20 * time.Minute
)

// A conclusion is what a soak ends with.
type conclusion struct {
	brokenOff                  error
	sent, lost, twice, unknown int
	audit                      string
	auditErr                   error
	memory                     Trend // MB an hour, after the first sixth
	tail                       Ratio // p99 of the last third to the second third's
	long                       bool  // enough to judge memory and tail
}

func (s *soak) conclude(ctx context.Context, loaded error) (c conclusion) {
	c.brokenOff = loaded
	c.memory, c.tail = flatness(s.samples)
	c.long = time.Duration(s.Minutes*float64(time.Minute)) >= judgeable && loaded == nil
	if loaded == nil {
		c.audit, c.auditErr = s.audit(ctx)
	}
	c.sent, c.lost, c.twice, c.unknown = s.account.balance()
	return c
}

// flatness leaves out the first sixth, in which caches and pools fill.
func flatness(samples []sample) (memory Trend, tail Ratio) {
	var hours, rss, second, last []float64
	for i, p := range samples {
		if i >= len(samples)/6 {
			hours, rss = append(hours, p.Minute/60), append(rss, p.RSS)
		}
		switch {
		case i >= 2*len(samples)/3:
			last = append(last, p.P99)
		case i >= len(samples)/3:
			second = append(second, p.P99)
		}
	}
	return trendOf(hours, rss), unpaired(last, second)
}

// unpaired is the ratio of two geometric means, with the bounds of a bootstrap that draws from each side by itself.
func unpaired(ours, theirs []float64) Ratio {
	if len(ours) == 0 || len(theirs) == 0 {
		return Ratio{math.NaN(), math.NaN(), math.NaN()}
	}
	logs := func(v []float64) (out []float64) {
		for _, x := range v {
			out = append(out, math.Log(max(x, 1e-6)))
		}
		return out
	}
	a, b := logs(ours), logs(theirs)
	rnd := rand.New(rand.NewPCG(seed, 0))
	draw := func(v []float64) float64 {
		sum := 0.0
		for range v {
			sum += v[rnd.IntN(len(v))]
		}
		return sum / float64(len(v))
	}
	drawn := make([]float64, resamples)
	for k := range drawn {
		drawn[k] = math.Exp(draw(a) - draw(b))
	}
	slices.Sort(drawn)
	return Ratio{math.Exp(mean(a) - mean(b)), drawn[resamples*25/1000], drawn[resamples*975/1000]}
}

// fault is what makes the run fail.
func (c conclusion) fault() error {
	var faults []error
	if c.lost+c.twice+c.unknown > 0 {
		faults = append(faults, fmt.Errorf("lost %d, twice %d, unknown %d", c.lost, c.twice, c.unknown))
	}
	if c.auditErr != nil {
		faults = append(faults, fmt.Errorf("weir audit: %w", c.auditErr))
	}
	if c.long && !c.flat() {
		faults = append(faults, errors.New("not flat"))
	}
	return errors.Join(faults...)
}

func (c conclusion) flat() bool { return c.memory.High <= growth && c.tail.High <= slower }

// String is the conclusion for people.
func (c conclusion) String() string {
	var b strings.Builder
	judged := func(ok bool) string {
		switch {
		case !c.long:
			return fmt.Sprintf("not judged: the run is shorter than %v", judgeable)
		case ok:
			return "flat"
		}
		return "NOT FLAT"
	}
	fmt.Fprintf(&b, "RSS: %+.1f MB an hour (%+.1f to %+.1f), aim ≤ %d: %s\n", c.memory.Rate, c.memory.Low, c.memory.High, growth, judged(c.memory.High <= growth))
	fmt.Fprintf(&b, "p99, last third to second third: %.3f (%.3f to %.3f), aim ≤ %.2f: %s\n", c.tail.Mean, c.tail.Low, c.tail.High, slower, judged(c.tail.High <= slower))
	fmt.Fprintf(&b, "account of all: sent %d, lost %d, twice %d, unknown %d\n", c.sent, c.lost, c.twice, c.unknown)
	if c.brokenOff != nil {
		fmt.Fprintf(&b, "broken off, not audited: %v\n", c.brokenOff)
	} else {
		fmt.Fprintf(&b, "weir audit --from -%v:\n%s\n", soakAudited, c.audit)
	}
	return b.String()
}

// report writes the table, the chart and the conclusion into the results' folder and gives the text.
func (s *soak) report(c conclusion) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%.1f minutes at %.0f queries/s, half of the capacity of %.0f; the means of sixths:\n\n", s.Minutes, soakShare*s.capacity, s.capacity)
	if err := sixths(&b, s.samples); err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "\n%s", c)
	text := b.String()
	err := s.results("soak.txt", func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
	if err != nil {
		return "", err
	}
	if err := s.results("soak.svg", func(w io.Writer) error { return draw(w, s.samples) }); err != nil {
		return "", err
	}
	return text + "samples, chart and this text: " + filepath.Clean(s.out) + "\n", nil
}

func sixths(w io.Writer, samples []sample) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, strings.ReplaceAll(sampleHeader, "minute\t", "to minute\t")+"\t")
	for i := range 6 {
		some := samples[i*len(samples)/6 : (i+1)*len(samples)/6]
		if len(some) == 0 {
			continue
		}
		of := func(get func(sample) float64) float64 { return mean(column(some, get)) }
		p := sample{some[len(some)-1].Minute, of(rss), of(heap), of(goroutines), of(files), of(p50), of(p99), of(func(p sample) float64 { return p.Answers })}
		fmt.Fprintln(t, p.row()+"\t")
	}
	return t.Flush()
}

func rss(p sample) float64        { return p.RSS }
func heap(p sample) float64       { return p.Heap }
func goroutines(p sample) float64 { return p.Goroutines }
func files(p sample) float64      { return p.Files }
func p50(p sample) float64        { return p.P50 }
func p99(p sample) float64        { return p.P99 }

func column(samples []sample, get func(sample) float64) (out []float64) {
	for _, p := range samples {
		out = append(out, get(p))
	}
	return out
}

func draw(w io.Writer, samples []sample) error {
	of := func(name string, get func(sample) float64) line { return line{name, column(samples, get)} }
	return chart(w, "soak", column(samples, func(p sample) float64 { return p.Minute }), []panel{
		{"memory", "MB", []line{of("RSS", rss), of("Go heap", heap)}},
		{"latency of 10 s windows", "ms", []line{of("p99", p99), of("p50", p50)}},
		{"goroutines", "number", []line{of("", goroutines)}},
		{"open files", "number", []line{of("", files)}},
	})
}
