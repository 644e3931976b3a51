package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/bench/floor"
	"weir/schemas"
)

// The floor answers what the pipeline answers, to the bit: else their speeds could not be compared.
func TestFloorAnswersTheSame(t *testing.T) {
	t.Chdir("..")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "linear.onnx"), linearONNX(pixels, 10), 0o644); err != nil {
		t.Fatal(err)
	}
	m := models(dir)["linear"]
	path, err := m.spec(dir, "same")
	if err != nil {
		t.Fatal(err)
	}
	spec, segment, all, err := segment(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	a, err := m.answerer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	imgs, err := images(64)
	if err != nil {
		t.Fatal(err)
	}
	dec := schemas.NewQueries(schemas.QueryOptions{Schema: spec.Schema, Topic: spec.Topics.Queries})
	for i, r := range jsonQueries(imgs) {
		dec.Append(schemas.Record{Offset: int64(i), Key: r.Key, Value: r.Value})
	}
	rec := dec.Flush()
	defer rec.Release()
	ours, err := segment.Stages[0].Stage.Process(t.Context(), rec)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Release()
	q, err := floor.Queries(rec)
	if err != nil {
		t.Fatal(err)
	}
	answers, err := a.Answer(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	scores, err1 := schemas.Column[*array.FixedSizeList](ours, schemas.Scores)
	names, err2 := schemas.Column[*array.String](ours, schemas.Label)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if want := scores.ListValues().(*array.Float32).Float32Values(); !slices.Equal(answers.Scores, want) {
		t.Errorf("scores: got %v, want %v", answers.Scores[:10], want[:10])
	}
	seen := map[string]bool{}
	for i, best := range answers.Best {
		if got, want := a.Labels[best], names.Value(i); got != want {
			t.Errorf("row %d: got %s, want %s", i, got, want)
		}
		seen[a.Labels[best]] = true
	}
	if len(seen) < 2 {
		t.Errorf("all %d images are %v: the test tells nothing apart", len(imgs), seen)
	}
}
