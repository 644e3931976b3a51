package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/connectors/kafka"
	"weir/internal/loadgen"
	"weir/schemas"
)

const (
	// window is how many queries are open while the capacity is measured.
	window = 4096
	// chunk is how many queries a request of the flat-out generator carries.
	chunk = 64
	// calm is the low rate of benchmark (d), in queries a second.
	calm = 500
	// busy is the share of the capacity that is the high rate.
	busy = 0.7
	// most is what a p99 may be in ms.
	most = 10
)

// latency is benchmark (d): from the moment at which a query should be sent to its decoded prediction, in an
// open loop with Poisson arrivals, one JSON query a record.
func (c *cluster) latency(ctx context.Context, emit func(Result)) error {
	imgs, err := images(2048)
	if err != nil {
		return err
	}
	records := jsonQueries(imgs)
	ours, floor, err := c.pair(ctx, models(c.Dir)["fashion"], "d", records, false)
	if err != nil {
		return err
	}
	defer ours.stop()
	defer floor.stop()
	capacity, err := c.capacity(ctx, "d", ours, floor, records)
	if err != nil {
		return err
	}
	return c.bothRates(ctx, "d", ours, floor, records, capacity, []view{{"", every, 1.5}}, emit)
}

// capacity is what the slower of two subjects answers with many queries open; both are measured at the same rate.
func (c *cluster) capacity(ctx context.Context, name string, ours, floor *subject, records []Record) (float64, error) {
	best := map[*subject]float64{} // the first time warms up
	for _, s := range []*subject{ours, floor, floor, ours} {
		rate, err := c.flatOut(ctx, s, records)
		if err != nil {
			return 0, err
		}
		c.progress("%s: capacity of %s: %.0f queries/s", name, s.in, rate)
		best[s] = max(best[s], rate)
	}
	return min(best[ours], best[floor]), nil
}

// bothRates measures at the low rate and at the high one.
func (c *cluster) bothRates(ctx context.Context, name string, ours, floor *subject, records []Record, capacity float64, views []view, emit func(Result)) error {
	for _, t := range []struct {
		name string
		rate float64
	}{{fmt.Sprintf("%s %d queries/s", name, calm), calm}, {fmt.Sprintf("%s %.0f %% of %.0f queries/s", name, 100*busy, capacity), busy * capacity}} {
		if err := c.paced(ctx, ours, floor, records, t.name, t.rate, views, emit); err != nil {
			return err
		}
	}
	return nil
}

// A view is some of the queries of a block, by their place in it, and the most that ours may take of the floor's p99.
type view struct {
	name string
	of   func(i int) bool
	aim  float64
}

func every(int) bool { return true }

// histogram gives a block's latencies as a histogram.
func (v view) histogram(block []time.Duration) *loadgen.Latencies {
	h := loadgen.NewLatencies()
	for i, d := range block {
		if v.of(i) {
			h.Record(d)
		}
	}
	return h
}

// A pace is what a subject did at one rate: the latencies of each block, and how busy its core and the other one were.
type pace struct {
	blocks        [][]time.Duration
	subject, rest float64 // sums of shares
}

// add measures one more block of a subject. Subjects that are compared get the same arrivals.
func (p *pace) add(ctx context.Context, c *cluster, s *subject, records []Record, rate float64) error {
	m, err := c.meter(s)
	if err != nil {
		return err
	}
	block, err := c.openLoop(ctx, s, records, rate, c.count(rate), seed+uint64(len(p.blocks)))
	if err != nil {
		return err
	}
	p.blocks = append(p.blocks, block)
	subject, rest, err := c.busy(s, m)
	p.subject += subject
	p.rest += rest
	return err
}

// count is how many queries make a block.
func (c *cluster) count(rate float64) int { return max(int(rate*c.Block.Seconds()), 1) }

// warm sends half a block to each subject.
func (c *cluster) warm(ctx context.Context, records []Record, rate float64, subjects ...*subject) error {
	for _, s := range subjects {
		if _, err := c.openLoop(ctx, s, records, rate, c.count(rate)/2+1, seed); err != nil {
			return err
		}
	}
	return nil
}

// paced alternates blocks at one rate. Quantiles of a subject are those of all its blocks together.
func (c *cluster) paced(ctx context.Context, ours, floor *subject, records []Record, name string, rate float64, views []view, emit func(Result)) error {
	if err := c.warm(ctx, records, rate, ours, floor); err != nil {
		return err
	}
	var mine, theirs pace
	err := alternate(c.pairs(), func(first bool) error {
		if first {
			return mine.add(ctx, c, ours, records, rate)
		}
		return theirs.add(ctx, c, floor, records, rate)
	})
	if err != nil {
		return err
	}
	for _, v := range views {
		p50, p99 := compared(name+v.name, mine, theirs, v)
		emit(p50)
		emit(p99)
	}
	return nil
}

// compared gives p50 and p99 of one subject beside another's.
func compared(name string, mine, theirs pace, v view) (p50, p99 Result) {
	var a, b []*loadgen.Latencies
	for i := range mine.blocks {
		a, b = append(a, v.histogram(mine.blocks[i])), append(b, v.histogram(theirs.blocks[i]))
	}
	of := func(quantile float64, label string) Result {
		r := Result{Name: name + ", " + label, Unit: "ms", Lower: true, Ours: quantiles(a, quantile), Floor: quantiles(b, quantile)}
		r.Ratio = bootstrap(len(a), func(pick []int) float64 { return together(a, pick, quantile) / together(b, pick, quantile) })
		r.Together = []float64{together(a, allOf(len(a)), quantile), together(b, allOf(len(b)), quantile)}
		r.Note = fmt.Sprintf("all blocks together: %.2f and %.2f", r.Together[0], r.Together[1])
		return r
	}
	p50, p99 = of(0.50, "p50"), of(0.99, "p99")
	if p99.Aim = v.aim; v.aim > 0 {
		p99.Most = most
		n := float64(len(mine.blocks))
		p99.Note += fmt.Sprintf(", aim ≤ %d; busy: subject's core %.0f and %.0f %%, the other %.0f and %.0f %%", most,
			100*mine.subject/n, 100*theirs.subject/n, 100*mine.rest/n, 100*theirs.rest/n)
	}
	return p50, p99
}

