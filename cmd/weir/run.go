package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"weir/cmd/weir/feed"
	"weir/cmd/weir/ownership"
	"weir/connectors/broker"
	"weir/connectors/kafka"
	"weir/gpu"
	"weir/pipeline"
	"weir/schemas"
)

// decisionLinger is how long decisions wait for others to share a record. They are off the latency path.
const decisionLinger = 50 * time.Millisecond

// batchShare of the objective is the most that one device batch may run, so that a row that just missed a
// batch still has time for its own.
const batchShare = 4

type runOptions struct {
	spec     string
	embedded string
	listen   string
	segments []string
	admin    string
	// acceptDuplicates goes on where it can no longer be told what was answered.
	acceptDuplicates bool
	// replace lets the spec take over from another version; turn, if not 0, is the latest replacement that it may undo.
	replace bool
	turn    int
	// session and heartbeat are the consumer group's.
	session, heartbeat time.Duration
}

func runCommand(a *app) *cobra.Command {
	var o runOptions
	var replace string
	cmd := &cobra.Command{
		Use:   "run SPEC",
		Short: "Serve a pipeline: queries on a topic in, predictions on a topic out",
		Long: `Serves the pipeline that a YAML file describes. Start as many as you like, here and on other hosts: they share the
partitions as a consumer group. With --segments a process runs only some segments, and topics lie between.

A spec that would answer differently waits while members of another version run. With --replace it takes over: those
finish what is in hand, also what lies in topics between segments that the new layout lacks, and exit with code 0. From
then on the pipeline belongs to the new version: members of others that are started again wait, not ready, and say so,
also while none of the new ones runs. What was replaced does not come back by itself, even if it was started with
--replace; the line that it logs names the number N with which --replace=N brings it back.

SIGTERM or Ctrl-C drains: it stops taking queries, finishes and commits what is in hand and leaves the group.
/metrics, /healthz and /readyz are served on the --admin address.`,
		Example: `  weir run fashion.yaml --broker kafka:9092
  weir run fashion.yaml --embedded ./data               # with a broker of its own, no Kafka needed
  weir run fashion.yaml --segments light                # on the edge
  weir run fashion.yaml --segments heavy                # on a host with a device
  weir run fashion-2.yaml --replace                     # instead of the version that runs
  weir run fashion.yaml --replace=1                     # back, after replacement 1`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.embedded != "" && cmd.Flags().Changed("broker") {
				return usage("--broker and --embedded exclude each other")
			}
			if o.heartbeat <= 0 || o.session <= o.heartbeat {
				return usage("--session %v, --heartbeat %v: want a heartbeat above 0 and below the session", o.session, o.heartbeat)
			}
			if o.embedded == "" && cmd.Flags().Changed("listen") {
				return usage("--listen is the address of an embedded broker; name its directory with --embedded")
			}
			if err := o.readReplace(replace); err != nil {
				return err
			}
			o.spec = args[0]
			if !cmd.Flags().Changed("admin") {
				o.admin = freeAdmin(o.admin)
			}
			err := a.run(cmd.Context(), o)
			if brokenOff(cmd.Context(), err) {
				a.log.Info("stopped before it was ready")
				return nil
			}
			return err
		},
	}
	a.brokerFlag(cmd)
	cmd.Flags().StringVar(&o.embedded, "embedded", "", "start an embedded broker with its data in this directory")
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:9092", "address of the embedded broker, HOST:PORT; port 0 takes a free one")
	cmd.Flags().StringSliceVar(&o.segments, "segments", nil, "run only these segments; default: all")
	cmd.Flags().StringVar(&replace, "replace", "", "take over from another version of the pipeline; with a number `N` also from the one that replaced this one, by replacement N")
	cmd.Flags().Lookup("replace").NoOptDefVal = anyTurn
	cmd.Flags().BoolVar(&o.acceptDuplicates, "accept-duplicates", false, "start even where retention deleted what tells which queries were answered")
	cmd.Flags().DurationVar(&o.session, "session", 6*time.Second, "how long a worker that is silent keeps its partitions (brokers allow 6s and more, unless told otherwise)")
	cmd.Flags().DurationVar(&o.heartbeat, "heartbeat", 300*time.Millisecond, "how often a worker tells that it is there; a fraction of --session")
	cmd.Flags().StringVar(&o.admin, "admin", "127.0.0.1:9464", "address of /metrics, /healthz and /readyz; if the default is taken, any free port")
	return cmd
}

