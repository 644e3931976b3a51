package gpu

import (
	"errors"
	"fmt"
	"time"
)

// Options of a model's queue and batches. The zero value works.
type Options struct {
	// MaxRows bounds one device batch. Default 256.
	MaxRows int
	// MaxBytes bounds the inputs and outputs of one device batch; a single row may be larger. Default
	// 64 MiB.
	MaxBytes int
	// MaxRun bounds how long one device batch may run, by the times in Profile: so that a row which comes
	// while the device is busy does not wait longer than that. A single row may run longer. Default 0:
	// unbounded.
	MaxRun time.Duration
	// QueueRows and QueueBytes bound what is queued; callers beyond them wait for room. A call that is
	// larger than the bound enters an empty queue. Defaults 4096 rows and 256 MiB.
	QueueRows, QueueBytes int
	// Profile is how long batches take, by ascending rows. Load measures it where it is empty.
	Profile []Point
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var errs []error
	for name, v := range map[string]int{"MaxRows": o.MaxRows, "MaxBytes": o.MaxBytes,
		"MaxRun": int(o.MaxRun), "QueueRows": o.QueueRows, "QueueBytes": o.QueueBytes} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("gpu: option %s is negative", name))
		}
	}
	for i, p := range o.Profile {
		if p.Rows < 1 || p.Run < 0 || i > 0 && (p.Rows <= o.Profile[i-1].Rows || p.Run < o.Profile[i-1].Run) {
			errs = append(errs, fmt.Errorf("gpu: option Profile is not ascending at point %d", i))
		}
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	or := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	or(&o.MaxRows, 256)
	or(&o.MaxBytes, 64<<20)
	or(&o.QueueRows, 4096)
	or(&o.QueueBytes, 256<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Events carry facts outward. Each may be nil, is called from many goroutines, must be quick and must not
// call back into the Model.
type Events struct {
	// Batch is called after each run on a device, also after one that failed: its rows, how long the
	// oldest of them had waited, and how long it ran.
	Batch func(model string, rows int, wait, run time.Duration)
	// Queue is called with the rows that are queued, whenever that changes.
	Queue func(model string, rows int)
	// Retry is called before a failed batch runs once more, Failed for rows that failed for good, and
	// Expired for rows that were dropped at their deadline.
	Retry, Failed, Expired func(model string, rows int)
	// Loaded is called when a model is open, measured and ready.
	Loaded func(model, version string, took time.Duration)
}

func tell(f func(string, int), model string, rows int) {
	if f != nil {
		f(model, rows)
	}
}
