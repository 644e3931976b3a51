package gpu

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// A Model answers rows with one loaded model. Its methods may be called from many goroutines.
//
// The queue holds calls, not rows: a call's buffers stay where they are until a batch is made of them, so
// queueing costs no copy. A caller who finds an instance free runs it in its own goroutine: to wake another
// one would cost more than the queue does, and would carry the rows to another core. Rows that come
// meanwhile queue, and the caller, once its own are answered, hands the instance to the goroutine which each
// instance has for that (serve). That goroutine runs whatever waits, batch after batch, until nothing does.
//
// So two things hold whenever the lock is free: while an instance is free the queue is empty, and while the
// queue is empty nobody waits for room in it.
type Model struct {
	name, version string
	sig           Signature
	opt           Options
	ev            Events
	maxRows       int // of a batch: the least of MaxRows, MaxBytes and MaxRun
	maxQueue      int // rows: the lesser of QueueRows and QueueBytes

	ctx       context.Context // of the runs: ends when the model is closed and drained
	cancel    context.CancelFunc
	instances []*batch
	serving   sync.WaitGroup
	shut      func() error
	jobs      sync.Pool

	mu      sync.Mutex
	free    []*batch  // instances that nobody runs
	drained sync.Cond // all instances are free
	queue   []*job    // calls with rows that no batch has taken yet, oldest first
	outside []*job    // calls that wait for room in the queue
	queued  int       // rows in queue
	closed  bool
}

// A job is a Call on its way. The Model's lock guards it.
type job struct {
	call  *Call
	since time.Time
	next  int           // the first row that no batch has taken
	open  int           // rows without a result
	done  chan struct{} // gets one value when open reaches 0
}

func (j *job) waiting() int { return j.call.Rows - j.next }

// NewModel puts a queue in front of instances of one model, which it owns from then on. All have the same
// signature.
func NewModel(name, version string, rts []Runtime, o Options, ev Events) *Model {
	m := &Model{name: name, version: version, sig: rts[0].Signature(), opt: o.withDefaults(), ev: ev}
	m.jobs.New = func() any { return &job{done: make(chan struct{}, 1)} }
	m.drained.L = &m.mu
	m.shut = sync.OnceValue(m.shutDown)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	row := 0
	for _, p := range slices.Concat(m.sig.Inputs, m.sig.Outputs) {
		row += p.rowBytes()
	}
	bound := func(rows, bytes int) int { return max(min(rows, bytes/max(row, 1)), 1) }
	m.maxQueue = bound(m.opt.QueueRows, m.opt.QueueBytes)
	m.maxRows = rowsWithin(m.opt.Profile, m.opt.MaxRun, bound(m.opt.MaxRows, m.opt.MaxBytes))
	for _, rt := range rts {
		b := newBatch(m, rt)
		m.instances = append(m.instances, b)
		m.serving.Go(func() { m.serve(b) })
	}
	m.free = slices.Clone(m.instances)
	return m
}

// Name of the model, as the spec calls it.
func (m *Model) Name() string { return m.name }

// Version of the model: what tells one file's content from another's.
func (m *Model) Version() string { return m.version }

// Signature lists the model's inputs and outputs.
func (m *Model) Signature() Signature { return m.sig }

// Profile is how long batches take, by ascending rows. It must not be changed.
func (m *Model) Profile() []Point { return m.opt.Profile }

// Predict answers every row of c: it returns nil once each has a Result. An error means that nothing can be
// said of the rows: ctx ended, the model is closed, or the call does not fit its signature. Whatever it
// returns, no run touches the call's buffers any more; so after ctx has ended it may still wait for a run
// that has begun.
func (m *Model) Predict(ctx context.Context, c *Call) error {
	clear(c.Results)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.check(c); err != nil || c.Rows == 0 {
		return err
	}
	j, b, err := m.enqueue(c)
	if err != nil {
		return err
	}
	defer m.forget(j)
	if b != nil {
		m.lead(ctx, b, j)
	}
	select {
	case <-j.done:
		return nil
	case <-ctx.Done():
	}
	if m.withdraw(j) {
		<-j.done
	}
	for _, r := range c.Results {
		if r.Outcome == Unfinished {
			return ctx.Err()
		}
	}
	return nil
}

// enqueue queues a call, and takes a first batch if an instance is free to run it.
func (m *Model) enqueue(c *Call) (*job, *batch, error) {
	j := m.jobs.Get().(*job)
	j.call, j.since, j.next, j.open = c, m.opt.Now(), 0, c.Rows
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, nil, ErrClosed
	}
	m.outside = append(m.outside, j)
	m.admit()
	b := m.acquire()
	if b != nil {
		m.take(b)
	}
	return j, b, nil
}

