package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/cmd/weir/feed"
	"weir/connectors/kafka"
	"weir/pipeline"
)

// Alone answers queries (JSON objects) with a pipeline's last model and nothing else, and gives a label for
// each, "" where the model gave none. It tells progress how many are done.
type Alone func(ctx context.Context, specFile string, queries [][]byte, progress func(done int)) (labels []string, err error)

// Options of a run.
type Options struct {
	// SpecFile is the pipeline, Spec what it says.
	SpecFile string
	Spec     *pipeline.Spec
	// Topics are what the run needs; those that exist are left as they are.
	Topics []kafka.Topic
	// Data is the file of the rows to ask.
	Data string
	// Brokers are those of a cluster. Without any, the demo starts a broker of its own.
	Brokers []string
	// Workers is how many `weir run` the demo starts. With 0 somebody else runs them.
	Workers int
	// Rate is in queries a second, Queries their number (0: until ctx ends), Seed that of their schedule.
	Rate    float64
	Queries int
	Seed    uint64
	// Dir holds the broker's data and all logs. Default: a temporary one, removed afterwards.
	Dir string
	// KillAfter kills the first worker once, as a crash would, so long after the first query. 0: never.
	KillAfter time.Duration
	// Executable is the weir binary.
	Executable string
	// Alone measures the last model alone; nil leaves it out.
	Alone Alone
	// Terminal shows a live view. Without one a line a second is written to Lines.
	Terminal *os.File
	Lines    io.Writer
	// Level is that of the log, which goes to Log, or above the live view.
	Level slog.Level
	Log   *slog.Logger
}

// A run is one demo from start to end.
type run struct {
	Options
	rows   []Row
	books  *Collector
	fleet  *fleet
	screen screen
	client *kafka.Client
	place  atomic.Pointer[string]
	phase  atomic.Pointer[string]
	p99s   history
}

// Run performs the demo. When ctx ends, it stops publishing, waits for what is under way, and returns the
// summary as after the last query. Whenever queries were sent, the summary tells of them, beside an error
// too.
func Run(ctx context.Context, o Options) (s Summary, err error) {
	rows, err := ReadRows(o.Data)
	if err != nil {
		return s, err
	}
	dir, remove, err := dataDir(o.Dir)
	if err != nil {
		return s, fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, remove()) }()
	r := &run{
		Options: o, rows: rows,
		books: NewCollector("demo-"+strings.ToLower(rand.Text()[:8])+"-", rows),
	}
	r.say("starting")
	r.fleet = &fleet{exe: o.Executable, dir: dir}
	r.screen = r.openScreen()
	defer r.screen.close()
	r.fleet.log = r.screen.log()
	// The end of ctx is the user's wish to see the summary, which takes work of its own.
	hard := context.WithoutCancel(ctx)
	err = r.perform(hard, ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // the user ended it before there was anything to sum up
	}
	s = r.books.Summary()
	if err == nil {
		s.HeavyAlone, err = r.heavyAlone(hard)
	}
	return s, err
}

// heavyAlone is the accuracy of the last model alone, on the queries that were published: a row that was
// asked twice counts twice.
func (r *run) heavyAlone(ctx context.Context) (*float64, error) {
	published := r.books.Counts().Published
	rows := r.rows[:min(published, len(r.rows))]
	if r.Alone == nil || len(rows) == 0 || rows[0].Label == nil {
		return nil, nil
	}
	queries := make([][]byte, len(rows))
	for i, row := range rows {
		queries[i] = row.Query
	}
	progress := func(done int) { r.say(fmt.Sprintf("the last model alone: %d of %d rows", done, len(rows))) }
	progress(0)
	labels, err := r.Alone(ctx, r.SpecFile, queries, progress)
	if err != nil {
		return nil, fmt.Errorf("demo: the last model alone: %w", err)
	}
	a := round(agreement(rows, labels, published), 5)
	return &a, nil
}

// agreement is the share of right labels among published queries that went round the rows.
func agreement(rows []Row, labels []string, published int) float64 {
	right, asked := 0, 0
	for i, row := range rows {
		if row.Label == nil {
			continue
		}
		times := published / len(rows)
		if i < published%len(rows) {
			times++
		}
		asked += times
		if i < len(labels) && labels[i] == feed.Text(row.Label) {
			right += times
		}
	}
	return float64(right) / float64(max(asked, 1))
}

// say tells what the demo does now.
func (r *run) say(phase string) { r.phase.Store(&phase) }

// locate tells where it does that.
func (r *run) locate(brokers []string) {
	whose := " (its own)"
	if len(r.Brokers) > 0 {
		whose = ""
	}
	place := fmt.Sprintf("broker %s%s · %s · %.0f/s asked", strings.Join(brokers, ","), whose, plural(r.Workers, "worker"), r.Rate)
	r.place.Store(&place)
}

// look is the picture of the moment.
func (r *run) look() picture {
	now := time.Now()
	live := r.books.Live(now)
	p := picture{Title: r.Spec.Pipeline, Phase: *r.phase.Load(), Restarts: r.fleet.restarts.Load(), Live: live, P99s: r.p99s.add(now, live)}
	if place := r.place.Load(); place != nil {
		p.Place = *place
	}
	return p
}

func (r *run) openScreen() screen {
	if r.Terminal != nil {
		return newTerminal(r.Terminal, r.Level, r.look, sizeOf(r.Terminal))
	}
	return newLines(r.Lines, r.Log, r.look)
}

// history is the p99 of each past second, as far as a wide terminal shows it.
type history struct {
	mu     sync.Mutex
	last   int64
	values []time.Duration
}

func (h *history) add(now time.Time, l Live) []time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.Final > 0 && now.Unix() != h.last {
		h.last = now.Unix()
		h.values = append(h.values[max(0, len(h.values)-maxWidth):], l.P99)
	}
	return slices.Clone(h.values)
}