// freeAdmin gives the default address, or any free port where another process has it already.
func freeAdmin(addr string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return addr
}

// brokenOff says whether err only tells that ctx has ended: a start that its user breaks off is no failure.
func brokenOff(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
}

// gcPercent is how much garbage may gather, in percent of what lives. What lives is a few megabytes, models lie
// outside of Go's heap, and under load as much as that is garbage every few milliseconds: Go's default of 100
// spends a tenth of a core on collecting it, and its pauses stand in the tail of the latencies.
const gcPercent = 400

// collectLess sets gcPercent, unless GOGC says otherwise.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// run loads, checks and serves a pipeline until ctx ends.
func (a *app) run(ctx context.Context, o runOptions) (err error) {
	collectLess()
	spec, err := pipeline.Load(o.spec, kinds()...)
	if err != nil {
		return err
	}
	units, err := spec.Plan(o.segments)
	if err != nil {
		return err
	}
	a.log.Info("pipeline", "spec", spec.File, "name", spec.Pipeline, "units", describe(units))
	m := newMetrics()
	adm, err := openAdmin(o.admin, m, waitFor(units)...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, adm.close()) }()
	a.log.Info("admin", "addr", adm.addr())
	parts, models, err := a.load(ctx, spec, units, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, models.Close()) }()
	ev := a.brokerEvents(m)
	client, closeClient, err := a.connect(ctx, spec, o, units, ev)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeClient()) }()
	if err := probeFences(ctx, spec, o, parts, client); err != nil {
		return err
	}
	return a.serve(ctx, spec, o, parts, client, ev, m, adm)
}

func waitFor(units []pipeline.Unit) []string {
	var names []string
	for _, u := range units {
		names = append(names, "segment "+u.Name)
	}
	return names
}

// part is a unit that is ready to run.
type part struct {
	pipeline.Unit
	segment *pipeline.Segment
	// digest tells it apart from units that would answer differently: those may not share a group.
	digest string
}

// version is the digest as a number.
func (p part) version() uint32 {
	v, _ := strconv.ParseUint(p.digest[:8], 16, 32) // it is 12 hex digits
	return uint32(v)
}

// load loads the models that the units need and checks that every stage fits the rows that it will see.
func (a *app) load(ctx context.Context, spec *pipeline.Spec, units []pipeline.Unit, m *metrics) ([]part, *gpu.Models, error) {
	var stages []pipeline.NamedStage
	for _, u := range units {
		stages = append(stages, stagesOf(u.Segments)...)
	}
	ev := m.device()
	ev.Loaded = func(model, version string, took time.Duration) {
		a.log.Info("model loaded", "model", model, "version", version, "took", took.Round(time.Millisecond))
	}
	models, err := loadModels(ctx, spec, stages, gpu.Options{MaxRun: spec.Objective / batchShare}, ev)
	if err != nil {
		return nil, nil, err
	}
	var parts []part
	var segments []*pipeline.Segment
	for _, u := range units {
		failed := newLimiter(a.log, time.Second)
		segment := newSegment(spec, u, m.segment(u.Name, func(stage string, err error) {
			failed.warn("a stage failed", "segment", u.Name, "stage", stage, "error", err)
		}))
		digest, err := unitDigest(spec, u, models)
		if err != nil {
			return nil, nil, errors.Join(err, models.Close())
		}
		segments = append(segments, segment)
		parts = append(parts, part{u, segment, digest})
	}
	if err := checkSegments(ctx, spec, segments, units[0].First && len(stages) == len(stagesOf(spec.Segments))); err != nil {
		return nil, nil, errors.Join(err, models.Close())
	}
	return parts, models, nil
}