// allOf picks each of n blocks once.
func allOf(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func quantiles(blocks []*loadgen.Latencies, q float64) (ms []float64) {
	for _, b := range blocks {
		ms = append(ms, millis(b.Quantile(q)))
	}
	return ms
}

func together(blocks []*loadgen.Latencies, pick []int, q float64) float64 {
	all := loadgen.NewLatencies()
	for _, i := range pick {
		all.Merge(blocks[i])
	}
	return millis(all.Quantile(q))
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// openLoop sends count queries at a rate and gives their latencies in the order of the queries. A record's key
// says which query a prediction belongs to.
func (c *cluster) openLoop(ctx context.Context, s *subject, records []Record, rate float64, count int, seed uint64) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, drained)
	defer cancel()
	from, err := c.consume.Offsets(ctx, s.out, kafka.Latest)
	if err != nil {
		return nil, err
	}
	due, gaps := make([]time.Duration, count), loadgen.NewPoisson(rate, seed)
	for i := range due {
		due[i] = gaps.Next()
	}
	start, next := time.Now().Add(10*time.Millisecond), 0
	g, ctx := errgroup.WithContext(ctx)
	queues := c.queues(ctx, g, s, count)
	g.Go(func() error {
		defer closeAll(queues)
		return loadgen.Pace(ctx, start, func() time.Duration { next++; return due[next-1] }, count, func(i int, _ time.Time) error {
			queues[i%len(queues)] <- schemas.Message{Key: strconv.AppendInt(nil, int64(i), 10), Value: records[i%len(records)].Value}
			return nil
		})
	})
	took, known := make([]time.Duration, count), 0
	g.Go(func() error {
		return c.collect(ctx, s, from, count, func(key []byte, now time.Time) {
			if i, err := strconv.Atoi(string(key)); err == nil && i < count && took[i] == 0 {
				took[i] = max(now.Sub(start.Add(due[i])), 1)
				known++
			}
		})
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if known != count {
		return nil, fmt.Errorf("%d of %d predictions carry the key of their query", known, count)
	}
	return took, nil
}

// queues are the ways into a topic's partitions: whatever waits leaves together.
func (c *cluster) queues(ctx context.Context, g *errgroup.Group, s *subject, size int) []chan schemas.Message {
	queues := make([]chan schemas.Message, s.partitions)
	for p := range queues {
		queues[p] = make(chan schemas.Message, size)
		g.Go(func() error {
			for m := range queues[p] {
				msgs := []schemas.Message{m}
				for more := true; more; {
					select {
					case m, more = <-queues[p]:
						if more {
							msgs = append(msgs, m)
						}
					default:
						more = false
					}
				}
				if _, err := c.publish.Produce(ctx, s.in, int32(p), msgs); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return queues
}

func closeAll(queues []chan schemas.Message) {
	for _, q := range queues {
		close(q)
	}
}

// collect reads predictions until there were n and tells of each.
func (c *cluster) collect(ctx context.Context, s *subject, from []int64, n int, each func(key []byte, now time.Time)) error {
	reading, enough := context.WithCancel(ctx)
	defer enough()
	seen := 0
	err := c.consume.Consume(reading, s.out, from, func(r schemas.Record) error {
		each(r.Key, time.Now())
		if seen++; seen == n {
			enough()
		}
		return nil
	})
	if err == nil && seen < n {
		err = fmt.Errorf("%d predictions for %d queries within %v; the subject said: %s", seen, n, drained, s.said())
	}
	return err
}

// flatOut is how many queries a second a subject answers when window of them are always open. Other than in
// a backlog, the generator works all the while.
func (c *cluster) flatOut(ctx context.Context, s *subject, records []Record) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, drained)
	defer cancel()
	from, err := c.consume.Offsets(ctx, s.out, kafka.Latest)
	if err != nil {
		return 0, err
	}
	var open atomic.Int64
	room := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	counting, stop := context.WithCancel(ctx)
	g.Go(func() error {
		return c.consume.Consume(counting, s.out, from, func(schemas.Record) error {
			if open.Add(-1) < window {
				select {
				case room <- struct{}{}:
				default:
				}
			}
			return nil
		})
	})
	below := func(bound int64) error { // waits until fewer are open
		for open.Load() >= bound {
			select {
			case <-room:
			case <-ctx.Done():
				return fmt.Errorf("%d queries are still without an answer after %v; the subject said: %s", open.Load(), drained, s.said())
			}
		}
		return nil
	}
	var rate float64
	g.Go(func() error {
		defer stop()
		began, sent := time.Now(), 0
		for ; time.Since(began) < 2*c.Block; sent += chunk {
			if err := below(window); err != nil {
				return err
			}
			open.Add(chunk)
			if _, err := c.publish.Produce(ctx, s.in, int32(sent/chunk%s.partitions), messages(records[sent%len(records):][:chunk])); err != nil {
				return err
			}
		}
		rate = float64(int64(sent)-open.Load()) / time.Since(began).Seconds()
		return below(1) // the next block begins with an empty house
	})
	err = g.Wait()
	return rate, err
}
