package e2e_test

import (
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A lower threshold, with which the light model answers everything.
const eager = "  - gate: {name: first, score: max_probability, at_least: 0.4}"

// version is another spec of the same pipeline, beside the first: lines of edits take the place of those with the
// same key, or the spec's end.
func (p pipe) version(t *testing.T, edits ...string) pipe {
	t.Helper()
	text, err := os.ReadFile(p.spec)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, e := range edits {
		key, _, _ := strings.Cut(e, ":")
		if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, key+":") }); i >= 0 {
			lines[i] = e
		} else {
			lines = append(lines, e)
		}
	}
	p.spec = filepath.Join(filepath.Dir(p.spec), strings.ToLower(uniqueName())+".yaml")
	writeFile(t, p.spec, strings.Join(lines, "\n")+"\n")
	return p
}

// underLoad publishes and keeps the ledger while during replaces versions, and has the ledger judge. during gives the
// workers that run at its end.
func underLoad(t *testing.T, c cluster, edits []string, during func(f *faultRun) []worker) *faultRun {
	t.Helper()
	f := newFaultRun(t, &faultBroker{cluster: c}, edits, nil, 0)
	f.launch(t)
	f.workers = [][]worker{during(f)}
	f.progress(t)
	f.judge(t)
	return f
}

func wantGone(t *testing.T, ws ...worker) {
	t.Helper()
	for _, w := range ws {
		if code := w.wait(t); code != 0 {
			t.Errorf("%s: exit code %d after it was replaced, want 0", w.name, code)
		}
	}
}

// wantReady waits until /readyz answers with a code.
func wantReady(t *testing.T, w worker, code int) {
	t.Helper()
	eventually(t, w.name+" is ready, or is not", func() bool {
		got, _ := w.get(t, "/readyz")
		return got == code
	})
}

// wantOut fails if a worker has ever been in its group.
func wantOut(t *testing.T, w worker) {
	t.Helper()
	if log := w.log.String(); strings.Contains(log, "partitions assigned") {
		t.Errorf("%s is in the group:\n%s", w.name, log)
	}
}

// One version replaces another under load: nothing is lost or answered twice. The old one exits, stays out when it is
// started again, even while no member of the new one runs, and comes back only when it is told whom to replace.
func TestReplace(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		f := underLoad(t, c, nil, func(f *faultRun) []worker {
			old := []worker{f.work(t, quick...), f.work(t, quick...)}
			f.progress(t)
			next := f.version(t, eager)
			fresh := next.work(t, append(quick, "--replace")...)
			wantGone(t, old...)
			fresh.match(t, fresh.log, `partitions assigned.*partitions="\[0 1 2\]`)
			f.progress(t)

			var back []worker // as a supervisor starts them again
			for _, args := range [][]string{nil, {"--replace"}} {
				w := f.begin(t, append(args, quick...)...)
				w.match(t, w.log, `replaced by another version at .*--replace=1`)
				wantReady(t, w, http.StatusServiceUnavailable)
				back = append(back, w)
			}
			second := next.work(t, quick...) // a rolling update of the new version
			if code, _ := fresh.stop(t); code != 0 {
				t.Errorf("%s: exit code %d", fresh.name, code)
			}
			f.progress(t)
			second.kill(t)
			third := next.work(t, quick...)
			f.progress(t)
			for _, w := range back {
				wantOut(t, w)
				if code, _ := w.stop(t); code != 0 {
					t.Errorf("%s: exit code %d", w.name, code)
				}
			}
			again := f.work(t, append(quick, "--replace=1")...)
			wantGone(t, third)
			again.match(t, again.log, `partitions assigned`)
			return []worker{again}
		})
		byNew := 0
		for _, some := range f.predictions(t).all(t) {
			n, err := strconv.Atoi(strings.TrimPrefix(some[0].QueryID, "toy-"))
			if err != nil {
				t.Fatal(err)
			}
			if some[0].Model == "light" && toyQuery(n).model() == "heavy" {
				byNew++
			}
		}
		if byNew == 0 {
			t.Error("the new version has answered nothing")
		}
	})
}

// A new version without --replace waits, ready, and says what helps; it takes over when the old one has left.
func TestNewcomerWaits(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.toyPipe(t)
		old := p.work(t)
		fresh := p.version(t, eager).work(t)
		fresh.match(t, fresh.log, `another version of the pipeline runs; .*remedy="[^"]*--replace`)
		wantReady(t, fresh, http.StatusOK)
		wantOut(t, fresh)
		if code, _ := old.stop(t); code != 0 {
			t.Errorf("%s: exit code %d", old.name, code)
		}
		fresh.match(t, fresh.log, `partitions assigned.*partitions="\[0 1 2\]`)
		got := p.predictions(t)
		publish(t, p.client(t), toyRecords(p.topic("queries"), 0, 30)...)
		got.await(t, 30)
	})
}

