package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin serves /metrics, /healthz and /readyz of a process.
type admin struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{}

	mu       sync.Mutex
	waiting  map[string]bool // what has to happen before the process is ready
	draining bool
}

// openAdmin listens on addr and serves until close. It is ready once ready was called for each of waitFor.
func openAdmin(addr string, m *metrics, waitFor ...string) (*admin, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin address: %w; choose another with --admin HOST:PORT, port 0 takes a free one", err)
	}
	a := &admin{listener: l, done: make(chan struct{}), waiting: map[string]bool{}}
	for _, w := range waitFor {
		a.waiting[w] = true
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(a.done)
		_ = a.server.Serve(l) // it ends when close closes it
	}()
	return a, nil
}

func (a *admin) addr() string { return a.listener.Addr().String() }

func (a *admin) readyz(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.draining:
		http.Error(w, "draining", http.StatusServiceUnavailable)
	case len(a.waiting) > 0:
		w.WriteHeader(http.StatusServiceUnavailable)
		for what := range a.waiting {
			fmt.Fprintf(w, "waiting for %s\n", what)
		}
	default:
		fmt.Fprintln(w, "ready")
	}
}

// ready ticks one of the things off that the process waits for, and says whether it was the last one.
func (a *admin) ready(what string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := len(a.waiting)
	delete(a.waiting, what)
	return was > 0 && len(a.waiting) == 0
}

// unready takes back that something has happened.
func (a *admin) unready(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting[what] = true
}

// drain makes the process unready for good.
func (a *admin) drain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draining = true
}

func (a *admin) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	err := a.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = a.server.Close()
	}
	<-a.done
	return err
}
