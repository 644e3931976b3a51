package demo

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/cmd/weir/feed"
	"weir/internal/loadgen"
)

// A Collector keeps the books of one run: what was sent, what came back, how long it took. It reads no
// clock; the moments come from its callers.
//
// A run without end must not fill the memory: only queries in flight have an entry, and one bit a query
// remembers which are answered, to tell duplicates from strangers.
type Collector struct {
	rows   []Row
	prefix string

	mu       sync.Mutex
	inFlight map[int]time.Time // by number: the intended time
	sent     int
	answered bits
	frozen   bool
	settled  chan struct{} // closed once sending has ended and nothing is in flight

	totals    Totals
	correct   int
	labelled  int
	modelRows float64
	modelRuns float64
	latency   *loadgen.Latencies
	windows   windows
	first     time.Time // the first intended time
	last      time.Time // the last final prediction
}

// Totals are the counts of a run. Lost is known only once the collector was frozen.
type Totals struct {
	Published, Final, Lost, Duplicates, Late int
	ByStatus, ByModel                        map[string]int
}

// NewCollector makes the books of a run whose query ids begin with prefix. Query n asks row n modulo the
// number of rows.
func NewCollector(prefix string, rows []Row) *Collector {
	return &Collector{
		rows: rows, prefix: prefix,
		inFlight: map[int]time.Time{},
		totals:   Totals{ByStatus: map[string]int{}, ByModel: map[string]int{}},
		latency:  loadgen.NewLatencies(),
	}
}

// ID is the id of query n.
func (c *Collector) ID(n int) string { return c.prefix + strconv.Itoa(n) }

// Row is what query n asks.
func (c *Collector) Row(n int) Row { return c.rows[n%len(c.rows)] }

// Sent notes that the next query is about to be published, and gives its number. It comes before the
// publishing itself: the answer may be faster than the broker's acknowledgement.
func (c *Collector) Sent(intended time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.sent
	c.sent++
	c.totals.Published++
	c.inFlight[n] = intended
	if n == 0 {
		c.first, c.last = intended, intended
	}
	c.windows.at(intended).in++
	return n
}

// Final takes a prediction that was decoded at now. It gives the query's number, and false for one that is
// not the first of its query: a duplicate, a stranger, or too late to count.
func (c *Collector) Final(p Prediction, now time.Time) (int, bool) {
	digits, ours := strings.CutPrefix(p.QueryID, c.prefix)
	n, err := strconv.Atoi(digits)
	if !ours || err != nil || n < 0 {
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered.has(n) {
		c.totals.Duplicates++
		return n, false
	}
	intended, open := c.inFlight[n]
	if !open || c.frozen {
		return n, false
	}
	delete(c.inFlight, n)
	c.answered.set(n)
	c.count(n, p)
	c.time(now.Sub(intended), now)
	c.settle()
	return n, true
}

func (c *Collector) count(n int, p Prediction) {
	c.totals.Final++
	c.totals.ByStatus[p.Status]++
	if p.Model != "" {
		c.totals.ByModel[p.Model]++
	}
	if p.Late {
		c.totals.Late++
	}
	if truth := c.Row(n).Label; truth != nil {
		c.labelled++
		if p.Status == "answered" && feed.Text(p.Label) == feed.Text(truth) {
			c.correct++
		}
	}
	// A device run of b rows shows up in b predictions, each of which accounts for 1/b of it.
	for _, s := range p.Trace.Stages {
		if s.Batch > 0 {
			c.modelRows++
			c.modelRuns += 1 / float64(s.Batch)
		}
	}
}

func (c *Collector) time(latency time.Duration, now time.Time) {
	c.latency.Record(latency)
	w := c.windows.at(now)
	w.out++
	w.latency.Record(latency)
	c.last = now
}

// Stop says that no further query will be sent. The channel closes once none is in flight.
func (c *Collector) Stop() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled == nil {
		c.settled = make(chan struct{})
		c.settle()
	}
	return c.settled
}

func (c *Collector) settle() {
	if c.settled != nil && len(c.inFlight) == 0 && !c.frozen {
		c.frozen = true
		close(c.settled)
	}
}

// Freeze declares lost what is still in flight. Later answers of those queries do not count, duplicates of
// the others still do.
func (c *Collector) Freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = true
	c.totals.Lost = len(c.inFlight)
}

// Counts gives the totals so far.
func (c *Collector) Counts() Totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.copyTotals()
}

func (c *Collector) copyTotals() Totals {
	t := c.totals
	t.ByStatus, t.ByModel = maps.Clone(t.ByStatus), maps.Clone(t.ByModel)
	return t
}

// accuracy is nil where no final prediction's truth is known.
func (c *Collector) accuracy() *float64 {
	if c.labelled == 0 {
		return nil
	}
	a := float64(c.correct) / float64(c.labelled)
	return &a
}

func (c *Collector) meanBatch() float64 {
	if c.modelRuns == 0 {
		return 0
	}
	return c.modelRows / c.modelRuns
}

// bits is a set of small numbers.
type bits []uint64

func (b bits) has(n int) bool { return n/64 < len(b) && b[n/64]&(1<<(n%64)) != 0 }

func (b *bits) set(n int) {
	for len(*b) <= n/64 {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}
