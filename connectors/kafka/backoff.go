package kafka

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is the pause before a request is sent again: from 10 ms doubling up to 250 ms, with a quarter of
// jitter so that clients which failed together do not come back together.
type backoff struct{ next, most time.Duration }

func newBackoff() *backoff {
	return &backoff{next: 10 * time.Millisecond, most: 250 * time.Millisecond}
}

// sleep waits for the next pause, or returns the error of a context that ends before.
func (b *backoff) sleep(ctx context.Context) error {
	d := b.next - time.Duration(rand.Int64N(int64(b.next)/4+1))
	b.next = min(2*b.next, b.most)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
