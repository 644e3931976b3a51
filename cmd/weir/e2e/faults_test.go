package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"weir/internal/ledger"
)

// Faults are drawn from a seed, which each test prints; WEIR_FAULT_SEED replays one. WEIR_FAULTS=long draws many
// more, and some of a real Kafka's own, where Java is there to run one.
const (
	freezeFor = 5 * time.Second // longer than the workers' session: their partitions go to others
	loadStep  = 10              // queries, every loadEvery
	loadEvery = 25 * time.Millisecond
	// between two faults so many queries are answered
	progress = 200 // and all of them after a fault that is waited for
	// overcome bounds how long after a fault's end all that was asked until then is answered: a session, and the
	// 30 s after which a Kafka that has lost a transaction's marker on its way sends it again.
	overcome = 45 * time.Second
	// moreFreezes is how many more there are at most until a write was refused: a worker may have nothing in hand
	// when it is stopped, or learn of the take-over before it writes.
	moreFreezes = 3
)

func longFaults() bool { return os.Getenv("WEIR_FAULTS") == "long" }

// A mishap is a kind of fault.
type mishap string

const (
	killWorker   mishap = "kill a worker"
	freezeWorker mishap = "freeze a worker"
	addWorker    mishap = "add a worker"
	removeWorker mishap = "remove a worker"
	stopBroker   mishap = "stop the broker"
	killBroker   mishap = "kill the broker"
)

// faultCounts is how many faults of each kind a run has.
type faultCounts map[mishap]int

// without the broker's faults, for a broker that others use.
func (c faultCounts) workersOnly() faultCounts {
	out := faultCounts{}
	for f, n := range c {
		if f != stopBroker && f != killBroker {
			out[f] = n
		}
	}
	return out
}

// draw shuffles the faults.
func (c faultCounts) draw(r *rand.Rand) (plan []mishap) {
	for _, f := range []mishap{killWorker, freezeWorker, addWorker, removeWorker, stopBroker, killBroker} {
		for range c[f] {
			plan = append(plan, f)
		}
	}
	r.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	return plan
}

// seed is the one to replay, or a new one.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := rand.Uint64() >> 1
	if text := os.Getenv("WEIR_FAULT_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("WEIR_FAULT_SEED: %v", err)
		}
	}
	t.Logf("seed %d; replay with WEIR_FAULT_SEED=%[1]d go test -run '^%s$'", s, t.Name())
	return s
}

// faultLayouts say which workers run: of each kind, by their arguments, so many.
var faultLayouts = []struct {
	name  string
	edits []string
	kinds [][]string
	each  int
}{
	{"fused", nil, [][]string{nil}, 3},
	{"cut", nil, [][]string{{"--segments", "light"}, {"--segments", "heavy"}}, 1},
	{"cut and spread", []string{"layout: {cut: [heavy], spread: {heavy: 2}}"}, [][]string{nil, {"--segments", "heavy"}}, 1},
	{"in order", []string{inOrder}, [][]string{nil}, 2},
}

// Whatever dies, freezes or restarts under load: each query gets its one prediction. The ledger, which knows
// only what it sent and what it read, and `weir audit` both say so.
func TestFaults(t *testing.T) {
	short := faultCounts{killWorker: 3, freezeWorker: 1, addWorker: 1, removeWorker: 1, killBroker: 1}
	for i, l := range faultLayouts {
		short := short
		if i == 3 {
			short = faultCounts{killWorker: 2, freezeWorker: 1, killBroker: 1}
		}
		t.Run(l.name, func(t *testing.T) {
			if i == 2 && !longFaults() {
				t.Skip("only with WEIR_FAULTS=long")
			}
			t.Parallel()
			t.Run("embedded", func(t *testing.T) {
				t.Parallel()
				newFaultRun(t, embeddedBroker(t), l.edits, l.kinds, l.each).perform(t, short)
			})
			if addr := os.Getenv("WEIR_TEST_KAFKA"); addr != "" {
				t.Run("kafka", func(t *testing.T) {
					t.Parallel()
					newFaultRun(t, &faultBroker{cluster: cluster{addr}}, l.edits, l.kinds, l.each).perform(t, short.workersOnly())
				})
			}
		})
	}
}

