package kafka_test

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/connectors/broker"
	"weir/connectors/kafka"
	"weir/schemas"
)

// restarting runs a case on a broker that can be stopped and started again.
func restarting(t *testing.T, test func(t *testing.T, addr string, stop, start func())) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		b, err := broker.Open(broker.Options{Dir: dir, Addr: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		addr := b.Addr()
		t.Cleanup(func() { b.Close() })
		test(t, addr, func() { b.Close() }, func() {
			if b, err = broker.Open(broker.Options{Dir: dir, Addr: addr}); err != nil {
				t.Error(err)
			}
		})
	})
	if os.Getenv("WEIR_TEST_KAFKA") == "" {
		return
	}
	t.Run("kafka", func(t *testing.T) {
		t.Parallel() // a broker of its own: the other tests need theirs
		dir, port := t.TempDir(), freePorts(t)
		run := func(args ...string) {
			if out, err := exec.Command("../../scripts/kafka", args...).CombinedOutput(); err != nil {
				t.Errorf("scripts/kafka %v: %v: %s", args, err, out)
			}
		}
		run("start", dir, port)
		t.Cleanup(func() { run("stop", dir, "-9") })
		test(t, "127.0.0.1:"+port, func() { run("stop", dir, "-9") }, func() { run("start", dir, port) })
	})
}

// freePorts finds two free ports in a row, below the range that systems give to clients: from there another
// test's connection could take one before Kafka is up.
func freePorts(t *testing.T) string {
	for range 100 {
		port, free := 20000+rand.IntN(10000), true
		for i := range 2 {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+i)))
			if free = free && err == nil; err == nil {
				l.Close()
			}
		}
		if free {
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no two free ports in a row")
	return ""
}

// A broker that restarts while a pipeline writes and reads makes it wait, but nothing is lost: every record
// acknowledged is there, and every one of them is finished.
func TestBrokerRestart(t *testing.T) {
	restarting(t, func(t *testing.T, addr string, stop, start func()) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 2)
		r := newConsumer(c, topic, topic).start(t)
		want := numbers("", 400)
		sent := make(chan error, 1)
		half := make(chan struct{})
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			for i, v := range want {
				if _, err := c.Produce(ctx, topic, int32(i%2), []schemas.Message{message(v)}); err != nil {
					sent <- err
					return
				}
				if i == len(want)/2 {
					close(half)
				}
			}
			sent <- nil
		}()
		receive(t, "half of the messages", half)
		stop()
		start()
		if err := receive(t, "rest of the messages", sent); err != nil {
			t.Fatal(err)
		}
		r.await(t, want)
		if took := r.end(t); took > 2*time.Second {
			t.Errorf("leaving took %v", took)
		}
		end, err := c.End(testContext(t), topic)
		if err != nil {
			t.Fatal(err)
		}
		got := values(consume(t, c, topic, []int64{0, 0}, int(end[0]+end[1])))
		seen := strings.Join(got, " ")
		for _, v := range want {
			if !strings.Contains(seen, v) {
				t.Errorf("%s was acknowledged and is lost", v)
			}
		}
	})
}
