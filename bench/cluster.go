package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/bench/floor"
	"weir/connectors/kafka"
)

// cluster is a broker in a process of its own, and the generator's connections to it.
type cluster struct {
	options
	broker  *process
	publish *kafka.Client
	consume *kafka.Client
}

func (o options) cluster(ctx context.Context) (c *cluster, err error) {
	c = &cluster{options: o}
	if c.broker, err = start(restCore, o.Weir, "broker", "--data", filepath.Join(o.Dir, "broker"), "--listen", "127.0.0.1:0", "--log-level", "error"); err != nil {
		return nil, fmt.Errorf("%w; `make build` makes %s", err, o.Weir)
	}
	if c.Broker, err = c.broker.await(ctx, "127.0.0.1:"); err != nil {
		c.broker.stop()
		return nil, err
	}
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
func (c *cluster) topics(ctx context.Context, names ...string) error {
	var ts []kafka.Topic
	for _, name := range names {
		ts = append(ts, kafka.Topic{Name: name, Partitions: partitions, Config: map[string]string{
			"retention.ms": "60000", "segment.ms": "20000", "max.message.bytes": "2000000"}})
	}
	_, err := c.publish.CreateTopics(ctx, ts)
	return err
}

// A subject is what is measured: a process that reads in and writes out.
type subject struct {
	*process
	in, out string
}

// ours starts `weir run`.
func (c *cluster) ours(ctx context.Context, m Model, name string) (*subject, error) {
	path, err := m.spec(c.Dir, name)
	if err != nil {
		return nil, err
	}
	s := &subject{in: name + ".queries", out: name + ".predictions"}
	if err := c.topics(ctx, s.in, s.out, name+".decisions", name+".dead"); err != nil {
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
	s := &subject{in: name + ".queries", out: name + ".predictions"}
	decisions := ""
	if full {
		decisions = name + ".decisions"
	}
	if err := c.topics(ctx, s.in, s.out, name+".decisions"); err != nil {
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
	a, err := f.Model.answerer(ctx)
	if err != nil {
		return err
	}
	l := &floor.Loop{Broker: o.Broker, In: f.In, Out: f.Out, Decisions: f.Decisions, Group: f.Group, Partitions: partitions,
		Schema: schema(), Answerer: a, Rows: f.Rows}
	return firstOf(l.Run(ctx, func() { fmt.Println("ready") }), a.Close())
}

// fill publishes about n queries, all partitions alike, in batches as large as a topic takes.
func (c *cluster) fill(ctx context.Context, topic string, records []Record, n int) (queries int, err error) {
	g, ctx := errgroup.WithContext(ctx)
	share := make([][]Record, partitions)
	for i := 0; queries < n; i++ {
		r := records[i%len(records)]
		share[i%partitions] = append(share[i%partitions], r)
		queries += r.queries
	}
	for p, mine := range share {
		g.Go(func() error {
			_, err := c.publish.Produce(ctx, topic, int32(p), messages(mine))
			return err
		})
	}
	return queries, g.Wait()
}

// drained is how long the slowest subject may take for a block.
const drained = 60 * time.Second
