package demo

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// A screen shows how the run goes on.
type screen interface {
	log() *slog.Logger
	close() // takes the live view away and waits until it is gone
}

// lines writes one line a second.
type lines struct {
	logger *slog.Logger
	quit   chan struct{}
	done   sync.WaitGroup
}

// newLines starts the writing; close ends it.
func newLines(w io.Writer, logger *slog.Logger, look func() picture) *lines {
	s := &lines{logger: logger, quit: make(chan struct{})}
	s.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintln(w, oneLine(look()))
			case <-s.quit:
				return
			}
		}
	})
	return s
}

func (s *lines) log() *slog.Logger { return s.logger }

func (s *lines) close() {
	close(s.quit)
	s.done.Wait()
}

// oneLine is the picture without a terminal.
func oneLine(p picture) string {
	l := p.Live
	if l.Published == 0 {
		return p.Phase
	}
	parts := []string{
		clock(l.Elapsed),
		fmt.Sprintf("in %.0f/s", l.In), fmt.Sprintf("out %.0f/s", l.Out),
		"p50 " + latency(l.P50), "p99 " + latency(l.P99),
	}
	if len(l.ByStatus) > 0 {
		parts = append(parts, brief(l.ByStatus))
	}
	if len(l.ByModel) > 0 {
		parts = append(parts, brief(l.ByModel))
	}
	if l.Accuracy != nil {
		parts = append(parts, fmt.Sprintf("accuracy %.1f %%", 100**l.Accuracy))
	}
	parts = append(parts, fmt.Sprintf("batch %.1f", l.MeanBatch), fmt.Sprintf("in flight %d", l.InFlight))
	if p.Restarts > 0 {
		parts = append(parts, fmt.Sprintf("restarts %d", p.Restarts))
	}
	return strings.Join(parts, "  ")
}

func brief(counts map[string]int) string {
	var parts []string
	for _, s := range sorted(counts) {
		parts = append(parts, fmt.Sprintf("%s %.1f %%", s.name, 100*s.share))
	}
	return strings.Join(parts, ", ")
}
