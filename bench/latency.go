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
	capacity := 0.0
	for _, s := range []*subject{ours, floor, floor, ours} {
		rate, err := c.flatOut(ctx, s, records)
		if err != nil {
			return err
		}
		c.progress("d: capacity of %s: %.0f queries/s", s.in, rate)
		if capacity == 0 || rate < capacity {
			capacity = rate // the lower one: both get the same rate
		}
	}
	for _, t := range []struct {
		name string
		rate float64
	}{{fmt.Sprintf("d %d queries/s", calm), calm}, {fmt.Sprintf("d %.0f %% of %.0f queries/s", 100*busy, capacity), busy * capacity}} {
		if err := c.paced(ctx, ours, floor, records, t.name, t.rate, emit); err != nil {
			return err
		}
	}
	return nil
}

// paced alternates blocks at one rate. Quantiles of a subject are those of all its blocks together.
func (c *cluster) paced(ctx context.Context, ours, floor *subject, records []Record, name string, rate float64, emit func(Result)) error {
	var mine, theirs []*loadgen.Latencies
	count := max(int(rate*c.Block.Seconds()), 1)
	arrivals := uint64(seed)
	for _, s := range []*subject{ours, floor} { // warm up
		if _, err := c.openLoop(ctx, s, records, rate, count/2+1, arrivals); err != nil {
			return err
		}
	}
	var oursBusy, floorBusy [2]float64 // of the subject's core and of the other one
	err := alternate(c.pairs(), func(first bool) error {
		s, to, busy := floor, &theirs, &floorBusy
		if first {
			s, to, busy = ours, &mine, &oursBusy
		}
		m, err := c.meter(s)
		if err != nil {
			return err
		}
		h, err := c.openLoop(ctx, s, records, rate, count, arrivals+uint64(len(*to))) // both get the same arrivals
		*to = append(*to, h)
		subject, rest, err2 := c.busy(s, m)
		busy[0] += subject / float64(c.pairs())
		busy[1] += rest / float64(c.pairs())
		return firstOf(err, err2)
	})
	if err != nil {
		return err
	}
	for _, q := range []struct {
		name     string
		quantile float64
		aim      float64
	}{{"p50", 0.50, 0}, {"p99", 0.99, 1.5}} {
		r := Result{Name: name + ", " + q.name, Unit: "ms", Lower: true, Aim: q.aim,
			Ours: quantiles(mine, q.quantile), Floor: quantiles(theirs, q.quantile)}
		r.Ratio = bootstrap(len(mine), func(pick []int) float64 {
			return together(mine, pick, q.quantile) / together(theirs, pick, q.quantile)
		})
		all := make([]int, len(mine))
		for i := range all {
			all[i] = i
		}
		r.Note = fmt.Sprintf("all blocks together: ours %.2f, floor %.2f", together(mine, all, q.quantile), together(theirs, all, q.quantile))
		if q.aim > 0 {
			r.Note += fmt.Sprintf(", aim ≤ %d; busy: subject's core %.0f and %.0f %%, the other %.0f and %.0f %%", most,
				100*oursBusy[0], 100*floorBusy[0], 100*oursBusy[1], 100*floorBusy[1])
		}
		emit(r)
	}
	return nil
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

// openLoop sends count queries at a rate and gives their latencies. Its key says which query a prediction
// belongs to.
func (c *cluster) openLoop(ctx context.Context, s *subject, records []Record, rate float64, count int, seed uint64) (*loadgen.Latencies, error) {
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
	queues := c.queues(ctx, g, s.in, count)
	g.Go(func() error {
		defer closeAll(queues)
		return loadgen.Pace(ctx, start, func() time.Duration { next++; return due[next-1] }, count, func(i int, _ time.Time) error {
			queues[i%partitions] <- schemas.Message{Key: strconv.AppendInt(nil, int64(i), 10), Value: records[i%len(records)].Value}
			return nil
		})
	})
	h := loadgen.NewLatencies()
	g.Go(func() error {
		return c.collect(ctx, s, from, count, func(key []byte, now time.Time) {
			if i, err := strconv.Atoi(string(key)); err == nil && i < count {
				h.Record(now.Sub(start.Add(due[i])))
			}
		})
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if h.Count() != int64(count) {
		return nil, fmt.Errorf("%d of %d predictions carry the key of their query", h.Count(), count)
	}
	return h, nil
}

// queues are the ways into a topic's partitions: whatever waits leaves together.
func (c *cluster) queues(ctx context.Context, g *errgroup.Group, topic string, size int) []chan schemas.Message {
	queues := make([]chan schemas.Message, partitions)
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
				if _, err := c.publish.Produce(ctx, topic, int32(p), msgs); err != nil {
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
	began, sent := time.Now(), 0
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
	g.Go(func() error {
		defer stop()
		for ; time.Since(began) < 2*c.Block; sent += chunk {
			for open.Load() >= window {
				select {
				case <-room:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			open.Add(chunk)
			if _, err := c.publish.Produce(ctx, s.in, int32(sent/chunk%partitions), messages(records[sent%len(records):][:chunk])); err != nil {
				return err
			}
		}
		return nil
	})
	err = g.Wait()
	answered := float64(int64(sent) - open.Load())
	rate := answered / time.Since(began).Seconds()
	return rate, firstOf(err, c.settle(context.WithoutCancel(ctx), s))
}

// settle waits until a subject answers nothing more: the next block begins with an empty house.
func (c *cluster) settle(ctx context.Context, s *subject) error {
	ctx, cancel := context.WithTimeout(ctx, drained)
	defer cancel()
	for last := int64(-1); ; {
		ends, err := c.consume.Offsets(ctx, s.out, kafka.Latest)
		if err != nil {
			return err
		}
		sum := int64(0)
		for _, end := range ends {
			sum += end
		}
		if sum == last {
			return nil
		}
		last = sum
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
