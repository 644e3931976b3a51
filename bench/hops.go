package main

import (
	"context"
	"fmt"
	"time"

	"weir/bench/floor"
	"weir/schemas"
)

// hops measures the example's cascade with a topic between its models: a query that the light model is unsure
// of goes through the broker twice. The floor is two hand-written loops in one process, with a topic of raw
// pixels between them.
func (c *cluster) hops(ctx context.Context, emit func(Result)) error {
	imgs, err := images(2048)
	if err != nil {
		return err
	}
	m := models(c.Dir)["fashion"]
	m.Cut = true
	records := jsonQueries(imgs)
	hard, err := m.unsure(ctx, records)
	if err != nil {
		return err
	}
	ours, floor, err := c.pair(ctx, m, "hops", records, false)
	if err != nil {
		return err
	}
	defer ours.stop()
	defer floor.stop()
	capacity, err := c.capacity(ctx, "hops", ours, floor, records)
	if err != nil {
		return err
	}
	both := func(i int) bool { return hard[i%len(records)] }
	return c.bothRates(ctx, "hops", ours, floor, records, capacity, []view{{", two hops", both, 1.5}, {", all queries", every, 0}}, emit)
}

// unsure tells which queries the light model passes on.
func (m Model) unsure(ctx context.Context, records []Record) (hard []bool, err error) {
	a, err := m.answerer(ctx)
	if err != nil {
		return nil, err
	}
	light := floor.Answerer{Light: a.Light, AtLeast: a.AtLeast, Labels: a.Labels}
	hard = make([]bool, len(records))
	dec := schemas.NewQueries(schemas.QueryOptions{Schema: schema(), Topic: "queries"})
	for i, r := range records {
		dec.Append(schemas.Record{Offset: int64(i), Time: time.Now(), Key: r.Key, Value: r.Value})
		if err := m.mark(ctx, dec, &light, hard[i:]); err != nil {
			return nil, fmt.Errorf("query %d: %w", i, err)
		}
	}
	return hard, a.Close()
}

// mark asks about the queries in a decoder.
func (m Model) mark(ctx context.Context, dec *schemas.Queries, light *floor.Answerer, hard []bool) error {
	rec := dec.Flush()
	defer rec.Release()
	q, err := floor.Queries(rec)
	if err != nil {
		return err
	}
	answers, err := light.Answer(ctx, q)
	for _, row := range answers.Unsure {
		hard[row] = true
	}
	return err
}
