package main

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"weir/bench/floor"
	"weir/connectors/broker"
	"weir/connectors/kafka"
	"weir/schemas"
)

// Two loops with a topic between them answer what one with both models answers.
func TestFloorOfTwoHops(t *testing.T) {
	t.Chdir("..")
	b, err := broker.Open(broker.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	client, err := kafka.Dial(t.Context(), kafka.Options{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c := &cluster{options: options{Broker: b.Addr()}, publish: client, consume: client}
	if err := c.topics(t.Context(), partitions, "queries", "predictions", "hops.heavy"); err != nil {
		t.Fatal(err)
	}
	m := models("")["fashion"]
	m.Cut = true
	imgs, err := images(64)
	if err != nil {
		t.Fatal(err)
	}
	records := jsonQueries(imgs)
	hard, err := m.unsure(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(slices.Clone(hard), func(h bool) bool { return !h })); n == 0 || n == len(hard) {
		t.Fatalf("%d of %d queries are hard: the test tells nothing apart", n, len(hard))
	}

	ctx, cancel := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	served := floorCase{Model: m, In: "queries", Out: "predictions", Group: "hops", Rows: 16}
	g.Go(func() error { return served.run(ctx, c.options, func() { close(ready) }) })
	g.Go(func() error {
		defer cancel()
		select {
		case <-ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		s := &subject{in: "queries", out: "predictions", partitions: partitions}
		if _, err := c.fill(ctx, s, records, len(records)); err != nil {
			return err
		}
		got, err := labelsOf(ctx, client, len(records))
		if err == nil {
			checkLabels(t, m, records, got)
		}
		return err
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// labelsOf reads n predictions and gives each key's label.
func labelsOf(ctx context.Context, client *kafka.Client, n int) (map[string]string, error) {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	got := map[string]string{}
	err := client.Consume(ctx, "predictions", make([]int64, partitions), func(r schemas.Record) error {
		var p struct {
			QueryID string `json:"query_id"`
			Label   string
		}
		if err := json.Unmarshal(r.Value, &p); err != nil {
			return err
		}
		if p.QueryID == string(r.Key) {
			got[p.QueryID] = p.Label
		}
		if len(got) == n {
			enough()
		}
		return nil
	})
	return got, err
}

func checkLabels(t *testing.T, m Model, records []Record, got map[string]string) {
	t.Helper()
	a, err := m.answerer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	dec := schemas.NewQueries(schemas.QueryOptions{Schema: schema(), Topic: "queries"})
	for i, r := range records {
		dec.Append(schemas.Record{Offset: int64(i), Key: r.Key, Value: r.Value})
	}
	rec := dec.Flush()
	defer rec.Release()
	q, err := floor.Queries(rec)
	if err != nil {
		t.Fatal(err)
	}
	answers, err := a.Answer(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if want := a.Labels[answers.Best[i]]; got[string(r.Key)] != want {
			t.Errorf("%s: got %q, want %q", r.Key, got[string(r.Key)], want)
		}
	}
}
