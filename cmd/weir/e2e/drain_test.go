package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// A worker that is asked to end while it works finishes what it has in hand, commits that and is gone
// within two seconds. The next one goes on where it ended: nothing is lost, nothing is answered twice.
func TestDrain(t *testing.T) {
	for _, c := range []struct {
		name    string
		workers [][]string // the first of which drains
		first   bool       // the next one is there before the first goes, as in a rolling update
		edits   []string
	}{
		{"restart", [][]string{nil}, false, nil},
		{"restart of a cut pipeline", [][]string{nil}, false, []string{"layout: {cut: [heavy]}"}},
		{"restart of a segment", [][]string{{"--segments", "heavy"}, {"--segments", "light"}}, false, nil},
		{"rolling update", [][]string{nil}, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, cl cluster) {
				p := cl.toyPipe(t, c.edits...)
				var workers []worker
				for _, args := range c.workers {
					workers = append(workers, p.work(t, args...))
				}
				got := p.predictions(t)
				flow(t, p, got, func() {
					var next worker
					if c.first {
						next = p.work(t, c.workers[0]...)
					}
					code, took := workers[0].stop(t)
					if code != 0 || took > 2*time.Second {
						t.Errorf("drained in %v, exit code %d; want 2 s at most, and 0", took, code)
					}
					t.Logf("drained in %v", took)
					if !c.first {
						next = p.work(t, c.workers[0]...)
					}
					workers[0] = next
				})
				for _, w := range workers {
					if code, _ := w.stop(t); code != 0 {
						t.Errorf("%s: exit code %d", w.name, code)
					}
				}
				checkToys(t, got.all(t), flowQueries)
				if n := got.duplicates(t); n > 0 {
					t.Errorf("%d of %d queries were answered twice", n, flowQueries)
				}
				p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)
			})
		})
	}
}

// However much is in hand, a worker is gone in time. What it could not finish the next one does.
func TestDrainWithBacklog(t *testing.T) {
	t.Parallel()
	const n = 20_000
	p := embedded(t).toyPipe(t)
	client := p.client(t)
	for i := 0; i < n; i += 2000 {
		publish(t, client, toyRecords(p.topic("queries"), i, i+2000)...)
	}
	w, got := p.work(t), p.predictions(t)
	got.await(t, 1000)
	code, took := w.stop(t)
	if code != 0 || took > 2*time.Second {
		t.Errorf("drained in %v, exit code %d; want 2 s at most, and 0", took, code)
	}
	then := len(got.all(t))
	p.work(t)
	got.await(t, n)
	checkToys(t, got.all(t), n)
	t.Logf("drained in %v with %d of %d answered; %d answered twice", took, then, n, got.duplicates(t))
}

// A worker that is asked to end before it is ready does so.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	p := c.toyPipe(t)
	for _, addr := range []string{c.addr, "127.0.0.1:1"} {
		w := pipe{cluster{addr}, p.spec, p.name}.begin(t)
		if code, took := w.stop(t); code != 0 || took > 2*time.Second || strings.Contains(w.log.String(), "weir: ") {
			t.Errorf("broker %s: ended in %v, exit code %d, %s; want 2 s at most, 0 and no complaint", addr, took, code, w.log)
		}
	}
}
