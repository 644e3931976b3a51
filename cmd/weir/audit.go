package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/audit"
	"weir/connectors/kafka"
	"weir/pipeline"
	"weir/schemas"
)

// progressEvery is how often a long audit tells how far it is.
const progressEvery = 5 * time.Second

func auditCommand(a *app) *cobra.Command {
	var (
		from, to    string
		all, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "audit SPEC",
		Short: "Check that each query got one final prediction, and only one",
		Long: `Reads the topics of a pipeline and says what became of the queries of a range: how many were accepted, how they
ended, and whether any was lost, answered twice, or answered twice differently. It changes nothing and may run
beside the workers, and for as long as the range is it uses the same memory.

  accepted        queries: rows, of any record that holds some
  lost            without a prediction, though the pipeline has committed them
  twice           with several predictions
  contradictory   whose predictions differ in more than trace and late (numbers by more than 1e-5), or whose
                  decision says something else than the prediction of its epoch
  out of order    whose prediction lies behind that of a later query of the same key (with order: key in the spec)
  unknown         predictions at whose source the range has no query
  unreadable      predictions or decisions that cannot be decoded
  pending         not answered yet: above what their segment has committed
  undecided       with a prediction and no decision of its epoch

Findings come first, one a line; without --all the first 20 of each kind. The exit code is 1 where there are
any. --from and --to go by the queries' stamps: earliest or now, a time ago (-1h), or a time (RFC 3339).`,
		Example: `  weir audit fashion.yaml --broker kafka:9092                       # everything that is still there
  weir audit fashion.yaml --from -1h                                # the last hour
  weir audit fashion.yaml --from 2026-11-24T09:00:00Z --to -5m --all
  weir audit fashion.yaml --json | tail -1 | jq .findings.lost`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			begin, err := parseWhen("--from", from, "earliest", kafka.Earliest, now)
			if err != nil {
				return err
			}
			end, err := parseWhen("--to", to, "now", kafka.Latest, now)
			if err != nil {
				return err
			}
			spec, err := clientSpec(args[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(client *kafka.Client) error {
				o := auditOptions(spec, client)
				o.From, o.To, o.All = begin, end, all
				return a.audit(cmd.Context(), o, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "earliest", "where the range begins: earliest, a time ago (-1h), or a time")
	cmd.Flags().StringVar(&to, "to", "now", "where it ends: now, a time ago, or a time")
	cmd.Flags().BoolVar(&all, "all", false, "list every finding, not only the first 20 of each kind")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object a line: the findings, then the report")
	a.brokerFlag(cmd)
	return cmd
}

// parseWhen reads a time: the word for the one end, a time ago, or a time.
func parseWhen(flag, text, word string, end kafka.Start, now time.Time) (kafka.Start, error) {
	if text == word {
		return end, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && strings.HasPrefix(text, "-") {
		return kafka.At(now.Add(ago)), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return kafka.At(at), nil
	}
	return 0, usage("%s %q: want %s, a time ago such as -1h, or a time such as 2026-11-24T09:00:00Z", flag, text, word)
}

// auditOptions are the topics and groups of a pipeline, as its workers use them.
func auditOptions(spec *pipeline.Spec, client *kafka.Client) audit.Options {
	group := func(segment string) string { return "weir." + spec.Pipeline + "." + segment }
	o := audit.Options{
		Client: client, Queries: spec.Topics.Queries, Predictions: spec.Topics.Predictions, Decisions: spec.Topics.Decisions,
		Group: group(spec.Segments[0].Name), Order: spec.Order == pipeline.ByKey, NewDecoder: func() schemas.Decoder { return schemas.NewQueries(queryOptions(spec)) },
	}
	spread := 1
	for _, s := range spec.Segments[1:] {
		spread *= max(1, spec.Layout.Spread[s.Name])
		o.Next = append(o.Next, audit.Next{Topic: spec.Topics.Next[s.Name], Group: group(s.Name), Spread: spread})
	}
	return o
}

// audit runs an audit and prints it. Findings are an error.
func (a *app) audit(ctx context.Context, o audit.Options, asJSON bool) error {
	w := bufio.NewWriter(a.out)
	show := printFinding
	if asJSON {
		show = func(w io.Writer, f audit.Finding) error { return json.NewEncoder(w).Encode(f) }
	}
	o.Found = func(f audit.Finding) error { return show(w, f) }
	told := time.Now()
	o.Progress = func(partition int32, done, of int64) {
		if now := time.Now(); now.Sub(told) >= progressEvery {
			told = now
			a.log.Info("audit", "partition", partition, "queries", done, "of", of)
		}
	}
	report, err := audit.Run(ctx, o)
	if err != nil {
		return errors.Join(err, w.Flush())
	}
	if asJSON {
		err = json.NewEncoder(w).Encode(report)
	} else {
		err = printReport(w, report)
	}
	if err = errors.Join(err, w.Flush()); err != nil || report.Clean() {
		return err
	}
	var parts []string
	for _, k := range audit.Kinds {
		if n := report.Findings[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k.Words()))
		}
	}
	return fmt.Errorf("audit: %s", strings.Join(parts, ", "))
}

func printFinding(w io.Writer, f audit.Finding) error {
	_, err := fmt.Fprintf(w, "%s\t%s\t%s/%d/%d/%d", f.Kind.Words(), f.QueryID, f.Topic, f.Partition, f.Offset, f.Row)
	if err == nil && len(f.At) > 0 {
		_, err = fmt.Fprintf(w, "\tpredictions at %s", strings.Trim(fmt.Sprint(f.At), "[]"))
	}
	if err == nil && f.Why != "" {
		_, err = fmt.Fprintf(w, "\t%s", f.Why)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

func printReport(w io.Writer, r *audit.Report) error {
	line := func(name string, n int64) { fmt.Fprintf(w, "%-14s %d\n", name, n) } // the buffer keeps the error
	line("accepted", r.Accepted)
	for _, s := range r.Statuses() {
		line("  "+s, r.Final[s])
	}
	for _, k := range audit.Kinds {
		if n, asked := r.Findings[k]; asked {
			line(k.Words(), n)
		}
	}
	line("pending", r.Pending)
	line("undecided", r.Undecided)
	if r.Skipped != "" {
		fmt.Fprintln(w, r.Skipped)
	}
	return nil
}
