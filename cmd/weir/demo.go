package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"weir/cmd/weir/demo"
)

func demoCommand(a *app) *cobra.Command {
	o := demo.Options{Alone: alone}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a pipeline with traffic and show what its users see",
		Long: `Starts a broker (weir broker) and a worker (weir run), each a process of its own, publishes rows of a data file
as queries at a mean rate, open loop with Poisson arrivals, consumes the predictions, and sends the true labels
to the feedback topic. Latency counts from the moment at which a query should have been published to its decoded
prediction. With --queries, or at Ctrl-C, it ends with a summary; that also tells how accurate the last model
alone is on the same queries. Any status but answered counts as wrong.

--data is a file of JSON objects, one a line, possibly gzipped; label is not published but is the truth to
compare with. The default is sample.ndjson.gz beside the spec. Rows start again when all were asked.`,
		Example: `  weir demo                                                   # until Ctrl-C
  weir demo --queries 5000 --json                             # the summary as one JSON object
  weir demo --pipeline my.yaml --data rows.ndjson --rate 50
  weir demo --broker kafka:9092 --workers 0                   # traffic for workers that run elsewhere
  weir demo --queries 5000 --workers 2 --kill-after 3s        # a worker is killed, nothing is lost`,
		Args: between(0, 0),
	}
	f := cmd.Flags()
	f.StringVar(&o.SpecFile, "pipeline", filepath.FromSlash("examples/fashion/fashion.yaml"), "spec of the pipeline")
	f.StringVar(&o.Data, "data", "", "rows to ask; default: sample.ndjson.gz beside the spec")
	f.String("broker", "", "brokers of a cluster to use, HOST:PORT[,HOST:PORT]; default: one of its own")
	f.IntVar(&o.Workers, "workers", 1, "how many workers to start; 0: they run elsewhere")
	f.Float64Var(&o.Rate, "rate", 500, "mean rate in queries a second")
	f.IntVar(&o.Queries, "queries", 0, "end after this many queries; 0: at Ctrl-C")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the arrival times")
	f.StringVar(&o.Dir, "data-dir", "", "directory for the broker's data and all logs; default: a temporary one, removed at the end")
	f.DurationVar(&o.KillAfter, "kill-after", 0, "kill the first worker with SIGKILL, once, so long after the first query")
	f.BoolVar(&asJSON, "json", false, "print the summary as one JSON object, and nothing else on standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.completeDemo(&o, asJSON); err != nil {
			return err
		}
		s, err := demo.Run(cmd.Context(), o)
		if s.Published == 0 && err != nil {
			return err
		}
		if printed := printSummary(a.out, s, asJSON); printed != nil && err == nil {
			err = printed
		}
		return err
	}
	return cmd
}

// completeDemo checks what the flags say and adds what follows from it.
func (a *app) completeDemo(o *demo.Options, asJSON bool) (err error) {
	switch {
	case !(o.Rate > 0):
		return usage("--rate %v: want a number above 0", o.Rate)
	case o.Queries < 0:
		return usage("--queries %d: want a number above 0, or 0 for no end", o.Queries)
	case o.Workers < 0:
		return usage("--workers %d: want 0 or more", o.Workers)
	case o.KillAfter < 0 || o.KillAfter > 0 && o.Workers == 0:
		return usage("--kill-after: there is no worker to kill then")
	case o.Workers == 0 && a.broker == "":
		return usage("--workers 0: name the cluster of the other workers with --broker")
	}
	if o.Spec, err = clientSpec(o.SpecFile); err != nil {
		return err
	}
	if o.Data == "" {
		o.Data = filepath.Join(filepath.Dir(o.SpecFile), "sample.ndjson.gz")
	}
	if o.Executable, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	o.Brokers = a.brokers()
	o.Topics = topicsOf(o.Spec)
	o.Log, o.Level, o.Lines = a.log, a.level, a.err
	if out, ok := a.out.(*os.File); ok && !asJSON && term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb" {
		o.Terminal = out
	}
	return nil
}

func printSummary(w io.Writer, s demo.Summary, asJSON bool) error {
	if !asJSON {
		return s.Print(w)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(s)
}
