package kafka_test

import (
	"testing"

	"weir/connectors/kafka"
)

// Members tells who is in a group: nobody, members of a digest, nobody again.
func TestMembers(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		want := func(members int, digest string) {
			t.Helper()
			if n, d, err := c.Members(testContext(t), topic); err != nil || n != members || d != digest {
				t.Errorf("%d members, digest %q, %v; want %d, %q", n, d, err, members, digest)
			}
		}
		want(0, "")
		r := newConsumer(c, topic, topic)
		r.source.Digest = "aaaa"
		r.start(t)
		opens(t, r, 1)
		want(1, "aaaa")
		r.end(t)
		want(0, "")
	})
}
