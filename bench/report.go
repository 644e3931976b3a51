package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// A Result is one benchmark: the blocks of both subjects and the ratio of ours to the floor's. Of
// throughputs Aim is the least ratio, of latencies (Lower) the most. 0 is no aim.
type Result struct {
	Name  string    `json:"name"`
	Unit  string    `json:"unit"`
	Lower bool      `json:"lower_is_better,omitempty"`
	Aim   float64   `json:"aim,omitempty"`
	Ratio Ratio     `json:"ratio"`
	Ours  []float64 `json:"ours"`
	Floor []float64 `json:"floor"`
	Note  string    `json:"note,omitempty"`
}

func (r Result) verdict() string {
	switch {
	case r.Aim == 0:
		return ""
	case r.Lower && r.Ratio.Mean <= r.Aim, !r.Lower && r.Ratio.Mean >= r.Aim:
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
	return fmt.Sprintf("%s: ours %s, floor %s %s, ratio %.3f (%.3f to %.3f) %s %s", r.Name,
		number(mean(r.Ours)), number(mean(r.Floor)), r.Unit, r.Ratio.Mean, r.Ratio.Low, r.Ratio.High, r.aim(), r.verdict())
}

func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// print writes the table, or JSON.
func (o options) print(w io.Writer, results []Result) error {
	if o.JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(results)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "benchmark\tours\tfloor\tunit\tratio\t95 % interval\taim\t\tnote")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.3f\t%.3f to %.3f\t%s\t%s\t%s\n", r.Name, number(mean(r.Ours)), number(mean(r.Floor)),
			r.Unit, r.Ratio.Mean, r.Ratio.Low, r.Ratio.High, r.aim(), r.verdict(), r.Note)
	}
	return t.Flush()
}
