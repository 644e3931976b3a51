package feed

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		tell := Retries(slog.New(slog.NewTextHandler(&b, nil)))
		fail := func(seconds float64) int {
			for range int(seconds * 10) {
				tell(errors.New("refused"))
				time.Sleep(100 * time.Millisecond)
			}
			n := strings.Count(b.String(), "trying again")
			b.Reset()
			return n
		}
		if got := fail(0.9); got != 0 {
			t.Errorf("a short trouble: got %d lines, want none", got)
		}
		time.Sleep(time.Minute)
		if got := fail(4); got != 3 {
			t.Errorf("four seconds of trouble: got %d lines, want 3", got)
		}
		time.Sleep(time.Minute)
		if got := fail(0.9); got != 0 {
			t.Errorf("a new short trouble: got %d lines, want none", got)
		}
	})
}
