package feed

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// troubleAfter is how long failures must go on before they are worth a line: a leader that moves, or a
	// poll that ends with its context, is over by then.
	troubleAfter = time.Second
	// troubleOver is how long after a failure the next one begins a new trouble.
	troubleOver = 5 * time.Second
)

// Retries returns what tells log of failures that will be tried again: once a second, and only where they do
// not pass by themselves. It may be called from many goroutines.
func Retries(log *slog.Logger) func(error) {
	var (
		mu                sync.Mutex
		since, last, told time.Time
	)
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Sub(last) > troubleOver {
			since = now
		}
		last = now
		if now.Sub(since) >= troubleAfter && now.Sub(told) >= time.Second {
			told = now
			log.Warn("trying again", "error", err)
		}
	}
}
