package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// replicated is the topics' line of a pipeline on three nodes: three copies, and two must have a record before it
// counts as stored.
const replicated = "topics: {partitions: 3, replication: 3}"

// A scene is what happens to a pipeline on three nodes, under load.
type scene struct {
	name   string
	layout int // of faultLayouts
	play   func(t *testing.T, f *faultRun, n *nodes, r *rand.Rand)
}

// scenes of one cluster, one after the other.
var scenes = [...]scene{
	{"leaders move", 0, leadersMove},
	{"coordinators move", 1, coordinatorsMove},
	{"a worker dies", 0, workerDies},
	{"a node dies and comes back", 1, nodeDies},
	{"rolling restart", 0, rollingRestart},
	{"two of three nodes die", 0, twoDie},
	{"members join and leave", 0, membersStorm},
	{"clients are throttled", 1, clientsThrottled},
}

// What may happen to a cluster of three nodes under load loses nothing and repeats nothing: the ledger and `weir
// audit` say so after each scene. The seed draws who it hits.
func TestFaultsOnThreeNodes(t *testing.T) {
	n := threeNodes(t)
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			l := faultLayouts[s.layout]
			drawn := seed(t)
			f := newFaultRun(t, &faultBroker{cluster: n.cluster}, append(l.edits[:len(l.edits):len(l.edits)], replicated), l.kinds, min(l.each, 2))
			f.launch(t)
			s.play(t, f, n, rand.New(rand.NewPCG(drawn, drawn)))
			f.progress(t)
			f.judge(t)
			t.Logf("%s: %d queries, seed %d", s.name, f.sent, drawn)
		})
	}
}

// rounds is how often a scene repeats what it does: more often in the long form.
func rounds(n int) int {
	if longFaults() {
		return 4 * n
	}
	return n
}

// suffer lets something happen under load and waits until it is overcome. It gives the longest time in which a
// partition brought no answers.
func (f *faultRun) suffer(t *testing.T, what string, happens func()) time.Duration {
	t.Helper()
	f.progress(t)
	f.ledger.Silence()
	began := time.Now()
	happens()
	f.recovers(t, what, began)
	silence := f.ledger.Silence().Round(10 * time.Millisecond)
	t.Logf("%s; no partition was without answers for longer than %v", what, silence)
	return silence
}

// topics are those that the workers read and write.
func (f *faultRun) topics() []string {
	topics := []string{f.topic("queries"), f.topic("predictions"), f.topic("decisions")}
	if len(f.kinds) > 1 {
		topics = append(topics, f.topic("heavy"))
	}
	return topics
}

// internal are Kafka's own topics, whose leaders are the coordinators.
var internal = [...]string{"__consumer_offsets", "__transaction_state"}

func leadersMove(t *testing.T, f *faultRun, n *nodes, r *rand.Rand) {
	for i := range rounds(2) {
		f.suffer(t, fmt.Sprintf("all leaders move (%d)", i+1), func() { n.moveLeaders(t, r, f.topics()...) })
	}
	f.suffer(t, "all leaders move again and again", func() {
		for range rounds(6) {
			n.moveLeaders(t, r, f.topics()...)
		}
	})
}

func coordinatorsMove(t *testing.T, f *faultRun, n *nodes, r *rand.Rand) {
	for i := range rounds(1) {
		f.suffer(t, fmt.Sprintf("all coordinators move (%d)", i+1), func() { n.moveLeaders(t, r, internal[:]...) })
		f.suffer(t, fmt.Sprintf("all coordinators move while a worker is replaced (%d)", i+1), func() {
			f.cause(t, r, killWorker)
			n.moveLeaders(t, r, internal[:]...)
		})
	}
	group := f.group("light")
	for _, transactions := range []bool{false, true} {
		key, what := group, "the group's coordinator dies"
		if transactions {
			key, what = group+"/0", "the transactions' coordinator dies while a worker is replaced"
		}
		n.awaitCopies(t, append(f.topics(), internal[:]...)...)
		id := n.coordinator(t, key, transactions)
		f.suffer(t, what, func() {
			if transactions {
				f.cause(t, r, killWorker)
			}
			n.down(t, id, true)
		})
		f.suffer(t, "it comes back", func() { n.up(t, id) })
	}
}

// takeOver bounds how long a dead worker's partitions bring no answers on three nodes: its session, and what the
// take-over costs.
const takeOver = 2*time.Second + 3*time.Second

