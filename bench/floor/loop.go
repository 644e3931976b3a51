package floor

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"weir/schemas"
)

// Loop reads a topic's partitions, all of them by one long poll, answers and writes. The next poll is out
// while the answers to the last are computed, and each output partition has one request in flight that takes
// whatever waited.
type Loop struct {
	Broker, In, Out, Group string
	// Decisions is a topic. With it the loop writes what the pipeline writes, with its encoders: whole
	// predictions, and decisions. Without it, as a loop of one's own would, just the answers.
	Decisions string
	// Next is a topic. With it the queries that the Answerer is unsure of are passed on there, to a Loop whose In it
	// is and that has Passed set.
	Next       string
	Passed     bool
	Partitions int
	Schema     schemas.Schema
	Answerer   *Answerer
	// Rows are the most that one run of a model takes.
	Rows int

	client    *kafkago.Client
	lanes     []*lane // by partition
	decisions []*lane
	next      []*lane
	full      full
}

const (
	fetchBytes  = 1 << 20
	commitEvery = 200 * time.Millisecond
	// pending bounds what one partition's writer has not sent: a batch stays below what a topic takes.
	pending = 512 << 10
)

// Run works from the topic's end on until ctx ends. It calls ready once it reads.
func (l *Loop) Run(ctx context.Context, ready func()) error {
	topics := []string{l.In, l.Out}
	if l.Decisions != "" {
		topics = append(topics, l.Decisions)
	}
	if l.Next != "" {
		topics = append(topics, l.Next)
	}
	transport := &kafkago.Transport{MetadataTTL: time.Minute, IdleTimeout: 5 * time.Minute, MetadataTopics: topics}
	defer transport.CloseIdleConnections()
	l.client = &kafkago.Client{Addr: kafkago.TCP(l.Broker), Transport: transport, Timeout: 10 * time.Second}
	from, err := l.ends(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	l.lanes = l.open(ctx, g, l.Out)
	if l.Decisions != "" {
		l.decisions = l.open(ctx, g, l.Decisions)
		l.full = newFull(l.In, l.Schema)
	}
	if l.Next != "" {
		l.next = l.open(ctx, g, l.Next)
	}
	polls, spare := make(chan *poll, 1), make(chan *poll, 3)
	for range cap(spare) {
		spare <- &poll{parts: make([][]schemas.Record, l.Partitions)}
	}
	g.Go(func() error { return l.fetch(ctx, from, polls, spare) })
	g.Go(func() error { return l.commit(ctx) })
	g.Go(func() error { return l.answer(ctx, polls, spare) })
	ready()
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// open starts a writer for each partition of a topic.
func (l *Loop) open(ctx context.Context, g *errgroup.Group, topic string) (lanes []*lane) {
	for p := range l.Partitions {
		n := &lane{loop: l, topic: topic, id: p, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
		n.open.Reset()
		n.acked.Store(-1)
		lanes = append(lanes, n)
		g.Go(func() error { return n.send(ctx) })
	}
	return lanes
}

// ends are the offsets at which the loop begins.
func (l *Loop) ends(ctx context.Context) ([]int64, error) {
	req := &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{}}
	for p := range l.Partitions {
		req.Topics[l.In] = append(req.Topics[l.In], kafkago.LastOffsetOf(p))
	}
	res, err := l.client.ListOffsets(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	from := make([]int64, l.Partitions)
	for _, p := range res.Topics[l.In] {
		if p.Error != nil {
			return nil, fmt.Errorf("floor: %w", p.Error)
		}
		from[p.Partition] = p.LastOffset
	}
	return from, nil
}

// answer decodes, asks the models and hands the answers to the writers.
func (l *Loop) answer(ctx context.Context, in <-chan *poll, spare chan<- *poll) error {
	dec := l.decoder()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p := <-in:
			for id, records := range p.parts {
				for i, r := range records {
					if err := dec.append(r); err != nil {
						return err
					}
					if dec.rows() < l.Rows && i < len(records)-1 {
						continue
					}
					if err := l.flush(ctx, dec, id, r.Offset+1); err != nil {
						return err
					}
				}
			}
			spare <- p
		}
	}
}

func (l *Loop) flush(ctx context.Context, dec decoder, id int, next int64) error {
	q, rec, err := dec.flush()
	if err != nil || q.Rows == 0 {
		return err
	}
	if rec != nil {
		defer rec.Release()
	}
	answers, err := l.Answerer.Answer(ctx, q)
	if err != nil {
		return err
	}
	if l.Next != "" {
		if err := l.next[id].add(ctx, next, func(b *Batch) { b.pass(q, answers.Unsure) }); err != nil {
			return err
		}
	}
	if l.Decisions == "" {
		return l.lanes[id].add(ctx, next, func(b *Batch) { b.Append(q, answers, l.Answerer.Labels) })
	}
	predictions, decisions, err := l.full.encode(rec, answers, l.Answerer.Labels)
	if err != nil {
		return err
	}
	if err := l.lanes[id].add(ctx, next, func(b *Batch) { b.Messages(predictions) }); err != nil {
		return err
	}
	return l.decisions[id].add(ctx, next, func(b *Batch) { b.Messages(decisions) })
}

// commit stores what is acknowledged, without a group's membership: the partitions are ours alone.
func (l *Loop) commit(ctx context.Context) error {
	t := time.NewTicker(commitEvery)
	defer t.Stop()
	committed := make([]int64, l.Partitions)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		var cs []kafkago.OffsetCommit
		for p, n := range l.lanes {
			at := n.acked.Load()
			if l.Decisions != "" {
				at = min(at, l.decisions[p].acked.Load())
			}
			if l.Next != "" {
				at = min(at, l.next[p].acked.Load())
			}
			if at > committed[p] {
				committed[p] = at
				cs = append(cs, kafkago.OffsetCommit{Partition: p, Offset: at})
			}
		}
		if len(cs) == 0 {
			continue
		}
		if _, err := l.client.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{GroupID: l.Group, GenerationID: -1,
			Topics: map[string][]kafkago.OffsetCommit{l.In: cs}}); err != nil {
			return fmt.Errorf("floor: commit: %w", err)
		}
	}
}
