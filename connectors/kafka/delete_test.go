package kafka_test

import (
	"errors"
	"slices"
	"testing"

	"weir/connectors/kafka"
	"weir/schemas"
)

func TestDeleteTopics(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		gone, stays := newTopic(t, c, 3), newTopic(t, c, 1)
		produce(t, c, gone, 2, "a")
		if err := c.DeleteTopics(testContext(t), []string{gone, stays + ".never"}); err != nil {
			t.Fatal(err)
		}
		_, err := c.Partitions(testContext(t), gone)
		var unknown *kafka.UnknownTopicError
		if !errors.As(err, &unknown) {
			t.Errorf("the topic is still there: %v", err)
		}
		if n, err := c.Partitions(testContext(t), stays); n != 1 || err != nil {
			t.Errorf("the other topic: %d partitions, %v", n, err)
		}
	})
}

// Whoever does not sign says nothing, nor does a header that is malformed.
func TestOriginVersion(t *testing.T) {
	for _, c := range []struct {
		header []byte
		want   uint32
		ok     bool
	}{{slices.Concat([]byte{0xac, 2}, []byte{2, 2, 0, 2}), 300, true}, {[]byte{0}, 0, true}, {[]byte{0x80}, 0, false}, {nil, 0, false}} {
		r := &schemas.Record{Headers: []schemas.Header{{Key: "other", Value: []byte{1}}, {Key: kafka.OriginHeader, Value: c.header}}}
		if got, ok := kafka.OriginVersion(r); got != c.want || ok != c.ok {
			t.Errorf("%v: got %d, %v, want %d, %v", c.header, got, ok, c.want, c.ok)
		}
	}
	if _, ok := kafka.OriginVersion(&schemas.Record{}); ok {
		t.Error("a record without headers is signed")
	}
}
