package drivertest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"weir/connectors/kafka/driver"
)

// endCases are what the contract says of how requests end.
func endCases(t *testing.T, w *world) {
	t.Run("Close ends requests in flight", func(t *testing.T) { closes(t, w) })
	t.Run("a broker that hangs", func(t *testing.T) { hangs(t, w) })
	t.Run("a broker that is not there", func(t *testing.T) { isGone(t, w) })
}

// requests are one of each method that any broker can be asked.
func requests(t testing.TB, c driver.Cluster) map[string]func(context.Context) error {
	place := driver.Place{Topic: "t"}
	return map[string]func(context.Context) error{
		"Metadata": func(ctx context.Context) error {
			_, err := c.Metadata(ctx, driver.AnyBroker, []string{"t"})
			return err
		},
		"CreateTopics": func(ctx context.Context) error {
			_, err := c.CreateTopics(ctx, driver.AnyBroker, []driver.NewTopic{{Name: "t", Partitions: 1, Replication: 1}})
			return err
		},
		"DeleteTopics": func(ctx context.Context) error {
			_, err := c.DeleteTopics(ctx, driver.AnyBroker, []string{"t"})
			return err
		},
		"Fetch": func(ctx context.Context) error {
			_, err := c.Fetch(ctx, driver.AnyBroker, driver.Fetch{Topic: "t", Partitions: []driver.FetchPartition{{}}})
			return err
		},
		"Produce": func(ctx context.Context) error {
			_, err := c.Produce(ctx, driver.AnyBroker, []driver.Batch{{Place: place, Raw: encode(batch{values: []string{"x"}})}})
			return err
		},
		"Offsets": func(ctx context.Context) error {
			_, err := c.Offsets(ctx, driver.AnyBroker, driver.OffsetQuery{Topic: "t", Partitions: []int32{0}})
			return err
		},
		"Offsets of a broker": func(ctx context.Context) error {
			_, err := c.Offsets(ctx, 1, driver.OffsetQuery{Topic: "t", Partitions: []int32{0}})
			return err
		},
		"Committed": func(ctx context.Context) error {
			_, err := c.Committed(ctx, "g", "t", []int32{0})
			return err
		},
		"Commit": func(ctx context.Context) error {
			_, err := c.Commit(ctx, driver.Commit{Group: "g", Topic: "t", Generation: -1, Places: map[int32]driver.Committed{0: {}}})
			return err
		},
		"Members": func(ctx context.Context) error {
			_, _, err := c.Members(ctx, "g")
			return err
		},
		"Identify": func(ctx context.Context) error {
			_, err := c.Identify(ctx, "n", 1000, driver.NoIdentity())
			return err
		},
		"AddPartitions": func(ctx context.Context) error {
			return c.AddPartitions(ctx, "n", driver.Identity{ID: 1}, []driver.Place{place})
		},
		"EndTransaction": func(ctx context.Context) error {
			return c.EndTransaction(ctx, "n", driver.Identity{ID: 1})
		},
		"Next": func(ctx context.Context) error {
			g, err := c.Join((&member{t: t}).options("g", "t"))
			if err != nil {
				return err
			}
			defer func() {
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
				defer cancel()
				g.Leave(ctx)
			}()
			gen, err := g.Next(ctx)
			if err == nil {
				gen.Release()
			}
			return err
		},
	}
}

// closes waits in fetches. Close ends them, and later requests at once.
func closes(t *testing.T, w *world) {
	outside := w.dial(t)
	topic := outside.topic(1)
	leader := outside.leader(topic)
	l := &line{}
	o := w.options()
	o.Dialer = l.dial
	c := must[driver.Cluster](t)(w.open(o))
	ended := make(chan error, 3)
	for range cap(ended) {
		go func() {
			_, err := c.Fetch(testContext(t), leader, driver.Fetch{Topic: topic, Wait: int32(patience.Milliseconds()), MaxBytes: 1 << 20,
				Partitions: []driver.FetchPartition{{MaxBytes: 1 << 20}}})
			ended <- err
		}()
	}
	eventually(t, "a connection for each fetch", func(context.Context) bool { return l.opened() >= cap(ended) })
	within(t, "closing", soon, func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for range cap(ended) {
			if receive(t, "end of a fetch", ended) == nil {
				t.Error("a fetch succeeded without an answer")
			}
		}
	})
	within(t, "requests of a closed cluster", soon, func() {
		for name, request := range requests(t, c) {
			if request(testContext(t)) == nil {
				t.Errorf("%s of a closed cluster succeeded", name)
			}
		}
	})
}

// hangs asks a broker that takes connections and never answers.
func hangs(t *testing.T, w *world) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var taken sync.WaitGroup
	taken.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); taken.Wait() })
	c := (&world{open: w.open, addr: l.Addr().String()}).dial(t)
	for name, request := range requests(t, c) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
			defer cancel()
			within(t, name, soon, func() {
				if request(ctx) == nil {
					t.Error("no error")
				}
			})
		})
	}
}

// isGone asks where nobody listens: that is no broker's Code, but the network's, or ours for a broker of a number.
func isGone(t *testing.T, w *world) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c := (&world{open: w.open, addr: addr}).dial(t)
	for name, request := range requests(t, c) {
		err := request(testContext(t))
		var code driver.Code
		if err == nil || errors.As(err, &code) && code != driver.BrokerNotAvailable {
			t.Errorf("%s: got %v, want the network's error", name, err)
		}
	}
}
