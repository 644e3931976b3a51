package loadgen

import (
	"context"
	"math/rand/v2"
	"time"
)

// Poisson is a schedule of arrivals at a mean rate, with exponentially distributed gaps. The same seed
// gives the same schedule.
type Poisson struct {
	rate float64
	rnd  *rand.Rand
	at   float64 // seconds since the start
}

// NewPoisson makes a schedule of rate arrivals a second, which must be above 0.
func NewPoisson(rate float64, seed uint64) *Poisson {
	return &Poisson{rate: rate, rnd: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
}

// Next is the time of the next arrival, counted from the start of the schedule.
func (p *Poisson) Next() time.Duration {
	p.at += p.rnd.ExpFloat64() / p.rate
	return time.Duration(p.at * float64(time.Second))
}

// Pace calls send once for each arrival, at or after its intended time, and never skips one: what falls
// due while send runs is sent at once afterwards, with the time at which it should have left. It returns
// after count arrivals (0: without end), with ctx, or with send's first error. An end by ctx is no error.
func Pace(ctx context.Context, start time.Time, next func() time.Duration, count int, send func(i int, intended time.Time) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; count == 0 || i < count; i++ {
		intended := start.Add(next())
		if wait := time.Until(intended); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := send(i, intended); err != nil {
			return err
		}
	}
	return nil
}
