package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/internal/loadgen"
	"weir/schemas"
)

const (
	// perPartition is the load while workers come and go, in queries a second, evenly spaced: a gap of the answers
	// beyond that spacing is a pause.
	perPartition = 500
	// crashed is how long after its session a dead worker's partitions may be without answers.
	crashed = time.Second
	// left is how long after its SIGTERM a leaving worker's partitions may be without another's answers.
	left = 300 * time.Millisecond
	// paused is the most that partitions which stay may pause.
	paused = 20 * time.Millisecond
	// afterwards is how long a change is watched after all that moved is answered again.
	afterwards = 500 * time.Millisecond
	// overdue is when a change is given up.
	overdue = time.Minute
)

// A troupe is two workers under load: one stays, the other comes and goes.
type troupe struct {
	*cluster
	spec  string
	stage *subject // what the load goes to
	watch *watch
	stays *process
	other *process
	acts  []*act
}

// An act is a kind of change, and what it did in each repetition.
type act struct {
	name  string
	do    func(context.Context) error // returns once the change is made
	bound time.Duration               // of moved, 0 is none
	moved []time.Duration             // until all partitions that moved were answered by their new owner
	pause []time.Duration             // the longest time without an answer of those
	stay  []time.Duration             // and of partitions that stayed
	calm  []time.Duration             // and of the same, in as long a stretch of rest afterwards
}

