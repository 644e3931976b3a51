package pipeline

import (
	"time"

	"weir/schemas"
)

// Events carries facts outward, to metrics and logs. Every field may be nil. The funcs are called from
// many goroutines and must not block.
type Events struct {
	// Stage ran once over so many rows.
	Stage func(segment, stage string, rows int, took time.Duration)
	// Failed rows are those that a stage could not process, after halving.
	Failed func(segment, stage string, err error)
	// Ended is called for each row that left with a final status, total after its stamp.
	Ended func(segment string, status schemas.Status, reason string, total time.Duration, late bool)
	// Written rows are durable in an output: predictions, next, dead or decisions.
	Written func(segment, output string, rows int, took time.Duration)
	// Dropped rows could not be stored in decisions at any size.
	Dropped func(segment, output string, rows int)
}

func (e *Events) stage(segment, stage string, rows int, took time.Duration) {
	if e.Stage != nil {
		e.Stage(segment, stage, rows, took)
	}
}

func (e *Events) failed(segment, stage string, err error) {
	if e.Failed != nil {
		e.Failed(segment, stage, err)
	}
}

func (e *Events) ended(segment string, status schemas.Status, reason string, total time.Duration, late bool) {
	if e.Ended != nil {
		e.Ended(segment, status, reason, total, late)
	}
}

func (e *Events) written(segment, output string, rows int, took time.Duration) {
	if e.Written != nil {
		e.Written(segment, output, rows, took)
	}
}

func (e *Events) dropped(segment, output string, rows int) {
	if e.Dropped != nil {
		e.Dropped(segment, output, rows)
	}
}