// Where a new layout has a topic no longer, what lies in it is answered before the new version begins.
func TestReplaceDrainsCutTopics(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		t.Run("one process", func(t *testing.T) {
			t.Parallel()
			underLoad(t, c, []string{"layout: {cut: [heavy]}"}, func(f *faultRun) []worker {
				old := f.work(t, quick...)
				f.progress(t)
				fresh := f.version(t, "layout: fused").work(t, append(quick, "--replace")...)
				wantGone(t, old)
				fresh.match(t, fresh.log, `partitions assigned`)
				return []worker{fresh}
			})
		})
		t.Run("rows left", func(t *testing.T) {
			t.Parallel()
			underLoad(t, c, nil, func(f *faultRun) []worker {
				light := f.work(t, append(quick, "--segments", "light")...)
				first := f.work(t, append(quick, "--segments", "heavy")...)
				f.progress(t)
				first.kill(t)
				f.progress(t) // and rows gather
				fresh := f.version(t, eager).begin(t, append(quick, "--replace")...)
				wantGone(t, light)
				fresh.match(t, fresh.log, `rows lie in the topic of the old segment heavy.*--segments heavy.*topic=\S+\.heavy records=[1-9]`)
				wantReady(t, fresh, http.StatusServiceUnavailable)
				wantOut(t, fresh)
				heavy := f.work(t, append(quick, "--segments", "heavy")...)
				wantGone(t, heavy)
				fresh.match(t, fresh.log, `partitions assigned`)
				heavy = f.begin(t, append(quick, "--segments", "heavy")...)
				heavy.match(t, heavy.log, `replaced by another version`)
				f.progress(t)
				wantOut(t, heavy)
				return []worker{fresh, heavy}
			})
		})
		t.Run("to a cut", func(t *testing.T) {
			t.Parallel()
			underLoad(t, c, nil, func(f *faultRun) []worker {
				old := f.work(t, quick...)
				f.progress(t)
				cut := f.version(t, "layout: {cut: [heavy]}")
				fresh := cut.work(t, append(quick, "--replace")...)
				wantGone(t, old)
				fresh.match(t, fresh.log, `partitions assigned.*segment=light`)
				f.progress(t)
				// The heavy segment stays as it is; only the first gets another threshold.
				other := cut.version(t, "  - gate: {name: first, score: max_probability, at_least: 0.95}").work(t, append(quick, "--replace")...)
				wantGone(t, fresh)
				return []worker{other}
			})
		})
	})
}

// An old layout's process dies while it drains. What its second segment answered of rows whose first segment had not
// committed them, the new version, in which both are one, does not answer again.
func TestReplaceAfterCrash(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.toyPipe(t, "layout: {cut: [heavy]}")
		got := p.predictions(t)
		old := p.work(t, quick...)
		fused := p.version(t, "layout: fused")
		var fresh, back worker
		flow(t, p, got, func() {
			old.kill(t)
			fresh = fused.begin(t, append(quick, "--replace")...)
			fresh.match(t, fresh.log, `waiting`)
			back = p.begin(t, quick...)
			fresh.match(t, fresh.log, `partitions assigned`)
		})
		for _, w := range []worker{fresh, back} {
			if code, _ := w.stop(t); code != 0 {
				t.Errorf("%s: exit code %d", w.name, code)
			}
		}
		checkToys(t, got.all(t), flowQueries)
		wantNoDuplicates(t, got)
	})
}

// A pipeline that was fused for longer than its topics are kept is cut again, while queries wait. What its second
// segment and the topic before that held, and how far they had come, is from before.
func TestCutAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		const lot = 300
		p := c.toyPipe(t, "layout: {cut: [heavy]}")
		client, got := p.client(t), p.predictions(t)
		ask := func(i int) { publish(t, client, toyRecords(p.topic("queries"), i*lot, (i+1)*lot)...) }
		p.work(t, quick...)
		ask(0)
		got.await(t, lot)
		fused := p.version(t, "layout: fused").work(t, append(quick, "--replace")...)
		ask(1)
		got.await(t, 2*lot)
		p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)
		if code, _ := fused.stop(t); code != 0 {
			t.Errorf("%s: exit code %d", fused.name, code)
		}
		for _, use := range []string{"heavy", "predictions", "decisions"} {
			least := int64(math.MaxInt64)
			for _, end := range ends(t, client, p.topic(use), partitions) {
				least = min(least, end)
			}
			c.deleteBefore(t, p.topic(use), least)
		}
		ask(2)
		p.work(t, append(quick, "--replace=1")...)
		got.await(t, 3*lot)
		wantNoDuplicates(t, got)
	})
}

// A first segment of another name would begin anew: that is refused, and says so.
func TestRenamedSegment(t *testing.T) {
	t.Parallel()
	p := embedded(t).toyPipe(t)
	old, answers := p.work(t), p.predictions(t)
	publish(t, p.client(t), toyRecords(p.topic("queries"), 0, 30)...)
	answers.await(t, 30)
	old.stop(t)
	got := run(t, command("run", p.version(t, "  - segment: first").spec, "--broker", p.addr, "--admin", "127.0.0.1:0"))
	for _, want := range []string{"keep the segment's name", p.group("light"), "--accept-duplicates"} {
		if got.code != 1 || !strings.Contains(got.err, want) {
			t.Errorf("code %d, %s; want 1 and %q", got.code, got.err, want)
		}
	}
}