func workerDies(t *testing.T, f *faultRun, _ *nodes, r *rand.Rand) {
	for i := range rounds(2) {
		silence := f.suffer(t, fmt.Sprintf("a worker dies (%d)", i+1), func() { f.cause(t, r, killWorker) })
		if silence > takeOver {
			t.Errorf("a partition was without answers for %v, want at most %v", silence, takeOver)
		}
	}
}

func nodeDies(t *testing.T, f *faultRun, n *nodes, r *rand.Rand) {
	for i := range rounds(1) {
		id := 1 + r.Int32N(nodeCount)
		n.awaitCopies(t, append(f.topics(), internal[:]...)...)
		f.suffer(t, fmt.Sprintf("node %d dies (%d)", id, i+1), func() { n.down(t, id, true) })
		f.suffer(t, fmt.Sprintf("node %d comes back", id), func() { n.up(t, id) })
	}
}

func rollingRestart(t *testing.T, f *faultRun, n *nodes, _ *rand.Rand) {
	for range rounds(1) {
		for id := int32(1); id <= nodeCount; id++ {
			n.awaitCopies(t, append(f.topics(), internal[:]...)...)
			f.suffer(t, fmt.Sprintf("node %d restarts", id), func() {
				n.down(t, id, false)
				n.up(t, id)
			})
		}
	}
}

// outage is how long two of three nodes are gone.
const outage = 4 * time.Second

// While two of three nodes are gone nothing can be stored safely, so nothing is accepted. When they are back,
// everything goes on by itself.
func twoDie(t *testing.T, f *faultRun, n *nodes, r *rand.Rand) {
	for range rounds(1) {
		ids := r.Perm(nodeCount)[:2]
		n.awaitCopies(t, append(f.topics(), internal[:]...)...)
		f.suffer(t, fmt.Sprintf("nodes %d and %d die, and come back", ids[0]+1, ids[1]+1), func() {
			for _, i := range ids {
				n.down(t, int32(i+1), true)
			}
			<-time.After(time.Second) // what was acknowledged before is told by now
			accepted := f.ledger.Sum()
			<-time.After(outage)
			if sum := f.ledger.Sum(); sum > accepted {
				t.Errorf("%d queries were accepted by one node of three", sum-accepted)
			}
			for _, i := range ids {
				n.up(t, int32(i+1))
			}
		})
	}
}

// membersStorm makes members join and leave every 300 ms. Those that stay go on meanwhile.
func membersStorm(t *testing.T, f *faultRun, _ *nodes, r *rand.Rand) {
	const every = 300 * time.Millisecond
	f.progress(t)
	f.ledger.Silence()
	began, asked, answered := time.Now(), f.ledger.Sum(), f.ledger.Answered()
	var guests []worker
	during(time.Duration(rounds(6))*time.Second, every, func() {
		if len(guests) < 2 || r.IntN(2) == 0 {
			guests = append(guests, f.begin(t, quick...))
			return
		}
		i := r.IntN(len(guests))
		if code, _ := guests[i].stop(t); code != 0 {
			t.Errorf("%s: exit code %d", guests[i].name, code)
		}
		guests = append(guests[:i], guests[i+1:]...)
	})
	asked, answered = f.ledger.Sum()-asked, f.ledger.Answered()-answered
	for _, g := range guests {
		g.stop(t)
	}
	f.recovers(t, "members join and leave every 300 ms", began)
	t.Logf("members join and leave every 300 ms: %d queries were asked meanwhile, %d answered; no partition was without answers for longer than %v",
		asked, answered, f.ledger.Silence().Round(10*time.Millisecond))
	if 2*answered < asked {
		t.Error("fewer than half were answered")
	}
}

// clientsThrottled has the brokers slow the workers down, by what they write, by what they read and by the time
// that their requests take.
func clientsThrottled(t *testing.T, f *faultRun, _ *nodes, _ *rand.Rand) {
	for _, q := range []struct {
		key   string
		limit float64
	}{{"producer_byte_rate", 10_000}, {"consumer_byte_rate", 5_000}, {"request_percentage", 1}} {
		f.suffer(t, q.key+" is limited for a while", func() {
			f.throttle(t, q.key, q.limit)
			eventually(t, "the workers fall behind", func() bool { return f.ledger.Sum()-f.ledger.Answered() > 2*progress })
			f.throttle(t, q.key, 0)
		})
	}
}