// takeover measures how long partitions go unanswered when one worker of two leaves, comes and crashes, and
// whether those that stay with the other one notice.
func (c *cluster) takeover(ctx context.Context, w io.Writer) error {
	t := &troupe{cluster: c}
	defer t.stop()
	if err := t.open(ctx); err != nil {
		return err
	}
	ctx, done := context.WithCancel(ctx)
	defer done()
	g, ctx := errgroup.WithContext(ctx)
	start := time.Now().Add(10 * time.Millisecond)
	var err error
	if t.watch, err = newWatch(c.Broker, t.stage.out, partitions, func(i int) time.Time { return start.Add(sentAt(i)) }); err != nil {
		return err
	}
	g.Go(func() error { return t.load(ctx, start) })
	g.Go(func() error { return t.watch.follow(ctx) })
	g.Go(func() error {
		defer done()
		return t.perform(ctx)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return t.report(w)
}

// sentAt is when the i-th query is due, counted from the first.
func sentAt(i int) time.Duration {
	return time.Duration(i) * time.Second / (perPartition * partitions)
}

// open starts both workers.
func (t *troupe) open(ctx context.Context) (err error) {
	m := models(t.Dir)["linear"]
	name := fmt.Sprintf("t%d", time.Now().UnixNano()) // no two runs share topics
	if t.spec, err = m.spec(t.Dir, name); err != nil {
		return err
	}
	t.stage = &subject{in: name + ".queries", out: name + ".predictions", partitions: partitions}
	if err := firstOf(t.topics(ctx, partitions, t.stage.in, t.stage.out, name+".decisions", name+".dead"), t.create(ctx, t.spec)); err != nil {
		return err
	}
	if t.stays, err = t.worker(ctx); err != nil {
		return err
	}
	t.other, err = t.worker(ctx)
	t.acts = []*act{
		{name: "a worker leaves", bound: left, do: t.leave},
		{name: "one comes", do: t.come},
		{name: "it crashes", bound: t.Session + crashed, do: t.crash},
		{name: "another comes", do: t.come},
	}
	return err
}

func (t *troupe) worker(ctx context.Context) (*process, error) {
	p, err := start(subjectCore, t.Weir, "run", t.spec, "--broker", t.Broker, "--admin", "127.0.0.1:0", "--session", t.Session.String(), "--heartbeat", t.Heartbeat.String())
	if err != nil {
		return nil, fmt.Errorf("%w; `make build` makes %s", err, t.Weir)
	}
	if _, err = p.await(ctx, "msg=ready"); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (t *troupe) stop() {
	for _, p := range []*process{t.stays, t.other} {
		if p != nil {
			p.stop()
		}
	}
}

func (t *troupe) leave(context.Context) error {
	t.other.stop()
	t.other = nil
	return nil
}

func (t *troupe) crash(context.Context) error {
	err := t.other.cmd.Process.Kill()
	t.other.stop()
	t.other = nil
	return err
}

func (t *troupe) come(ctx context.Context) (err error) {
	t.other, err = t.worker(ctx)
	return err
}

// load sends queries at an even rate, in turn to all partitions, until ctx ends.
func (t *troupe) load(ctx context.Context, start time.Time) error {
	imgs, err := images(256)
	if err != nil {
		return err
	}
	records := jsonQueries(imgs)
	g, ctx := errgroup.WithContext(ctx)
	queues := t.queues(ctx, g, t.stage, perPartition*int(overdue/time.Second))
	g.Go(func() error {
		defer closeAll(queues)
		next := -1
		return loadgen.Pace(ctx, start, func() time.Duration { next++; return sentAt(next) }, 0, func(i int, _ time.Time) error {
			queues[i%partitions] <- schemas.Message{Key: strconv.AppendInt(nil, int64(i), 10), Value: records[i%len(records)].Value}
			return nil
		})
	})
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// perform goes through all acts again and again; once before, unmeasured, for a Kafka that was just started.
func (t *troupe) perform(ctx context.Context) error {
	for _, a := range t.acts {
		if err := t.once(ctx, a); err != nil {
			return fmt.Errorf("%s, to warm up: %w", a.name, err)
		}
		a.moved, a.pause, a.stay, a.calm = nil, nil, nil, nil
	}
	for round := range t.pairs() {
		for _, a := range t.acts {
			if err := t.once(ctx, a); err != nil {
				return fmt.Errorf("%s, repetition %d: %w", a.name, round+1, err)
			}
			last := len(a.moved) - 1
			t.progress("%s: answered again after %v, pause there %v, of those that stayed %v (before: %v)", a.name, round1(a.moved[last]),
				round1(a.pause[last]), round1(a.stay[last]), round1(a.calm[last]))
		}
	}
	return nil
}

func round1(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// once performs one act and measures it.
func (t *troupe) once(ctx context.Context, a *act) error {
	t.watch.forget()
	if err := t.watch.until(ctx, "every partition is answered", func(all [][]answer) bool {
		return !slices.ContainsFunc(all, func(answers []answer) bool { return len(answers) < 2 })
	}); err != nil {
		return err
	}
	began := time.Now()
	if err := a.do(ctx); err != nil {
		return err
	}
	// A query that was due after the change was made can be answered by the new owner alone.
	made := time.Now()
	err := t.watch.until(ctx, "every partition has an answer to a query sent after the change, and half of them a new owner", func(all [][]answer) bool {
		moved := 0
		for _, answers := range all {
			if len(answers) == 0 || answers[len(answers)-1].due.Before(made) {
				return false
			}
			if _, ok := heir(answers, began); ok {
				moved++
			}
		}
		return moved >= partitions/2
	})
	if err != nil {
		return err
	}
	ended := time.Now().Add(afterwards)
	rested := ended.Add(ended.Sub(began))
	if err := sleep(ctx, time.Until(rested)); err != nil {
		return err
	}
	a.note(t.watch.seen(), began, ended, rested)
	return nil
}

// note enters what one act did between two moments, and what came between the second and a third one.
func (a *act) note(all [][]answer, began, ended, rested time.Time) {
	var moved, pause, stay, calm time.Duration
	for _, answers := range all {
		first, ok := heir(answers, began)
		if !ok {
			stay = max(stay, gap(answers, began, ended))
			calm = max(calm, gap(answers, ended, rested))
			continue
		}
		moved = max(moved, first.at.Sub(began))
		pause = max(pause, gap(answers, began, ended))
	}
	a.moved, a.pause = append(a.moved, moved), append(a.pause, pause)
	a.stay, a.calm = append(a.stay, stay), append(a.calm, calm)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// report prints the least, the middle and the most of each act's times, and whether the most keeps the bound.
func (t *troupe) report(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "takeover, ms; %d queries/s a partition, session %v, heartbeat %v\trepetitions\tmin\tmedian\tmax\taim\t\n", perPartition, t.Session, t.Heartbeat)
	row := func(name string, times []time.Duration, bound time.Duration, note string) {
		times = slices.Sorted(slices.Values(times))
		aim, verdict := "", ""
		if bound > 0 {
			aim, verdict = fmt.Sprintf("≤ %.0f%s", millis(bound), note), "met"
			if times[len(times)-1] > bound {
				verdict = "MISSED"
			}
		}
		fmt.Fprintf(table, "%s\t%d\t%.1f\t%.1f\t%.1f\t%s\t%s\n", name, len(times),
			millis(times[0]), millis(times[len(times)/2]), millis(times[len(times)-1]), aim, verdict)
	}
	for _, a := range t.acts {
		row(a.name+": until all partitions that moved are answered by their new owner", a.moved, a.bound, "")
		row(a.name+": longest time without an answer of a partition that moved", a.pause, 0, "")
		bound, note := paused, ""
		if rest := slices.Max(a.calm); rest > bound {
			bound, note = rest, ", as at rest" // the machine's pauses are not the rebalance's
		}
		row(a.name+": of one that stayed", a.stay, bound, note)
		row(a.name+": of the same, in as long a stretch of rest", a.calm, 0, "")
	}
	return table.Flush()
}