// The long form: on a real Kafka of its own, whose process is stopped and killed too.
func TestFaultsLong(t *testing.T) {
	if !longFaults() {
		t.Skip("long faults: WEIR_FAULTS=long is not set (make test-faults)")
	}
	long := faultCounts{killWorker: 10, freezeWorker: 5, addWorker: 3, removeWorker: 3, stopBroker: 2, killBroker: 3}
	for _, l := range faultLayouts[:2] {
		t.Run(l.name, func(t *testing.T) {
			newFaultRun(t, ownKafka(t), l.edits, l.kinds, l.each).perform(t, long)
		})
	}
}

// A faultBroker is a cluster whose process can be stopped and killed; up and down are nil where it cannot.
type faultBroker struct {
	cluster
	// settles says that a fault has to wait until the group has overcome the one before: the embedded broker never
	// expels a member that died while it waited for its join's answer.
	settles bool
	down    func(t *testing.T, kill bool)
	up      func(t *testing.T)
}

func embeddedBroker(t *testing.T) *faultBroker {
	t.Helper()
	dir := t.TempDir()
	listen := func(addr string) (*process, cluster) {
		p := start(t, command("broker", "--data", dir, "--listen", addr))
		return p, cluster{p.match(t, p.out, `(?m)^(127\.0\.0\.1:\d+)$`)}
	}
	p, c := listen("127.0.0.1:0")
	return &faultBroker{
		cluster: c, settles: true,
		down: func(t *testing.T, kill bool) {
			if kill {
				p.kill(t)
			} else {
				p.stop(t)
			}
		},
		up: func(*testing.T) { p, _ = listen(c.addr) },
	}
}

// ownKafka starts a real Kafka for one test.
func ownKafka(t *testing.T) *faultBroker {
	t.Helper()
	needJava(t)
	dir, port := t.TempDir(), strconv.Itoa(freePorts(t, 2))
	b := &faultBroker{
		down: func(t *testing.T, kill bool) {
			if kill {
				kafkaScript(t, "stop", dir, "-9")
			} else {
				kafkaScript(t, "stop", dir)
			}
		},
		up: func(t *testing.T) { kafkaScript(t, "start", dir, port) },
	}
	t.Cleanup(func() { kafkaScript(t, "stop", dir, "-9") })
	b.addr = kafkaScript(t, "start", dir, port)
	return b
}

// freePorts is the first of n free ports in a row, below the range that systems give to clients.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		port, free := 20000+rand.IntN(10000), true
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return port
		}
	}
	t.Fatalf("no %d free ports in a row", n)
	return 0
}

// A faultRun is a pipeline under load while faults happen to it.
type faultRun struct {
	pipe
	broker *faultBroker
	kinds  [][]string
	each   int

	workers [][]worker // by kind
	ledger  *ledger.Ledger
	sent    int // after the load has ended
	refused float64

	stopLoad func() // returns when the last query is stored
}

func newFaultRun(t *testing.T, b *faultBroker, edits []string, kinds [][]string, each int) *faultRun {
	t.Helper()
	return &faultRun{pipe: b.toyPipe(t, edits...), broker: b, kinds: kinds, each: each, ledger: ledger.New(), workers: make([][]worker, len(kinds))}
}

// perform runs a plan of faults, and judges.
func (f *faultRun) perform(t *testing.T, counts faultCounts) {
	s := seed(t)
	r := rand.New(rand.NewPCG(s, s))
	f.launch(t)
	plan := counts.draw(r)
	for i, what := range plan {
		f.progress(t)
		began := time.Now()
		f.cause(t, r, what)
		if r.IntN(2) == 0 && !f.broker.settles { // half of the faults come while the one before is still felt
			t.Logf("%2d of %d: %s", i+1, len(plan), what)
			continue
		}
		f.recovers(t, fmt.Sprintf("%2d of %d: %s", i+1, len(plan), what), began)
	}
	for again := 0; counts[freezeWorker] > 0 && f.refused == 0 && again < moreFreezes; again++ {
		kind, i := f.owner(t, r)
		f.freeze(t, kind, i)
	}
	f.progress(t)
	f.judge(t)
	if counts[freezeWorker] > 0 && f.refused == 0 {
		t.Error("no write of a process that was frozen was refused: the freezes have shown nothing")
	}
	t.Logf("seed %d: %d faults, %d queries, %v writes of frozen workers refused", s, len(plan), f.sent, f.refused)
}

