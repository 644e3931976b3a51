package kafka_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weir/connectors/kafka"
	"weir/pipeline"
)

// In order nothing is stored behind a row that is too large, whether it has a record of its own or shares one,
// and one that no broker would take is not even sent.
func TestSinkInOrder(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		for _, joint := range []int{1, 8, 64} {
			topic := newTopic(t, c, 1, "max.message.bytes", "50000")
			w := openSink(t, &kafka.Sink{Client: c, Topic: topic, Encode: joined{joint}}, 0).(pipeline.OrderedWriter)
			rows, want := make([]string, 24), make([]string, 24)
			for i := range rows {
				rows[i] = strings.Repeat(string(rune('a'+i)), 4000)
			}
			for _, i := range []int{0, 5, 6, 23} {
				rows[i] = strings.Repeat(string(rune('a'+i)), 60000)
			}
			if joint == 1 {
				rows[0] = strings.Repeat("a", 65<<20)
			}
			for i := range rows {
				want[i] = rows[i][:min(len(rows[i]), 4000)]
			}
			var refused []int
			for from := 0; from < len(rows); {
				b := batch(make([]int64, len(rows)-from), rows[from:])
				stored, err := w.WriteInOrder(testContext(t), b)
				b.Release()
				if from += stored; err == nil {
					break
				}
				var large *pipeline.TooLargeError
				if !errors.As(err, &large) || !slices.Equal(large.Rows, []int{stored}) {
					t.Fatalf("row %d: got %v of rows %v", from, err, large)
				}
				refused, rows[from] = append(refused, from), want[from] // what is too large becomes smaller
			}
			equal(t, "refused", refused, "[0 5 6 23]")
			end, err := c.End(testContext(t), topic)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range values(consume(t, c, topic, []int64{0}, int(end[0]))) {
				got = append(got, strings.Split(v, ",")...)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d rows a record: %d rows are there, in another order than written", joint, len(got))
			}
		}
	})
}