func (m *Model) forget(j *job) {
	j.call = nil
	m.jobs.Put(j)
}

// acquire returns an instance that is free, nil if none is.
func (m *Model) acquire() *batch {
	n := len(m.free)
	if n == 0 {
		return nil
	}
	b := m.free[n-1]
	m.free = m.free[:n-1]
	return b
}

// lead runs the batch that b holds and then others, until nothing is queued or the rows of own have been
// taken; with own nil only the former. Then the instance is free, or its own goroutine leads on: a caller
// should not be kept for the rows of others.
func (m *Model) lead(ctx context.Context, b *batch, own *job) {
	for {
		b.run(m.ctx)
		m.mu.Lock()
		for _, p := range b.parts {
			m.settle(p.job, p.to-p.from)
		}
		b.reset()
		if len(m.queue) == 0 {
			m.free = append(m.free, b)
			m.drained.Signal()
			m.mu.Unlock()
			return
		}
		if own != nil && (own.waiting() == 0 || ctx.Err() != nil) {
			m.mu.Unlock()
			b.handed <- struct{}{}
			return
		}
		m.take(b)
		m.mu.Unlock()
	}
}

// serve leads on one instance whenever it is handed over, until the model is closed.
func (m *Model) serve(b *batch) {
	for range b.handed {
		m.lead(m.ctx, b, nil)
	}
}

// admit lets calls into the queue while there is room, in the order in which they came.
func (m *Model) admit() {
	n := 0
	for _, j := range m.outside {
		if m.queued > 0 && m.queued+j.waiting() > m.maxQueue {
			break
		}
		m.queue = append(m.queue, j)
		m.queued += j.waiting()
		n++
	}
	if n > 0 {
		m.outside = slices.Delete(m.outside, 0, n)
	}
	tell(m.ev.Queue, m.name, m.queued)
}

// withdraw takes a job's waiting rows out of the queue. It says whether the job will be done later, as some
// of its rows are in a batch or it was done in this moment.
func (m *Model) withdraw(j *job) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.outside, j); i >= 0 {
		m.outside = slices.Delete(m.outside, i, i+1)
		m.admit()
		return false
	}
	if i := slices.Index(m.queue, j); i >= 0 {
		m.queue = slices.Delete(m.queue, i, i+1)
		m.queued -= j.waiting()
		j.open -= j.waiting()
		m.admit()
		return j.open > 0
	}
	return true
}

// take moves rows from the head of the queue into b. Rows whose deadline has passed end here and never
// reach the device.
func (m *Model) take(b *batch) {
	now := m.opt.Now()
	limit, expired := m.share(), 0
	for len(m.queue) > 0 && b.rows < limit {
		j := m.queue[0]
		before := j.waiting()
		n := b.takeFrom(j, limit, now)
		expired += n
		m.queued -= before - j.waiting()
		if j.waiting() == 0 {
			m.queue = slices.Delete(m.queue, 0, 1)
		}
		m.settle(j, n)
	}
	if expired > 0 {
		tell(m.ev.Expired, m.name, expired)
	}
	m.admit()
	if len(m.queue) > 0 {
		if other := m.acquire(); other != nil {
			other.handed <- struct{}{}
		}
	}
}

// share is how many rows a batch may take now. With other instances free, rows are shared with them where
// that ends sooner by clearly more than it costs to wake a goroutine, which is some microseconds; a device
// on which a full batch costs as much as half of one keeps its full batches.
func (m *Model) share() int {
	n := min(m.queued, m.maxRows)
	part := (n + len(m.free)) / (len(m.free) + 1)
	if runTime(m.opt.Profile, n)-runTime(m.opt.Profile, part) > 200*time.Microsecond {
		return part
	}
	return m.maxRows
}

// settle counts n more of a job's rows as done. Its caller may have the job again at once, for another
// call: nothing may touch j after its last row is settled. The lock is held.
func (m *Model) settle(j *job, n int) {
	if j.open -= n; j.open == 0 && n > 0 {
		j.done <- struct{}{}
	}
}

// Close lets the calls that are in hand finish, refuses others, joins its goroutines and closes the runtimes.
func (m *Model) Close() error { return m.shut() }

func (m *Model) shutDown() error {
	m.mu.Lock()
	m.closed = true
	for len(m.free) < len(m.instances) {
		m.drained.Wait()
	}
	m.mu.Unlock()
	var errs []error
	for _, b := range m.instances {
		close(b.handed)
	}
	m.serving.Wait()
	m.cancel()
	for _, b := range m.instances {
		errs = append(errs, b.rt.Close())
	}
	return errors.Join(errs...)
}