// launch starts the workers, the ledger's reader and the load.
func (f *faultRun) launch(t *testing.T) {
	t.Helper()
	for kind := range f.kinds {
		for range f.each {
			f.add(t, kind)
		}
	}
	f.ready(t)
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	t.Cleanup(func() {
		cancel()
		if err := running.Wait(); err != nil {
			t.Errorf("load: %v", err)
		}
	})
	reader := f.client(t, kgo.ConsumeTopics(f.topic("predictions")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	running.Go(func() error { f.ledger.Follow(ctx, reader); return nil })
	loading, stop := context.WithCancel(ctx)
	loaded := make(chan struct{})
	f.stopLoad = func() { stop(); <-loaded }
	client := f.client(t)
	running.Go(func() error { defer close(loaded); return f.load(loading, client) })
}

// recovers waits until all is answered that was asked until now and half a second longer, and says how long that
// is after the beginning of what had happened.
func (f *faultRun) recovers(t *testing.T, what string, began time.Time) {
	t.Helper()
	ended, all := time.Now(), f.ledger.Sum()+progress
	f.await(t, func(ctx context.Context) error { return f.ledger.AwaitFirst(ctx, all) })
	f.ready(t)
	t.Logf("%s; %v after its begin all is answered that was asked until its end", what, time.Since(began).Round(10*time.Millisecond))
	if took := time.Since(ended); took > overcome {
		t.Errorf("%s: it took %v after its end, more than %v", what, took, overcome)
	}
}

// load publishes queries at a steady rate until ctx ends. What is stored is in the ledger.
func (f *faultRun) load(ctx context.Context, client *kgo.Client) error {
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	for n := 0; ; n += loadStep {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
		results := client.ProduceSync(limit, userRecords(f.topic("queries"), n, n+loadStep)...)
		cancel()
		for _, res := range results {
			if res.Err != nil {
				return res.Err
			}
			f.ledger.Sent(string(res.Record.Key), ledger.Place{Partition: res.Record.Partition, Offset: res.Record.Offset})
			f.sent++
		}
	}
}

// ready waits until every worker has been given its partitions.
func (f *faultRun) ready(t *testing.T) {
	t.Helper()
	for _, ws := range f.workers {
		for _, w := range ws {
			w.match(t, w.log, `msg=ready`)
		}
	}
}

// progress waits until more queries are answered, whichever.
func (f *faultRun) progress(t *testing.T) {
	t.Helper()
	n := f.ledger.Answered() + progress
	f.await(t, func(ctx context.Context) error { return f.ledger.Await(ctx, n) })
}

// await waits for something of the ledger.
func (f *faultRun) await(t *testing.T, what func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := what(ctx); err != nil {
		t.Fatal(err)
	}
}

// add starts a worker of a kind, without waiting for it.
func (f *faultRun) add(t *testing.T, kind int) {
	t.Helper()
	f.workers[kind] = append(f.workers[kind], f.begin(t, append(f.kinds[kind], quick...)...))
}

// cause makes a fault happen, and sees to it that the pipeline can go on.
func (f *faultRun) cause(t *testing.T, r *rand.Rand, what mishap) {
	t.Helper()
	kind := r.IntN(len(f.kinds))
	ws := f.workers[kind]
	i := r.IntN(len(ws))
	if what == freezeWorker {
		kind, i = f.owner(t, r)
	}
	switch what {
	case killWorker:
		ws[i].kill(t)
		f.workers[kind] = append(ws[:i:i], ws[i+1:]...)
		f.add(t, kind)
	case freezeWorker:
		f.freeze(t, kind, i)
	case addWorker:
		f.add(t, kind)
	case removeWorker:
		if len(ws) == 1 {
			f.add(t, kind)
		}
		if code, _ := ws[i].stop(t); code != 0 {
			t.Errorf("%s: exit code %d", ws[i].name, code)
		}
		f.workers[kind] = append(f.workers[kind][:i:i], f.workers[kind][i+1:]...)
	case stopBroker, killBroker:
		f.broker.down(t, what == killBroker)
		f.broker.up(t)
	}
}

// freeze stops a worker for longer than its session. Others, of which there must be some, take over; when it
// wakes it goes on with what it had in hand, and its writes must be refused.
func (f *faultRun) freeze(t *testing.T, kind, i int) {
	t.Helper()
	if len(f.workers[kind]) == 1 {
		f.add(t, kind)
		w := f.workers[kind][1]
		w.match(t, w.log, `msg=ready`)
		f.progress(t)
	}
	w := f.workers[kind][i]
	w.match(t, w.log, `msg=ready`) // one that starts gives up when it finds no broker for so long
	before := w.refusals(t)
	w.signal(t, syscall.SIGSTOP)
	<-time.After(freezeFor)
	generations := strings.Count(w.log.String(), "partitions assigned")
	w.signal(t, syscall.SIGCONT)
	eventually(t, "the woken worker is in the group again", func() bool {
		return strings.Count(w.log.String(), "partitions assigned") > generations
	})
	f.refused += w.refusals(t) - before
}

// owner chooses a worker that has partitions.
func (f *faultRun) owner(t *testing.T, r *rand.Rand) (kind, i int) {
	t.Helper()
	type place struct{ kind, i int }
	var owners []place
	eventually(t, "a worker has partitions", func() bool {
		for kind, ws := range f.workers {
			for i, w := range ws {
				if _, last, ok := strings.Cut(w.log.String(), "generation="); ok {
					last = last[strings.LastIndex(last, "partitions=")+len("partitions="):]
					if !strings.HasPrefix(last, "[]") {
						owners = append(owners, place{kind, i})
					}
				}
			}
		}
		return len(owners) > 0
	})
	p := owners[r.IntN(len(owners))]
	return p.kind, p.i
}

// refusals are the worker's writes that were refused.
func (w worker) refusals(t *testing.T) (sum float64) {
	t.Helper()
	_, text := w.get(t, "/metrics")
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "weir_fenced_total{"); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.Index(rest, "}")+1:]), 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}

