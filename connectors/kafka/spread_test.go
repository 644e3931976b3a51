package kafka_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weir/connectors/kafka"
	"weir/pipeline"
	"weir/schemas"
)

// Input partition 1 of a sink that spreads over 3 writes to partitions 3, 4 and 5: every row once, rows of
// one id always to the same partition, and rows that are too large are told by their place in the batch.
func TestSpread(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 6, "max.message.bytes", "5000")
		spread := kafka.Spread{Sink: kafka.Sink{Client: c, Topic: topic, Encode: joined{1}}, Of: 3}
		w, err := spread.Open(testContext(t), pipeline.Partition{Topic: "in", ID: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		rows := append(numbers("r", 40), strings.Repeat("x", 10_000), "last")
		var large *pipeline.TooLargeError
		if err := writeNamed(t, w, rows...); !errors.As(err, &large) || !slices.Equal(large.Rows, []int{40}) {
			t.Fatalf("got %v, want row 40 to be too large", err)
		}
		if err := writeNamed(t, w, rows[:40]...); err != nil {
			t.Fatalf("got %v, want nil of the type error", err)
		}
		used := map[int32]int{}
		place := map[string]int32{}
		for _, r := range consume(t, c, topic, make([]int64, 6), 81) {
			used[r.Partition]++
			if at, ok := place[string(r.Value)]; ok && at != r.Partition {
				t.Errorf("row %s is in partitions %d and %d", r.Value, at, r.Partition)
			}
			place[string(r.Value)] = r.Partition
		}
		if len(place) != 41 || len(used) != 3 || used[3] == 0 || used[4] == 0 || used[5] == 0 {
			t.Errorf("%d distinct rows in partitions %v, want 41 in 3, 4 and 5", len(place), used)
		}
		if len(w.Position()) != 3 {
			t.Errorf("position %v, want one a partition", w.Position())
		}
	})
}

// writeNamed writes rows that are their own query ids.
func writeNamed(t *testing.T, w pipeline.Writer, rows ...string) error {
	plain := batch(make([]int64, len(rows)), rows)
	defer plain.Release()
	b := schemas.With(plain, schemas.Named{Name: schemas.QueryID, Array: plain.Column(1)})
	defer b.Release()
	return w.Write(testContext(t), b)
}
