package main

import (
	"log/slog"
	"sync"
	"time"
)

// limiter lets one warning through in each interval and says how many it held back, so that a broken model
// at thousands of rows a second does not bury the log.
type limiter struct {
	log   *slog.Logger
	every time.Duration

	mu   sync.Mutex
	next time.Time
	held int
}

func newLimiter(log *slog.Logger, every time.Duration) *limiter {
	return &limiter{log: log, every: every}
}

func (l *limiter) warn(message string, args ...any) {
	l.mu.Lock()
	now := time.Now()
	if now.Before(l.next) {
		l.held++
		l.mu.Unlock()
		return
	}
	held := l.held
	l.held, l.next = 0, now.Add(l.every)
	l.mu.Unlock()
	if held > 0 {
		args = append(args, "more_like_it", held)
	}
	l.log.Warn(message, args...)
}
