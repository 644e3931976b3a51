package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	brokerStart = 10 * time.Second
	// workerStart covers loading and warming up models.
	workerStart = 60 * time.Second
	// earlyDeaths in a row, before a worker was ever ready, are no accident: the demo gives up.
	earlyDeaths = 3
	pollReady   = 20 * time.Millisecond
)

// A fleet is the child processes of a demo.
type fleet struct {
	exe    string
	dir    string // logs, and the broker's data
	log    *slog.Logger
	broker *process // nil with a broker of the user's

	mu       sync.Mutex
	workers  []*process // the current child of each worker
	restarts atomic.Int64
}

// startBroker starts `weir broker` and gives its address, which it prints once it is ready.
func (f *fleet) startBroker(ctx context.Context) (string, error) {
	p, err := start("broker", f.exe, filepath.Join(f.dir, "broker.log"),
		"broker", "--data", filepath.Join(f.dir, "broker"), "--listen", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	f.broker = p
	select {
	case addr := <-p.first:
		f.log.Debug("broker started", "addr", addr, "pid", p.pid())
		return addr, nil
	case <-p.done:
		return "", fmt.Errorf("demo: %s", p.death())
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(brokerStart):
		return "", fmt.Errorf("demo: the broker was not ready within %v; its log is %s", brokerStart, p.log.Name())
	}
}

// startWorkers starts n workers and returns once all are ready. From then on watch keeps them alive.
func (f *fleet) startWorkers(ctx context.Context, n int, args []string) error {
	f.workers = make([]*process, n)
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() error { return f.startWorker(ctx, i, args) })
	}
	return g.Wait()
}

// startWorker starts worker i and waits until it is ready.
func (f *fleet) startWorker(ctx context.Context, i int, args []string) error {
	admin, err := freeAddress()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("worker-%d", i+1)
	p, err := f.launch(i, name, append(args[:len(args):len(args)], "--admin", admin))
	if err != nil {
		return err
	}
	f.log.Debug("worker started", "worker", i+1, "pid", p.pid(), "admin", admin)
	timeout := time.After(workerStart)
	poll := time.NewTicker(pollReady)
	defer poll.Stop()
	for !ready(ctx, admin) {
		select {
		case <-poll.C:
		case <-p.done:
			return fmt.Errorf("demo: %s", p.death())
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout:
			return fmt.Errorf("demo: %s was not ready within %v; its log is %s", name, workerStart, p.log.Name())
		}
	}
	return nil
}

// launch makes the worker's child known in the same step as it starts, so that stopWorkers misses none.
func (f *fleet) launch(i int, name string, args []string) (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := start(name, f.exe, filepath.Join(f.dir, name+".log"), args...)
	if err != nil {
		return nil, err
	}
	f.workers[i] = p
	return p, nil
}

// watch restarts workers that die, until ctx ends. It returns an error once the broker dies or a worker
// does not come up again.
func (f *fleet) watch(ctx context.Context, args []string) error {
	g, ctx := errgroup.WithContext(ctx)
	if f.broker != nil {
		g.Go(func() error {
			select {
			case <-f.broker.done:
				return fmt.Errorf("demo: %s", f.broker.death())
			case <-ctx.Done():
				return nil
			}
		})
	}
	for i := range f.workers {
		g.Go(func() error { return f.keepAlive(ctx, i, args) })
	}
	return g.Wait()
}

func (f *fleet) keepAlive(ctx context.Context, i int, args []string) error {
	for {
		p := f.worker(i)
		select {
		case <-ctx.Done():
			return nil
		case <-p.done:
		}
		if ctx.Err() != nil {
			return nil
		}
		f.log.Warn("a worker died and is started again", "worker", i+1, "pid", p.pid(), "death", p.death())
		if err := f.revive(ctx, i, args); err != nil {
			return err
		}
	}
}

func (f *fleet) revive(ctx context.Context, i int, args []string) error {
	var err error
	for range earlyDeaths {
		f.restarts.Add(1)
		if err = f.startWorker(ctx, i, args); err == nil || ctx.Err() != nil {
			return nil
		}
		f.log.Warn("a worker did not come up", "worker", i+1, "error", err)
	}
	return err
}

func (f *fleet) worker(i int) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.workers[i]
}

// kill ends a worker as a crash would.
func (f *fleet) kill(i int) error {
	p := f.worker(i)
	f.log.Info("killing a worker", "worker", i+1, "pid", p.pid())
	return p.signal(syscall.SIGKILL)
}

// stopWorkers drains and ends all workers, side by side. Nobody starts one any more: watch has returned.
func (f *fleet) stopWorkers() error {
	errs := make([]error, len(f.workers))
	var done sync.WaitGroup
	for i, p := range f.workers {
		if p != nil {
			done.Go(func() { errs[i] = p.stop(grace) })
		}
	}
	done.Wait()
	f.workers = nil
	return errors.Join(errs...)
}

func (f *fleet) stopBroker() error {
	if f.broker == nil {
		return nil
	}
	return f.broker.stop(grace)
}

// ready asks a worker's admin endpoint.
func ready(ctx context.Context, admin string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return false
	}
	req.Close = true // the next question goes to another process
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

// freeAddress finds a port that nobody listens on. Should somebody take it before the child does, the child
// says so and ends.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("demo: find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// dataDir gives a directory for logs and the broker's data, and what removes it again.
func dataDir(dir string) (string, func() error, error) {
	if dir != "" {
		return dir, func() error { return nil }, os.MkdirAll(dir, 0o755)
	}
	dir, err := os.MkdirTemp("", "weir-demo-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}
