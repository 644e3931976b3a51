package e2e_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"
)

// layouts of a pipeline with the segments light and heavy, each with the arguments of its workers.
var layouts = []struct {
	name    string
	layout  string
	workers [][]string
}{
	{"fused", "layout: fused", [][]string{nil}},
	{"cut in two processes", "layout: fused", [][]string{{"--segments", "light"}, {"--segments", "heavy"}}},
	{"cut in one process", "layout: {cut: [heavy]}", [][]string{nil}},
	{"cut and spread", "layout: {cut: [heavy], spread: {heavy: 2}}", [][]string{nil, {"--segments", "heavy"}}},
}

// Where a pipeline is cut changes no answer.
func TestLayouts(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		needONNX(t)
		queries := images(t, 2000)
		sameAnswers(t, queries, func(layout string) pipe { return c.fashion(t, "layout: fused", layout) })
	})
}

// The toy pipeline needs no library.
func TestLayoutsToy(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	var queries [][]byte
	for i := range 1000 {
		queries = append(queries, []byte(toyQuery(i).json()))
	}
	sameAnswers(t, queries, func(layout string) pipe { return c.toyPipe(t, layout, "columns: [store]") })
}

func sameAnswers(t *testing.T, queries [][]byte, makePipe func(layout string) pipe) {
	t.Helper()
	answers := make([]map[string]any, len(layouts)) // by query id
	for i, l := range layouts {
		answers[i] = layoutAnswers(t, makePipe(l.layout), l.workers, queries)
		if len(answers[i]) != len(queries) {
			t.Fatalf("%s: %d answers, want %d", l.name, len(answers[i]), len(queries))
		}
	}
	for i, l := range layouts[1:] {
		different := 0
		for _, id := range slices.Sorted(maps.Keys(answers[0])) {
			if fused, cut := answers[0][id], answers[i+1][id]; !alike(fused, cut) {
				if different++; different <= 3 {
					t.Errorf("%s: got  %v\nwant, as fused, %v", l.name, cut, fused)
				}
			}
		}
		if different > 0 {
			t.Errorf("%s: %d of %d answers differ", l.name, different, len(queries))
		}
	}
}

// layoutAnswers publishes the queries in the same order and partitions for every pipeline, and gives the
// fields of each prediction but trace and late, with the pipeline's name taken out.
func layoutAnswers(t *testing.T, p pipe, workers [][]string, queries [][]byte) map[string]any {
	t.Helper()
	var running []worker
	for _, args := range workers {
		running = append(running, p.work(t, args...))
	}
	publish(t, p.client(t), spread(p.topic("queries"), queries)...)
	got := p.predictions(t)
	got.await(t, len(queries))
	for _, w := range running {
		if code, _ := w.stop(t); code != 0 {
			t.Errorf("%s: exit code %d", w.name, code)
		}
	}
	out := map[string]any{}
	for id, pr := range got.once(t) {
		if pr.Source.Partition != pr.record.Partition {
			t.Errorf("query %s came in partition %d, its prediction is in %d", id, pr.Source.Partition, pr.record.Partition)
		}
		pr.record.Value = bytes.ReplaceAll(pr.record.Value, []byte(p.name), []byte("NAME"))
		out[id] = pr.answer(t)
	}
	return out
}
