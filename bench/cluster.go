package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/bench/floor"
	"weir/connectors/kafka"
)

// cluster is a broker in a process of its own, and the generator's connections to it.
type cluster struct {
	options
	broker  server
	publish *kafka.Client
	consume *kafka.Client
}

func (o options) cluster(ctx context.Context, open func(context.Context) (server, error)) (c *cluster, err error) {
	c = &cluster{options: o}
	if c.broker, err = open(ctx); err != nil {
		return nil, err
	}
	c.Broker = c.broker.addr
	for _, client := range []**kafka.Client{&c.publish, &c.consume} {
		if *client, err = kafka.Dial(ctx, kafka.Options{Brokers: []string{c.Broker}}); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *cluster) close() {
	for _, client := range []*kafka.Client{c.publish, c.consume} {
		if client != nil {
			_ = client.Close() // all is measured
		}
	}
	c.broker.stop()
}

// topics are made with short lives, so that a long run does not fill the disk.
func (c *cluster) topics(ctx context.Context, partitions int, names ...string) error {
	var ts []kafka.Topic
	for _, name := range names {
		ts = append(ts, kafka.Topic{Name: name, Partitions: partitions, Config: map[string]string{
			"retention.ms": "60000", "segment.ms": "20000", "max.message.bytes": "2000000"}})
	}
	if _, err := c.publish.CreateTopics(ctx, ts); err != nil {
		return err
	}
	for _, name := range names { // a real Kafka has made them before all of it knows who leads them
		if _, err := c.publish.Offsets(ctx, name, kafka.Latest); err != nil {
			return err
		}
	}
	return nil
}

// create makes those topics of a pipeline that are not there yet, as a user does.
func (c *cluster) create(ctx context.Context, spec string) error {
	out, err := exec.CommandContext(ctx, c.Weir, "topics", "create", spec, "--broker", c.Broker).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s topics create: %w: %s; `make build` makes %[1]s", c.Weir, err, out)
	}
	return nil
}

// A subject is what is measured: a process that reads in and writes out.
type subject struct {
	*process
	in, out    string
	partitions int
}

// ours starts `weir run`.
func (c *cluster) ours(ctx context.Context, m Model, name string) (*subject, error) {
	path, err := m.spec(c.Dir, name)
	if err != nil {
		return nil, err
	}
	s := &subject{in: name + ".queries", out: name + ".predictions", partitions: m.parts()}
	names := []string{s.in, s.out, name + ".decisions", name + ".dead"}
	if m.Cut {
		names = append(names, name+".heavy")
	}
	if err := firstOf(c.topics(ctx, s.partitions, names...), c.create(ctx, path)); err != nil {
		return nil, err
	}
	s.process, err = start(subjectCore, c.Weir, "run", path, "--broker", c.Broker, "--admin", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, err = s.await(ctx, "msg=ready")
	return s, err
}

// floorCase is what a floor process serves.
type floorCase struct {
	Model                     Model
	In, Out, Decisions, Group string
	Rows                      int
}

// floor starts the bare loop; a full one writes the same outputs as the pipeline.
func (c *cluster) floor(ctx context.Context, m Model, name string, rows int, full bool) (*subject, error) {
	s := &subject{in: name + ".queries", out: name + ".predictions", partitions: m.parts()}
	decisions := ""
	if full {
		decisions = name + ".decisions"
	}
	names := []string{s.in, s.out, name + ".decisions"}
	if m.Cut {
		names = append(names, name+".heavy")
	}
	if err := c.topics(ctx, s.partitions, names...); err != nil {
		return nil, err
	}
	o := c.options
	o.Profile = ""
	o.Case = &floorCase{Model: m, In: s.in, Out: s.out, Decisions: decisions, Group: name, Rows: rows}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if s.process, err = start(subjectCore, self, childFlag, "floor", string(text)); err != nil {
		return nil, err
	}
	_, err = s.await(ctx, "ready")
	return s, err
}

func (f *floorCase) serve(ctx context.Context, o options) error {
	return f.run(ctx, o, func() { fmt.Println("ready") })
}

// run answers until ctx ends; it calls ready once it reads.
func (f *floorCase) run(ctx context.Context, o options, ready func()) error {
	a, err := f.Model.answerer(ctx)
	if err != nil {
		return err
	}
	l := &floor.Loop{Broker: o.Broker, In: f.In, Out: f.Out, Decisions: f.Decisions, Group: f.Group, Partitions: f.Model.parts(),
		Schema: schema(), Answerer: a, Rows: f.Rows}
	if !f.Model.Cut {
		return firstOf(l.Run(ctx, ready), a.Close())
	}
	l.Next = f.Group + ".heavy"
	heavy := &floor.Answerer{Light: a.Heavy, Labels: a.Labels}
	a.Heavy = nil
	second := &floor.Loop{Broker: o.Broker, In: l.Next, Out: f.Out, Passed: true, Group: f.Group + ".heavy", Partitions: l.Partitions,
		Answerer: heavy, Rows: f.Rows}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return second.Run(ctx, func() { g.Go(func() error { return l.Run(ctx, ready) }) }) })
	return firstOf(g.Wait(), a.Close(), heavy.Close())
}

// fill publishes about n queries, all partitions alike, in batches as large as a topic takes.
func (c *cluster) fill(ctx context.Context, s *subject, records []Record, n int) (queries int, err error) {
	g, ctx := errgroup.WithContext(ctx)
	share := make([][]Record, s.partitions)
	for i := 0; queries < n; i++ {
		r := records[i%len(records)]
		share[i%s.partitions] = append(share[i%s.partitions], r)
		queries += r.queries
	}
	for p, mine := range share {
		g.Go(func() error {
			_, err := c.publish.Produce(ctx, s.in, int32(p), messages(mine))
			return err
		})
	}
	return queries, g.Wait()
}

// drained is how long the slowest subject may take for a block.
const drained = 60 * time.Second
