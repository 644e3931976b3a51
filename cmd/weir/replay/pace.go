package replay

import (
	"context"
	"time"
)

// A pace says when a recorded query is due again.
type pace struct {
	speed float64 // times as fast as recorded; 0 is flat out
	began time.Time
	start time.Time // when what was stamped at began is due
}

// flatOut says that every query is due at once. Nobody waits for an answer then, so hard deadlines do not count.
func (p pace) flatOut() bool { return p.speed == 0 }

// due is the time at which a query stamped so is due. One that was stamped before the first is due at once.
func (p pace) due(stamp time.Time) time.Time {
	after := max(stamp.Sub(p.began), 0)
	return p.start.Add(time.Duration(float64(after) / p.speed))
}

// until waits until a time.
func until(ctx context.Context, due time.Time) error {
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
