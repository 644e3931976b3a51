package e2e_test

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sync/errgroup"
)

const (
	// flowQueries are published while workers come and go.
	flowQueries = 4000
	// flowAhead of what was answered the publisher stays, so that there is always work in hand, however
	// fast the machine.
	flowAhead = 600
)

// quick is for workers whose death others wait for.
var quick = []string{"--session", "2s", "--heartbeat", "200ms"}

// flow publishes toy queries, at most flowAhead more than are answered, while during does something about
// the workers; then it waits until all are answered.
func flow(t *testing.T, p pipe, got *predictions, during func()) {
	t.Helper()
	client := p.client(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var publisher errgroup.Group
	publisher.Go(func() error {
		const step = 100
		for n := 0; n < flowQueries; n += step {
			if err := got.reach(ctx, n-flowAhead); err != nil {
				return err
			}
			if err := client.ProduceSync(ctx, toyRecords(p.topic("queries"), n, n+step)...).FirstErr(); err != nil {
				return err
			}
		}
		return nil
	})
	got.await(t, flowQueries/3)
	during()
	if err := publisher.Wait(); err != nil {
		t.Fatalf("publish: %v", err)
	}
	got.await(t, flowQueries)
}

// A worker that dies in the middle loses nothing and answers nothing twice: others, or the next one, answer
// what it had in hand and had not yet answered.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name    string
		workers [][]string
		again   bool // another worker takes the place of the first
		edits   []string
	}{
		{"one of two", [][]string{nil, nil}, false, nil},
		{"the only one, which comes back", [][]string{nil}, true, nil},
		{"first of two segments", [][]string{{"--segments", "light"}, {"--segments", "heavy"}}, true, nil},
		{"second of two segments", [][]string{{"--segments", "heavy"}, {"--segments", "light"}}, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, cl cluster) {
				p := cl.toyPipe(t, c.edits...)
				var workers []worker
				for _, args := range c.workers {
					workers = append(workers, p.work(t, append(args, quick...)...))
				}
				got := p.predictions(t)
				flow(t, p, got, func() {
					workers[0].kill(t)
					if c.again {
						workers[0] = p.begin(t, append(c.workers[0], quick...)...)
					} else {
						workers = workers[1:]
					}
				})
				for _, w := range workers {
					if code, _ := w.stop(t); code != 0 {
						t.Errorf("%s: exit code %d", w.name, code)
					}
				}
				checkToys(t, got.all(t), flowQueries)
				wantNoDuplicates(t, got)
			})
		})
	}
}

func wantNoDuplicates(t *testing.T, got *predictions) {
	t.Helper()
	if n := got.duplicates(t); n > 0 {
		t.Errorf("%d queries were answered twice", n)
	}
}

// What is committed is answered, once, with however much in hand a worker dies. Every image goes to the heavy
// model, which makes for seconds of work, all of it in flight.
func TestCrashWithBacklog(t *testing.T) {
	needONNX(t)
	t.Parallel()
	p := embedded(t).fashion(t, "at_least: 0.925", "at_least: 1")
	queries, client := images(t, 6000), p.client(t)
	for i := 0; i < len(queries); i += 1000 {
		publish(t, client, spread(p.topic("queries"), queries[i:i+1000])...)
	}
	w, got := p.work(t), p.predictions(t)
	eventually(t, "a commit", func() bool { return len(committed(t, client, p.group("light"), p.topic("queries"))) > 0 })
	w.kill(t)
	then := len(got.all(t))
	p.work(t)
	got.await(t, len(queries))
	t.Logf("died with %d of %d answered", then, len(queries))
	wantNoDuplicates(t, got)
}

// A worker that takes over reads at most what was written since the last commit, however much lies before.
func TestRecoveryReadsLittle(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		const before, since = 600, 60
		p := c.toyPipe(t)
		w, got, client := p.work(t), p.predictions(t), p.client(t)
		publish(t, client, toyRecords(p.topic("queries"), 0, before)...)
		got.await(t, before)
		p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)
		publish(t, client, toyRecords(p.topic("queries"), before, before+since)...)
		got.await(t, before+1)
		w.kill(t)
		heir := p.work(t)
		got.await(t, before+since)
		wantNoDuplicates(t, got)
		read := heir.metric(t, `weir_recovered_records_total{topic="`+p.topic("predictions")+`"}`)
		if read > since {
			t.Errorf("the new worker read %v predictions, and %d were written since the last commit", read, since)
		}
		t.Logf("the new worker read %v predictions of %d", read, before+since)
	})
}

// A worker dies while the broker lets its writes wait: what it had begun is not committed, and is answered by the
// next one.
func TestCrashWhileWritesWait(t *testing.T) {
	addr := os.Getenv("WEIR_TEST_KAFKA")
	if addr == "" {
		t.Skip("quotas need a real Kafka: WEIR_TEST_KAFKA=host:port is not set")
	}
	t.Parallel()
	f := newFaultRun(t, &faultBroker{cluster: cluster{addr}}, nil, faultLayouts[0].kinds, 1)
	f.launch(t)
	f.progress(t)
	f.throttle(t, "producer_byte_rate", 1_000)
	eventually(t, "the worker falls behind", func() bool { return f.ledger.Sum()-f.ledger.Answered() > 2*progress })
	f.workers[0][0].kill(t)
	f.throttle(t, "producer_byte_rate", 0)
	f.workers[0] = nil
	f.add(t, 0)
	f.stopLoad()
	f.awaitCommitted(t, f.group("light"), f.topic("queries"), partitions)
	// What has no answer now will never get one.
	last := ends(t, f.client(t), f.topic("predictions"), partitions)
	f.await(t, func(ctx context.Context) error { return f.ledger.AwaitRead(ctx, last) })
	if v := f.ledger.Verdict(nil); !v.Clean() {
		t.Fatalf("the ledger: %s", v)
	}
	f.judge(t)
}

// A broker that dies and comes back costs time only: workers try it again until it answers.
func TestBrokerCrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	listen := func(addr string) (*process, cluster) {
		b := start(t, command("broker", "--data", dir, "--listen", addr))
		return b, cluster{b.match(t, b.out, `(?m)^(127\.0\.0\.1:\d+)$`)}
	}
	b, c := listen("127.0.0.1:0")
	p := c.toyPipe(t)
	w := p.work(t)
	got := p.predictions(t)
	flow(t, p, got, func() {
		b.kill(t)
		b, _ = listen(c.addr)
	})
	// Before the stop: a worker that is told to stop while its group forms anew can commit nothing more.
	p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)
	if code, _ := w.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	checkToys(t, got.all(t), flowQueries)
	wantNoDuplicates(t, got)
	b.kill(t)
}
