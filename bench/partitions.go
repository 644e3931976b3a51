package main

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	// manyPartitions is how many a worker has in one of the two cases that are compared.
	manyPartitions = 100
	// dearer is the most that a query may cost with many partitions, in those of one with few.
	dearer = 2
)

// partitions measures what a query costs a worker that has a hundred partitions, beside one that has four, at
// the same rates. With many partitions each has fewer queries at a time, so that deliveries are smaller.
func (c *cluster) partitions(ctx context.Context, emit func(Result)) error {
	imgs, err := images(2048)
	if err != nil {
		return err
	}
	records := jsonQueries(imgs)
	m := models(c.Dir)["fashion"]
	topic := fmt.Sprintf("t%d", time.Now().UnixNano()) // no two runs share topics
	few, err := c.ours(ctx, m, topic+"-few")
	if err != nil {
		return err
	}
	defer few.stop()
	m.Partitions = manyPartitions
	many, err := c.ours(ctx, m, topic+"-many")
	if err != nil {
		return err
	}
	defer many.stop()
	capacity, err := c.capacity(ctx, "partitions", many, few, records)
	if err != nil {
		return err
	}
	for _, rate := range []float64{calm, capacity / 2} {
		if err := c.costs(ctx, many, few, records, rate, emit); err != nil {
			return err
		}
	}
	return c.backlogs(ctx, many, few, records, emit)
}

// partitionSides are what is compared.
func partitionSides() []string {
	return []string{fmt.Sprintf("%d partitions", manyPartitions), fmt.Sprintf("%d partitions", partitions)}
}

// backlogs compares processor time where as much waits as a worker can take.
func (c *cluster) backlogs(ctx context.Context, many, few *subject, records []Record, emit func(Result)) error {
	n, err := c.size(ctx, few, many, records)
	if err != nil {
		return err
	}
	r := Result{Name: "partitions, backlog, worker's CPU", Unit: "µs a query", Lower: true, Aim: dearer, Strict: true, Sides: partitionSides()}
	err = alternate(c.pairs(), func(first bool) error {
		s, to := few, &r.Floor
		if first {
			s, to = many, &r.Ours
		}
		b, err := c.backlog(ctx, s, records, n)
		*to = append(*to, 1e6*b.cpu/b.queries)
		return err
	})
	if err != nil {
		return err
	}
	r.Ratio = ratioOf(r.Ours, r.Floor)
	emit(r)
	return nil
}

// costs alternates blocks at one rate and compares processor time, the worker's and the broker's.
func (c *cluster) costs(ctx context.Context, many, few *subject, records []Record, rate float64, emit func(Result)) error {
	if err := c.warm(ctx, records, rate, many, few); err != nil {
		return err
	}
	sides := partitionSides()
	name := fmt.Sprintf("partitions, %.0f queries/s", rate)
	worker := Result{Name: name + ", worker's CPU", Unit: "µs a query", Lower: true, Aim: dearer, Strict: true, Sides: sides}
	broker := Result{Name: name + ", broker's CPU", Unit: "µs a query", Lower: true, Sides: sides}
	var mine, theirs pace
	err := alternate(c.pairs(), func(first bool) error {
		p, s, w, b := &theirs, few, &worker.Floor, &broker.Floor
		if first {
			p, s, w, b = &mine, many, &worker.Ours, &broker.Ours
		}
		before, err1 := s.cpu()
		brokerBefore, err2 := cpuOf(c.broker.pid)
		err3 := p.add(ctx, c, s, records, rate)
		after, err4 := s.cpu()
		brokerAfter, err5 := cpuOf(c.broker.pid)
		each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(c.count(rate)) }
		*w, *b = append(*w, each(after-before)), append(*b, each(brokerAfter-brokerBefore))
		return firstOf(err1, err2, err3, err4, err5)
	})
	if err != nil {
		return err
	}
	worker.Ratio = ratioOf(worker.Ours, worker.Floor)
	if math.IsNaN(worker.Ratio.Mean) || math.IsInf(worker.Ratio.Mean, 0) {
		return fmt.Errorf("this system does not tell a process's CPU time, or blocks of %v are too short for it", c.Block)
	}
	emit(worker)
	if c.broker.pid > 0 {
		broker.Ratio = ratioOf(broker.Ours, broker.Floor)
		emit(broker)
	}
	p50, p99 := compared(name, mine, theirs, view{of: every})
	p50.Sides, p99.Sides = sides, sides
	emit(p50)
	emit(p99)
	return nil
}
