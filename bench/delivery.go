package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// tail is the most that the exactly-once effect may take of the p99 of at-least-once; or what at-least-once
	// takes of its own, where that differs by more.
	tail = 1.10
	// kept is the least throughput that it must keep; or what at-least-once keeps of its own.
	kept = 0.95
)

// deliveries measures the price of the exactly-once effect: three workers on one broker, whose blocks
// alternate. Two of them are the same, at-least-once, so that a difference between those is noise.
type deliveries struct {
	*cluster
	name    string
	workers [3]*subject // exactly once, at least once, at least once again
}

func (c *cluster) delivery(ctx context.Context, emit func(Result)) error {
	imgs, err := images(2048)
	if err != nil {
		return err
	}
	arrow, err := arrowQueries(imgs)
	if err != nil {
		return err
	}
	json := jsonQueries(imgs)
	example, err := c.deliveries(ctx, "fashion")
	if err != nil {
		return err
	}
	defer example.stop()
	if err := example.latency(ctx, json, emit); err != nil {
		return err
	}
	if err := example.throughput(ctx, "JSON", json, emit); err != nil {
		return err
	}
	linear, err := c.deliveries(ctx, "linear")
	if err != nil {
		return err
	}
	defer linear.stop()
	return linear.throughput(ctx, "Arrow", arrow, emit)
}

func (c *cluster) deliveries(ctx context.Context, model string) (d *deliveries, err error) {
	d = &deliveries{cluster: c, name: model}
	topic := fmt.Sprintf("t%d", time.Now().UnixNano()) // no two runs share topics
	for i, delivery := range []string{"exactly_once_effect", "at_least_once", "at_least_once"} {
		m := models(c.Dir)[model]
		m.Delivery = delivery
		if d.workers[i], err = c.ours(ctx, m, fmt.Sprintf("%s-%d", topic, i)); err != nil {
			d.stop()
			return nil, err
		}
	}
	return d, nil
}

func (d *deliveries) stop() {
	for _, w := range d.workers {
		if w != nil && w.process != nil {
			w.stop()
		}
	}
}

func (d *deliveries) latency(ctx context.Context, records []Record, emit func(Result)) error {
	for _, w := range d.workers { // a Kafka that was just started takes its time to get fast
		if _, err := d.flatOut(ctx, w, records); err != nil {
			return err
		}
	}
	if err := d.warm(ctx, records, calm, d.workers[:]...); err != nil {
		return err
	}
	var paces [3]pace
	err := rotate(d.pairs(), len(paces), func(i int) error { return paces[i].add(ctx, d.cluster, d.workers[i], records, calm) })
	if err != nil {
		return err
	}
	name := fmt.Sprintf("delivery, %s, %d queries/s", d.name, calm)
	all := view{of: every}
	p50, p99 := compared(name, paces[2], paces[1], all)
	again50, again99 := p50, p99
	p50, p99 = compared(name, paces[0], paces[1], all)
	emit(aa(again50))
	emit(effect(p50))
	emit(aa(again99))
	p99 = effect(p99)
	p99.Strict, p99.Aim = true, max(tail, again99.Ratio.High)
	emit(p99)
	return nil
}

func (d *deliveries) throughput(ctx context.Context, form string, records []Record, emit func(Result)) error {
	n, err := d.size(ctx, d.workers[1], d.workers[0], records)
	if err != nil {
		return err
	}
	var wall, cpu [3][]float64
	err = rotate(d.pairs(), len(wall), func(i int) error {
		b, err := d.backlog(ctx, d.workers[i], records, n)
		wall[i], cpu[i] = append(wall[i], b.queries/b.took), append(cpu[i], b.queries/b.cpu)
		return err
	})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("delivery, %s, %s in, backlog", d.name, form)
	of := func(name, unit string, values [3][]float64, i int) Result {
		return Result{Name: name, Unit: unit, Ours: values[i], Floor: values[1], Ratio: ratioOf(values[i], values[1])}
	}
	again := aa(of(name, "queries/s", wall, 2))
	emit(again)
	r := effect(of(name, "queries/s", wall, 0))
	r.Strict, r.Aim = true, min(kept, again.Ratio.Low)
	emit(r)
	emit(aa(of(name+", per CPU", "queries/CPU s", cpu, 2)))
	emit(effect(of(name+", per CPU", "queries/CPU s", cpu, 0)))
	return nil
}

func effect(r Result) Result {
	r.Sides = []string{"exactly once", "at least once"}
	return r
}

// aa marks a comparison of a subject with itself.
func aa(r Result) Result {
	r.Name += ", A/A"
	r.Sides = []string{"exactly once", "at least once"}
	r.Note = "at least once in both columns"
	return r
}