// connect reaches the cluster, or starts an embedded broker, and checks that the topics are there.
func (a *app) connect(ctx context.Context, spec *pipeline.Spec, o runOptions, units []pipeline.Unit, ev kafka.Events) (*kafka.Client, func() error, error) {
	brokers := a.brokers()
	var embedded *broker.Broker
	if o.embedded != "" {
		b, err := broker.Open(broker.Options{Dir: o.embedded, Addr: o.listen})
		if err != nil {
			return nil, nil, err
		}
		a.log.Info("embedded broker", "addr", b.Addr(), "data", o.embedded)
		embedded, brokers = b, []string{b.Addr()}
	}
	closeAll := func(c *kafka.Client) (err error) {
		if c != nil {
			err = c.Close()
		}
		if embedded != nil {
			err = errors.Join(err, embedded.Close())
		}
		return err
	}
	client, err := kafka.Dial(ctx, kafka.Options{Brokers: brokers, Driver: a.driver, ClientID: "weir-" + spec.Pipeline, Events: ev})
	if err != nil {
		return nil, nil, errors.Join(err, closeAll(nil))
	}
	if embedded != nil {
		_, err = client.CreateTopics(ctx, topicsOf(spec))
	} else {
		err = checkTopics(ctx, client, spec, units)
	}
	if err != nil {
		return nil, nil, errors.Join(err, closeAll(client))
	}
	return client, func() error { return closeAll(client) }, nil
}

// brokerEvents are the metrics', and tell the log of a broker that does not answer.
func (a *app) brokerEvents(m *metrics) kafka.Events {
	ev := m.broker()
	ev.Renewed = func(name string, wait time.Duration) {
		m.renewed.Inc()
		a.log.Warn("the broker gave a new producer id and does not refuse earlier writers of this name; its partition waits, so that they end or are noticed",
			"name", name, "wait", wait)
	}
	count, tell := ev.Retry, feed.Retries(a.log)
	ev.Retry = func(err error) {
		count(err)
		tell(err)
	}
	return ev
}

