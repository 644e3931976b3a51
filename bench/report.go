package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// A Result is one benchmark: the blocks of both subjects and the ratio of ours to the floor's, or of whatever
// stands in their places (Sides). Of throughputs Aim is the least ratio, of latencies (Lower) the most; 0 is no
// aim. Strict asks that of the far end of the ratio's interval. Most bounds ours itself, 0 not.
type Result struct {
	Name  string    `json:"name"`
	Unit  string    `json:"unit"`
	Lower bool      `json:"lower_is_better,omitempty"`
	Aim   float64   `json:"aim,omitempty"`
	Ratio Ratio     `json:"ratio"`
	Ours  []float64 `json:"ours"`
	Floor []float64 `json:"floor"`
	Note  string    `json:"note,omitempty"`

	Sides    []string  `json:"sides,omitempty"` // what is compared; default: ours and the floor
	Strict   bool      `json:"strict,omitempty"`
	Most     float64   `json:"most,omitempty"`
	Together []float64 `json:"together,omitempty"` // the figures of all blocks together, where those are not the means
}

func (r Result) sides() []string {
	if len(r.Sides) == 2 {
		return r.Sides
	}
	return []string{"ours", "floor"}
}

// judged is the ratio that the aim is asked of.
func (r Result) judged() float64 {
	switch {
	case !r.Strict:
		return r.Ratio.Mean
	case r.Lower:
		return r.Ratio.High
	}
	return r.Ratio.Low
}

func (r Result) verdict() string {
	switch {
	case r.Aim == 0:
		return ""
	case r.Most > 0 && len(r.Together) > 0 && r.Together[0] > r.Most:
	case r.Lower && r.judged() <= r.Aim, !r.Lower && r.judged() >= r.Aim:
		return "met"
	}
	return "MISSED"
}

func (r Result) aim() string {
	switch {
	case r.Aim == 0:
		return ""
	case r.Lower:
		return fmt.Sprintf("≤ %.2f", r.Aim)
	}
	return fmt.Sprintf("≥ %.2f", r.Aim)
}

func (r Result) line() string {
	sides := r.sides()
	return fmt.Sprintf("%s: %s %s, %s %s %s, ratio %.3f (%.3f to %.3f) %s %s", r.Name,
		sides[0], number(mean(r.Ours)), sides[1], number(mean(r.Floor)), r.Unit, r.Ratio.Mean, r.Ratio.Low, r.Ratio.High, r.aim(), r.verdict())
}

func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// print writes the table, or JSON.
func (o options) print(w io.Writer, results []Result) error {
	if len(results) == 0 { // takeover and soak have reports of their own
		return nil
	}
	if o.JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(results)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var sides []string
	for _, r := range results {
		if now := r.sides(); !slices.Equal(now, sides) {
			sides = now
			fmt.Fprintf(t, "benchmark\t%s\t%s\tunit\tratio\t95 %% interval\taim\t\tnote\n", sides[0], sides[1])
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.3f\t%.3f to %.3f\t%s\t%s\t%s\n", r.Name, number(mean(r.Ours)), number(mean(r.Floor)),
			r.Unit, r.Ratio.Mean, r.Ratio.Low, r.Ratio.High, r.aim(), r.verdict(), r.Note)
	}
	return t.Flush()
}
