package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/replay"
	"weir/connectors/kafka"
	"weir/gpu"
	"weir/pipeline"
	"weir/schemas"
)

// cleanUpFor is how long a replay may take to make or delete its topics, also where it was interrupted.
const cleanUpFor = 10 * time.Second

type replayOptions struct {
	spec, recorded string
	from, to       kafka.Start
	speed          float64
	keep, all      bool
	json           bool
}

func replayCommand(a *app) *cobra.Command {
	var (
		o               replayOptions
		from, to, speed string
	)
	cmd := &cobra.Command{
		Use:   "replay SPEC",
		Short: "Run a spec over recorded queries and compare its answers with the recorded ones",
		Long: `Runs the pipeline that SPEC describes over the queries that its topic holds, and compares the answers row by row
with those that were given. SPEC may be a candidate: another threshold, other models. Nothing live is touched:
no group is joined, nothing is committed, and answers go to topics of the replay's own, PIPELINE.replay-ID.…,
which are deleted at the end (--keep keeps them). The stages run fused, whatever the layout says; where a
pipeline is cut changes no answer.

A difference is explained if what is recorded accounts for it:

  deadline    the hard deadline cut the one or the other
  threshold   a gate asks for another score now, and the recorded score would end so as well
  version     a model that the recorded answer asked has another version
  rounding    a score's last bits (1e-5) decide, at a threshold or between two labels
  failure     a model failed when it was recorded
  spec        another spec answered, and no more can be told

All others contradict the rule that the same versions give the same answers. The exit code is 1 where there are
any. Differences come first, one a line; without --all the first 20 of each kind and cause.

--speed 1 keeps the recorded pace, by the queries' stamps, --speed 10 is ten times as fast; a query's time counts
from when it is due. --speed max, the default, is as fast as they are answered: hard deadlines do not count then.
--from and --to go by the queries' stamps: earliest or now, a time ago (-1h), or a time (RFC 3339).`,
		Example: `  weir replay fashion.yaml --broker kafka:9092                         # the last hour, as fast as it goes
  weir replay candidate.yaml --recorded fashion.yaml --from -24h       # a candidate under a name of its own
  weir replay fashion.yaml --from -10m --to -5m --speed 1              # at the recorded pace
  weir replay candidate.yaml --json | tail -1 | jq .different.label`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			var err error
			if o.from, err = parseWhen("--from", from, "earliest", kafka.Earliest, now); err != nil {
				return err
			}
			if o.to, err = parseWhen("--to", to, "now", kafka.Latest, now); err != nil {
				return err
			}
			if o.speed, err = parseSpeed(speed); err != nil {
				return err
			}
			if o.spec = args[0]; o.recorded == "" {
				o.recorded = o.spec
			}
			live, err := clientSpec(o.recorded)
			if err != nil {
				return err
			}
			err = a.withClient(cmd.Context(), func(client *kafka.Client) error { return a.replay(cmd.Context(), client, live, o) })
			return interrupted(cmd.Context(), err)
		},
	}
	cmd.Flags().StringVar(&from, "from", "-1h", "where the range begins: earliest, a time ago (-1h), or a time")
	cmd.Flags().StringVar(&to, "to", "now", "where it ends: now, a time ago, or a time")
	cmd.Flags().StringVar(&speed, "speed", "max", "times as fast as recorded; max, or 0, is as fast as they are answered")
	cmd.Flags().StringVar(&o.recorded, "recorded", "", "spec of the pipeline that recorded; default: SPEC itself")
	cmd.Flags().BoolVar(&o.keep, "keep", false, "keep the topics of the replay, and print their names")
	cmd.Flags().BoolVar(&o.all, "all", false, "list every difference, not only the first 20 of each kind and cause")
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON object a line: the differences, then the report")
	a.brokerFlag(cmd)
	return cmd
}

func parseSpeed(text string) (float64, error) {
	if text == "max" {
		return 0, nil
	}
	speed, err := strconv.ParseFloat(text, 64)
	if err != nil || speed < 0 || math.IsNaN(speed) || math.IsInf(speed, 0) {
		return 0, usage("--speed %q: want max, or a number such as 1 (the recorded pace) or 10", text)
	}
	return speed, nil
}