// checkTopics fails with a remedy if a topic that the units use does not exist.
func checkTopics(ctx context.Context, client *kafka.Client, spec *pipeline.Spec, units []pipeline.Unit) error {
	topics := []string{spec.Topics.Predictions, spec.Topics.Decisions, spec.Topics.Dead, spec.Topics.State}
	for _, u := range units {
		topics = append(topics, u.In)
		if u.Next != "" {
			topics = append(topics, u.Next)
		}
	}
	for _, t := range topics {
		var unknown *kafka.UnknownTopicError
		_, err := client.Partitions(ctx, t)
		if errors.As(err, &unknown) {
			return fmt.Errorf("topic %s does not exist; create the pipeline's topics with `weir topics create %s --broker …`", t, spec.File)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serve runs every unit until ctx ends or one of them fails.
func (a *app) serve(ctx context.Context, spec *pipeline.Spec, o runOptions, parts []part, client *kafka.Client, ev kafka.Events, m *metrics, adm *admin) error {
	t, err := a.openTenancy(ctx, spec, o, parts, client, adm)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(t.staying, func() {
		adm.drain()
		a.log.Info("draining")
	})
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range parts {
		p.segment.Outputs = outputs(spec, p, client, o, ev)
		source := &kafka.Source{Client: client, Topic: p.In, Group: p.Group, Digest: p.digest,
			NewDecoder: decoder(spec, p.Unit, m), Events: a.sourceEvents(p.Unit, ownership.Busy(o.replace), ev, m, adm),
			Session: o.session, Heartbeat: o.heartbeat,
			Fenced: spec.Delivery == pipeline.ExactlyOnceEffect}
		g.Go(func() error {
			err := t.run(ctx, p.owned(spec), source, p.segment.Open)
			if err != nil {
				t.end()
			}
			return err
		})
	}
	err = g.Wait()
	stop()
	a.log.Info("stopped")
	return errors.Join(err, t.close())
}

// sourceEvents are ev, and tell the log and /readyz of the partitions that a unit owns. remedy is what helps where
// its group refuses it.
func (a *app) sourceEvents(u pipeline.Unit, remedy string, ev kafka.Events, m *metrics, adm *admin) kafka.Events {
	counted := ev
	var kept atomic.Bool                // out of the group by another spec, and logged
	var ended atomic.Pointer[time.Time] // when the last generation did, until the next one begins
	rebalance := m.rebalanceTime.WithLabelValues(u.Name)
	ev.Rebalancing = func(generation int32) {
		now := time.Now()
		ended.Store(&now)
		a.log.Info("the group shares its partitions anew", "segment", u.Name, "topic", u.In, "after_generation", generation)
	}
	ev.Refused = func(err error) {
		if !kept.Swap(true) {
			a.log.Warn("another version of the pipeline runs; waiting until its members leave", "segment", u.Name, "group", u.Group,
				"remedy", remedy, "error", err)
		}
		if adm.ready("segment " + u.Name) { // or a rolling update would wait for it, and it for the update
			a.log.Info("ready")
		}
	}
	ev.Rebalanced = func(generation int32, partitions []int32) {
		counted.Rebalanced(generation, partitions)
		if since := ended.Swap(nil); since != nil {
			rebalance.Observe(time.Since(*since).Seconds())
		}
		kept.Store(false)
		m.forgetLag(u.In)
		partitions = slices.Sorted(slices.Values(partitions))
		a.log.Info("partitions assigned", "segment", u.Name, "topic", u.In, "generation", generation, "partitions", fmt.Sprint(partitions))
		if adm.ready("segment " + u.Name) {
			a.log.Info("ready")
		}
	}
	ev.Reopened = func(topic string, partition int32, err error) {
		counted.Reopened(topic, partition, err)
		a.log.Warn("a partition starts again at its committed offset", "topic", topic, "partition", partition, "error", err)
	}
	ev.OutOfRange = func(topic string, partition int32, asked, from int64) {
		counted.OutOfRange(topic, partition, asked, from)
		a.log.Error("queries were deleted before they were read; retention is too short or the pipeline was away too long",
			"topic", topic, "partition", partition, "asked", asked, "from", from)
	}
	return ev
}

// decoder makes the decoders of a unit's input: queries as users write them, or another segment's rows.
func decoder(spec *pipeline.Spec, u pipeline.Unit, m *metrics) func(int32) schemas.Decoder {
	if u.First {
		return func(int32) schemas.Decoder { return m.counted(schemas.NewQueries(queryOptions(spec))) }
	}
	return func(int32) schemas.Decoder { return schemas.NewRows(schemas.RowsOptions{Topic: u.In}) }
}

// outputs are the topics that a unit writes to. Partition p of the queries stays partition p everywhere. One
// fence covers them all, so that a partition's take-over is one transaction.
func outputs(spec *pipeline.Spec, u part, client *kafka.Client, o runOptions, ev kafka.Events) pipeline.Outputs {
	own := func(input int32) int32 { return input / int32(u.Spread) }
	fence := newFence(spec, u, client, o)
	sink := func(topic string, e schemas.Encoder, linger time.Duration) *kafka.Sink {
		s := &kafka.Sink{Client: client, Topic: topic, Encode: e, Partition: own, Linger: linger, AcceptLoss: o.acceptDuplicates, Events: ev}
		if spec.Delivery == pipeline.ExactlyOnceEffect {
			of := 1
			if topic == u.Next {
				of = u.NextSpread
			}
			fence.Guard(s, of)
		}
		return s
	}
	queries := spec.Topics.Queries
	out := pipeline.Outputs{
		Predictions: sink(spec.Topics.Predictions, schemas.NewPredictions(schemas.PredictionOptions{
			Topic: queries, Columns: spec.Columns, Headers: spec.Headers, Arrow: spec.Format == pipeline.Arrow,
		}), 0),
		Dead:      sink(spec.Topics.Dead, schemas.NewDead(u.In), 0),
		Decisions: sink(spec.Topics.Decisions, schemas.NewDecisions(schemas.DecisionOptions{Topic: queries, Schema: spec.Schema}), decisionLinger),
	}
	if u.Next != "" {
		out.Next = kafka.Spread{Sink: *sink(u.Next, schemas.NewNext(), 0), Of: u.NextSpread}
	}
	return out
}

// segmentIndex is the place of a unit's first segment in the pipeline.
func segmentIndex(spec *pipeline.Spec, u pipeline.Unit) int {
	return slices.IndexFunc(spec.Segments, func(s pipeline.SegmentSpec) bool { return s.Name == u.Name })
}

// describe lists the units of a process for a log line.
func describe(units []pipeline.Unit) string {
	var parts []string
	for _, u := range units {
		to := u.Next
		if to == "" {
			to = "the end"
		}
		parts = append(parts, fmt.Sprintf("%s: %s to %s", u.Name, u.In, to))
	}
	return strings.Join(parts, "; ")
}
