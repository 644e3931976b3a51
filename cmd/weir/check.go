package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"weir/pipeline"
)

func checkCommand(a *app) *cobra.Command {
	var specOnly bool
	cmd := &cobra.Command{
		Use:   "check SPEC",
		Short: "Check a spec and its models, and show what it says",
		Long: `Reads a spec, reports all its faults at once, with file, line and column, loads its models and checks that they
fit the stages, as weir run does at its start, and shows in short what the spec says and how its segments run.
It needs no broker.`,
		Example: `  weir check fashion.yaml
  weir check fashion.yaml --spec-only    # on a machine without the models`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := clientSpec(args[0])
			var faulty *pipeline.SpecError
			if errors.As(err, &faulty) {
				fmt.Fprintln(a.err, faulty)
				return fmt.Errorf("%s has faults: %d", args[0], len(faulty.Faults))
			}
			if err == nil && !specOnly {
				err = checkModels(cmd.Context(), spec)
			}
			if err != nil {
				return err
			}
			return describeSpec(a.out, spec)
		},
	}
	cmd.Flags().BoolVar(&specOnly, "spec-only", false, "do not load the models")
	return cmd
}

// checkModels starts the pipeline as far as that goes without a broker, and ends it again.
func checkModels(ctx context.Context, spec *pipeline.Spec) error {
	units, err := spec.Plan(nil)
	if err != nil {
		return err
	}
	silent := &app{log: slog.New(slog.DiscardHandler)}
	_, models, err := silent.load(ctx, spec, units, newMetrics())
	if err != nil {
		return err
	}
	return models.Close()
}

// describeSpec prints a spec as a table of what matters.
func describeSpec(out io.Writer, s *pipeline.Spec) error {
	units, err := s.Plan(nil)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("pipeline", "%s (%s)", s.Pipeline, s.File)
	for i, f := range s.Schema.Fields {
		line(once("schema", i), "%s: %s", f.Name, f.Type)
	}
	for i, name := range s.ModelNames {
		m := s.Models[name]
		line(once("models", i), "%s: %s, %s", name, m.Runtime, relative(s.Dir, m.Path))
	}
	for i, seg := range s.Segments {
		line(once("segments", i), "%s: %s", seg.Name, stageNames(seg))
	}
	for i, u := range units {
		line(once("runs", i), "%s", describeUnit(s, u))
	}
	if s.Order != pipeline.NoOrder {
		line("order", "the predictions of one %s in the order of its queries", s.Order)
	}
	line("objective", "%v, deadline %s", s.Objective, orNone(s.Deadline))
	line("topics", "%d partitions, replication %d, kept for %v", s.Topics.Partitions, s.Topics.Replication, s.Topics.Retention)
	return w.Flush()
}

// describeUnit tells where a unit reads and writes.
func describeUnit(s *pipeline.Spec, u pipeline.Unit) string {
	var names []string
	for _, seg := range u.Segments {
		names = append(names, seg.Name)
	}
	to := s.Topics.Predictions
	if u.Next != "" {
		to += ", " + u.Next
	}
	return fmt.Sprintf("%s: %s -> %s", strings.Join(names, " + "), u.In, to)
}

func stageNames(seg pipeline.SegmentSpec) string {
	var names []string
	for _, st := range seg.Stages {
		if st.Name == st.Kind {
			names = append(names, st.Kind)
			continue
		}
		names = append(names, st.Kind+" "+st.Name)
	}
	return strings.Join(names, ", ")
}

// once names a group on its first line only.
func once(name string, i int) string {
	if i > 0 {
		return ""
	}
	return name
}

func orNone(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}

// relative is path as the spec's folder sees it, where that is shorter.
func relative(dir, path string) string {
	if r, err := filepath.Rel(dir, path); err == nil && len(r) < len(path) {
		return r
	}
	return path
}