// interrupted says in few words that the user broke a replay off, and keeps what they must know.
func interrupted(ctx context.Context, err error) error {
	if !brokenOff(ctx, err) {
		return err
	}
	var left *leftTopicsError
	if errors.As(err, &left) {
		return left
	}
	return errors.New("replay: interrupted")
}

// candidate is the pipeline that is replayed, ready to run but for its outputs.
type candidate struct {
	*pipeline.Spec
	part
	models map[string]string // versions, by name
	specs  map[uint32]bool
}

// replay finds what is recorded, runs the candidate and prints the report. live is the spec that recorded.
func (a *app) replay(ctx context.Context, client *kafka.Client, live *pipeline.Spec, o replayOptions) (err error) {
	r, err := replay.Look(ctx, replay.Recorded{
		Client: client, Queries: live.Topics.Queries, Predictions: live.Topics.Predictions, Decisions: live.Topics.Decisions,
		From: o.from, To: o.to,
	})
	if err != nil {
		return err
	}
	for _, note := range r.Notes {
		a.log.Warn(note)
	}
	c, closeModels, err := a.candidate(ctx, o.spec, live)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeModels()) }()
	topics, err := a.ownTopics(ctx, client, c.Spec, r.Partitions(), o.keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, topics.close(ctx, client)) }()
	c.segment.Outputs = topics.outputs(client, live.Topics.Queries)
	return a.compare(ctx, r, c, topics.Predictions, live.Topics.Queries, o)
}

// candidate loads a spec and its models. live is the spec that recorded.
func (a *app) candidate(ctx context.Context, file string, live *pipeline.Spec) (*candidate, func() error, error) {
	collectLess()
	spec, err := pipeline.Load(file, kinds()...)
	if err != nil {
		return nil, nil, err
	}
	fused := *spec
	fused.Layout.Cut = nil
	units, err := fused.Plan(nil)
	if err != nil {
		return nil, nil, err
	}
	parts, models, err := a.load(ctx, &fused, units, newMetrics())
	if err != nil {
		return nil, nil, err
	}
	c := &candidate{Spec: &fused, part: parts[0], models: map[string]string{}}
	for _, name := range modelNames(stagesOf(spec.Segments)) {
		if m, ok := models.Get(name); ok {
			c.models[name] = m.Version()
		}
	}
	named := fused // but for its name and topics, a candidate may be what recorded
	named.Pipeline, named.Topics = live.Pipeline, live.Topics
	if c.specs, err = signatures(&named, models); err != nil {
		return nil, nil, errors.Join(err, models.Close())
	}
	return c, models.Close, nil
}

// signatures are the versions with which a spec's processes may sign predictions: one for every way in which
// neighbouring segments run together. spec is not cut. In order all run together.
func signatures(spec *pipeline.Spec, models *gpu.Models) (map[uint32]bool, error) {
	all := map[uint32]bool{}
	var names []string
	for _, s := range spec.Segments {
		names = append(names, s.Name)
	}
	for i := range names {
		for j := i + 1; j <= len(names); j++ {
			if spec.Order == pipeline.ByKey && j-i < len(names) {
				continue
			}
			units, err := spec.Plan(names[i:j])
			if err != nil {
				return nil, err
			}
			digest, err := unitDigest(spec, units[0], models)
			if err != nil {
				return nil, err
			}
			all[part{digest: digest}.version()] = true
		}
	}
	return all, nil
}

// replayTopics are the topics of one replay.
type replayTopics struct {
	pipeline.TopicsSpec
	spec  *pipeline.Spec
	names []string
	keep  bool
	say   io.Writer
}