// judge ends the load, waits for the last answers, lets all workers go, and asks both judges.
func (f *faultRun) judge(t *testing.T) {
	t.Helper()
	f.stopLoad()
	f.await(t, func(ctx context.Context) error { return f.ledger.AwaitFirst(ctx, f.sent) })
	for _, ws := range f.workers {
		for _, w := range ws {
			if code, _ := w.stop(t); code != 0 {
				t.Errorf("%s: exit code %d", w.name, code)
			}
		}
	}
	last := ends(t, f.client(t), f.topic("predictions"), partitions)
	f.await(t, func(ctx context.Context) error { return f.ledger.AwaitRead(ctx, last) })
	right := map[string]string{}
	for i := range f.sent {
		right[toyQuery(i).id()] = toyQuery(i).label()
	}
	v := f.ledger.Verdict(func(id string, fields map[string]any) bool { return fields["label"] == right[id] })
	if !v.Clean() {
		t.Errorf("the ledger: %s", v)
	}
	f.judgeOrder(t)
	got := run(t, command("audit", f.spec, "--broker", f.addr))
	if got.code != 0 {
		t.Errorf("weir audit: code %d: %s%s", got.code, got.out, got.err)
	}
	said := strings.Join(strings.Fields(got.out), " ")
	for _, want := range []string{fmt.Sprintf("accepted %d answered %d ", f.sent, f.sent), "lost 0 twice 0 contradictory 0", "pending 0", "undecided 0"} {
		if !strings.Contains(said, want) {
			t.Errorf("weir audit says %q; want %q", said, want)
		}
	}
}
