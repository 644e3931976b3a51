package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"weir/cmd/weir/replay"
	"weir/stages/inference"
)

// predictStages are the names of a candidate's predict stages, in order.
func (c *candidate) predictStages() (names []string) {
	for _, st := range stagesOf(c.Unit.Segments) {
		if _, ok := st.Stage.(*inference.Predict); ok {
			names = append(names, st.Name)
		}
	}
	return names
}

func printDifference(w io.Writer, f replay.Finding) error {
	kind, cause := string(f.Kind), string(f.Cause)
	if f.Kind == "" {
		kind = "unanswered"
	} else if cause == "" {
		cause = "UNEXPLAINED"
	}
	_, err := fmt.Fprintf(w, "%s\t%s\t%s/%d/%d/%d\t%s", kind, f.QueryID, f.Topic, f.Partition, f.Offset, f.Row, cause)
	if err == nil && f.Was != "" {
		_, err = fmt.Fprintf(w, "\twas: %s", f.Was)
	}
	if err == nil && f.Is != "" {
		_, err = fmt.Fprintf(w, "\tis: %s", f.Is)
	}
	if err == nil && f.Why != "" {
		_, err = fmt.Fprintf(w, "\t%s", f.Why)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

// printComparison prints a report. stages are the candidate's predict stages, in order. The buffer w keeps the
// first error.
func printComparison(w io.Writer, r *replay.Report, stages []string) {
	line := func(name string, n int64) { fmt.Fprintf(w, "%-14s %d\n", name, n) }
	line("replayed", r.Queries)
	line("unanswered", r.Unanswered)
	line("same", r.Same)
	line("different", r.Compared()-r.Same)
	for _, k := range replay.Kinds {
		if n := r.Different[k]; n > 0 {
			line("  "+string(k), n)
		}
	}
	explained := int64(0)
	for _, n := range r.Explained {
		explained += n
	}
	line("explained", explained)
	for _, c := range replay.Causes {
		if n := r.Explained[c]; n > 0 {
			line("  "+string(c), n)
		}
	}
	line("UNEXPLAINED", r.Unexplained)
	fmt.Fprintf(w, "%-14s %.2f %% have the same status and label\n", "agreement", r.Agreement())
	if r.Compared() == 0 {
		return
	}
	fmt.Fprintf(w, "%-14s %12s %12s\n", "", "recorded", "replayed")
	for _, name := range withOthers(stages, r.Recorded.Reached) {
		share := func(s replay.Side) float64 { return 100 * float64(s.Reached[name]) / float64(r.Compared()) }
		fmt.Fprintf(w, "%-14s %10.2f %% %10.2f %%\n", "reached "+name, share(r.Recorded), share(r.Replayed))
	}
	if r.Recorded.P99 > 0 {
		fmt.Fprintf(w, "%-14s %9.1f ms %9.1f ms\n", "p50", r.Recorded.P50, r.Replayed.P50)
		fmt.Fprintf(w, "%-14s %9.1f ms %9.1f ms\n", "p99", r.Recorded.P99, r.Replayed.P99)
	}
	fmt.Fprintf(w, "%-14s %.1f s, %.0f queries/s\n", "took", r.Took, float64(r.Queries)/max(r.Took, 1e-3))
}

// withOthers adds the names that only the recorded predictions have.
func withOthers(names []string, reached map[string]int64) []string {
	for _, name := range slices.Sorted(maps.Keys(reached)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