// ownTopics makes the topics that a replay writes to. They have names that no pipeline uses.
func (a *app) ownTopics(ctx context.Context, client *kafka.Client, spec *pipeline.Spec, partitions int, keep bool) (*replayTopics, error) {
	own := *spec
	prefix := spec.Pipeline + ".replay-" + strings.ToLower(rand.Text()[:8])
	own.Topics.Partitions = partitions
	own.Topics.Predictions, own.Topics.Decisions, own.Topics.Dead = prefix+".predictions", prefix+".decisions", prefix+".dead"
	t := &replayTopics{TopicsSpec: own.Topics, spec: spec, keep: keep, say: a.err}
	t.names = []string{t.Predictions, t.Decisions, t.Dead}
	var defs []kafka.Topic
	for _, d := range topicsOf(&own) {
		if strings.HasPrefix(d.Name, prefix) {
			defs = append(defs, d)
		}
	}
	// Not to be interrupted: a request on its way would make them after they were deleted.
	ctx, cancel := briefly(ctx)
	defer cancel()
	if _, err := client.CreateTopics(ctx, defs); err != nil {
		t.keep = false
		return nil, errors.Join(err, t.close(ctx, client))
	}
	return t, nil
}

// close deletes the topics, or says where they are. It does so although ctx has ended.
func (t *replayTopics) close(ctx context.Context, client *kafka.Client) error {
	if t.keep {
		_, err := fmt.Fprintf(t.say, "kept: %s\n", strings.Join(t.names, " "))
		return err
	}
	ctx, cancel := briefly(ctx)
	defer cancel()
	if err := client.DeleteTopics(ctx, t.names); err != nil {
		return &leftTopicsError{t.names, err}
	}
	return nil
}

// briefly is ctx without its end, but with one of its own.
func briefly(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanUpFor)
}

// leftTopicsError says that topics of a replay could not be deleted.
type leftTopicsError struct {
	names []string
	err   error
}

// Error implements error.
func (e *leftTopicsError) Error() string {
	return fmt.Sprintf("replay: its topics may be left, delete them: %s: %v", strings.Join(e.names, " "), e.err)
}

// Unwrap gives the cause.
func (e *leftTopicsError) Unwrap() error { return e.err }

// outputs write the replay's topics, without a fence: nobody takes a replay over.
func (t *replayTopics) outputs(client *kafka.Client, queries string) pipeline.Outputs {
	sink := func(topic string, e schemas.Encoder, linger time.Duration) *kafka.Sink {
		return &kafka.Sink{Client: client, Topic: topic, Encode: e, Linger: linger}
	}
	return pipeline.Outputs{
		Predictions: sink(t.Predictions, schemas.NewPredictions(schemas.PredictionOptions{
			Topic: queries, Columns: t.spec.Columns, Headers: t.spec.Headers, Arrow: t.spec.Format == pipeline.Arrow,
		}), 0),
		Dead:      sink(t.Dead, schemas.NewDead(queries), 0),
		Decisions: sink(t.Decisions, schemas.NewDecisions(schemas.DecisionOptions{Topic: queries, Schema: t.spec.Schema}), decisionLinger),
	}
}

// compare runs the candidate and prints what it found. Unexplained differences are an error.
func (a *app) compare(ctx context.Context, r *replay.Range, c *candidate, predictions, queries string, o replayOptions) error {
	decode := queryOptions(c.Spec)
	decode.Topic = queries // stands in the ids of queries that name none
	w := bufio.NewWriter(a.out)
	show := printDifference
	if o.json {
		show = func(w io.Writer, f replay.Finding) error { return json.NewEncoder(w).Encode(f) }
	}
	told := time.Now()
	report, err := r.Replay(ctx, replay.Options{
		Segment: c.segment, Predictions: predictions, Speed: o.speed, Models: c.models, Specs: c.specs, All: o.all,
		NewDecoder: func() schemas.Decoder { return schemas.NewQueries(decode) },
		Found:      func(f replay.Finding) error { return show(w, f) },
		Progress: func(done, of int64) {
			if now := time.Now(); now.Sub(told) >= progressEvery {
				told = now
				a.log.Info("replay", "queries", done, "of", of)
			}
		},
	})
	if err != nil {
		return errors.Join(err, w.Flush())
	}
	if o.json {
		err = json.NewEncoder(w).Encode(report)
	} else {
		printComparison(w, report, c.predictStages())
	}
	if err = errors.Join(err, w.Flush()); err != nil || report.Unexplained == 0 {
		return err
	}
	return fmt.Errorf("replay: %d differences that nothing recorded explains", report.Unexplained)
}
