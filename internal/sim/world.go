package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Faults are mutations of the recovery, to see that the judge finds them.
type Faults struct {
	NoMarkers   bool // a take-over raises the epoch and writes no markers
	TrustSelf   bool // a take-over does not say which epoch it believes to have when it asks for the second
	ScanNothing bool // a new owner does not look for what its predecessor wrote
	CommitEarly bool // what was begun is committed, not what is finished
	NoOrder     bool // in a world that keeps order: answers overtake each other
}

// A World is a pipeline of two segments, light and heavy, with a topic between them, and its misfortunes.
type World struct {
	Log     *Log
	Queries int64
	Faults  Faults
	// InOrder makes it a pipeline of one segment, with the stages of both, that keeps the order of each key.
	InOrder bool

	mu      sync.Mutex
	rng     *rand.Rand
	network sync.WaitGroup
	over    bool // no more misfortunes: processes run to the end

	// moving changes the threshold with every process. A decision that was lost is then run again on another
	// version than its prediction, and may be lost for good; it must not be wrong.
	moving   bool
	versions map[int64]bool // queries that met a process of another version than the one that answered them
}

// NewWorld has so many queries on its topic. In worlds of an even seed the threshold moves.
func NewWorld(seed uint64, queries int64, faults Faults) *World {
	w := &World{Log: NewLog(), Queries: queries, Faults: faults, rng: rand.New(rand.NewPCG(seed, 1)),
		moving: seed%2 == 0, versions: map[int64]bool{}}
	for i := range queries {
		_ = w.Log.append("queries", "user", record{rows: []Row{{Offset: i, X: int64(w.intn(100))}}})
	}
	return w
}

func (w *World) intn(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// delay is mostly short and sometimes long.
func (w *World) delay() time.Duration {
	d := time.Duration(w.intn(1000)) * time.Microsecond
	if w.intn(20) == 0 {
		d *= 20
	}
	return d
}

func (w *World) moved(query int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.versions[query] = true
}

func pause(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}

// Run lets processes of both segments live through misfortunes, then run to the end.
func (w *World) Run(ctx context.Context, misfortunes int) {
	var segments sync.WaitGroup
	names := []string{"light", "heavy"}
	if w.InOrder {
		names = names[:1]
	}
	for _, segment := range names {
		segments.Go(func() { w.live(ctx, segment, misfortunes) })
	}
	segments.Wait()
	w.network.Wait()
}

// live starts one process after the other; each is killed, or frozen and woken when its successor is at work.
func (w *World) live(ctx context.Context, segment string, misfortunes int) {
	var all sync.WaitGroup
	defer all.Wait()
	for range misfortunes {
		p := w.process(segment)
		life, kill := context.WithCancel(ctx)
		defer kill()
		ended := make(chan struct{})
		all.Go(func() {
			defer close(ended)
			p.run(life)
		})
		pause(time.Duration(w.intn(60)) * time.Millisecond)
		if w.intn(2) == 0 {
			kill()
			if w.intn(2) == 0 {
				<-ended // else its successor begins while writes of the dead one are still on their way
			}
			continue
		}
		p.freeze()
		all.Go(func() {
			pause(time.Duration(w.intn(200)) * time.Millisecond)
			p.wake()
			pause(time.Duration(w.intn(50)) * time.Millisecond)
			kill()
		})
	}
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	for { // one that wakes late may still take the partition over from the last, once
		last := w.process(segment)
		if last.run(ctx); w.done(last) {
			return
		}
	}
}

func (w *World) process(segment string) *process {
	p := &process{world: w, log: w.Log, faults: w.Faults, segment: segment, group: "group." + segment, in: "queries",
		outs: []string{"predictions", "next", "decisions"}, threshold: 50}
	if w.moving {
		p.threshold = int64(20 + w.intn(60))
	}
	if segment == "heavy" {
		p.in = "next"
	}
	if segment == "heavy" || w.InOrder {
		p.outs[1] = ""
	}
	return p
}

// done says whether a process has nothing left to do: its input will not grow and is committed.
func (w *World) done(p *process) bool {
	w.mu.Lock()
	over := w.over
	w.mu.Unlock()
	if !over {
		return false
	}
	if p.segment == "light" {
		return w.Log.committed(p.group) >= w.Queries
	}
	return w.Log.committed("group.light") >= w.Queries && w.Log.committed(p.group) >= w.Log.end("next")
}

// Verdict is what the judge finds.
type Verdict struct {
	Lost, Twice, Undecided, Contradictory []int64 // offsets of queries
	Disordered                            []int64 // in worlds that keep order
}

// Clean says that each query has one prediction and its decision.
func (v Verdict) Clean() bool {
	return len(v.Lost)+len(v.Twice)+len(v.Undecided)+len(v.Contradictory)+len(v.Disordered) == 0
}

// String lists what is wrong.
func (v Verdict) String() string {
	return fmt.Sprintf("lost %v, twice %v, undecided %v, contradictory %v, disordered %v",
		v.Lost, v.Twice, v.Undecided, v.Contradictory, v.Disordered)
}

// Judge reads the topics as a user would.
func (w *World) Judge() Verdict {
	predictions, decisions := map[int64][]Row{}, map[int64][]Row{}
	for topic, rows := range map[string]map[int64][]Row{"predictions": predictions, "decisions": decisions} {
		for _, r := range w.Log.read(topic, 0) {
			for _, row := range r.rows {
				rows[row.Offset] = append(rows[row.Offset], row)
			}
		}
	}
	var v Verdict
	if w.InOrder {
		v.Disordered = w.disorder()
	}
	for o := range w.Queries {
		switch len(predictions[o]) {
		case 0:
			v.Lost = append(v.Lost, o)
			continue
		case 1:
		default:
			v.Twice = append(v.Twice, o)
		}
		valid := 0
		for _, d := range decisions[o] {
			if p := predictions[o][0]; d.Epoch == p.Epoch && d.Writer == p.Writer && d.By == p.By {
				valid++
			}
		}
		switch {
		case valid == 0 && !w.versions[o]:
			v.Undecided = append(v.Undecided, o)
		case valid > 1:
			v.Contradictory = append(v.Contradictory, o)
		}
	}
	return v
}

// disorder gives the queries whose prediction lies behind that of a later query of their key.
func (w *World) disorder() (queries []int64) {
	latest := map[int64]int64{}
	for _, r := range w.Log.read("predictions", 0) {
		for _, row := range r.rows {
			last, ok := latest[row.key()]
			if ok && row.Offset < last {
				queries = append(queries, row.Offset)
			}
			latest[row.key()] = max(last, row.Offset)
		}
	}
	return queries
}
