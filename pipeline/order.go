package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// A line keeps the rows of each key of a partition in order: a row is written once the row of its key before
// it is stored. Each row with a key takes a place behind the last one of that key, when its delivery begins,
// and leaves it when it is stored; rows without a key have no place and never wait.
//
// To write a row as soon as the one before it has been handed to the writer would be quicker by a round trip,
// but what was handed over may be refused for its size, and is then written again, smaller, behind the other.
//
// It cannot deadlock. Deliveries take their places in the order of the source, so a row waits for rows of
// earlier deliveries, or for earlier rows of its own, and never for a later one, which the bound on deliveries
// in flight may keep from beginning. Stages wait for nobody's writes. So the first row of those that are not
// stored waits for its stages and its write alone, and by induction every row leaves. The places in memory
// are those of the rows in flight: a place forgets the one before it once that was left.
type line struct {
	mu      sync.Mutex
	changed chan struct{}     // closed and replaced when a delivery has entered, a row has left, or one has failed
	entered int64             // Next of the delivery that entered last
	last    map[string]*place // of each key, while it is held
	turns   int
	err     error // of a delivery whose rows will never leave
}

// place is a row's place in the line.
type place struct {
	offset int64
	row    int32
	keyed  bool
	taken  bool // by rows that have ended
	left   bool
	turn   int    // in which it is written, 0 before
	key    string // "" once it has left
	before *place // nil: none, or it has left
}

func newLine() *line {
	return &line{changed: make(chan struct{}), last: map[string]*place{}}
}

// tell wakes all who wait. The caller holds l.mu.
func (l *line) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// until waits until a condition holds, which is looked at under the lock.
func (l *line) until(ctx context.Context, holds func() bool) error {
	for {
		l.mu.Lock()
		err, done, changed := l.err, holds(), l.changed
		l.mu.Unlock()
		switch {
		case err != nil:
			return err
		case done:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enter takes the places of a delivery's rows, behind those of the delivery that ends at after.
func (l *line) enter(ctx context.Context, after, next int64, rows arrow.Record) ([]place, error) {
	offsets, row, err := identity(rows)
	if err != nil {
		return nil, Permanent(err)
	}
	keys, _ := schemas.Column[*array.Binary](rows, schemas.Key)
	places := make([]place, len(offsets))
	err = l.until(ctx, func() bool {
		if after != 0 && l.entered != after {
			return false
		}
		for i := range places {
			p := &places[i]
			p.offset, p.row = offsets[i], row[i]
			if p.keyed = keys != nil && keys.IsValid(i); p.keyed {
				p.key = string(keys.Value(i))
				p.before, l.last[p.key] = l.last[p.key], p
			}
		}
		l.entered = next
		l.tell()
		return true
	})
	return places, err
}

// turn gives those of the waiting places whose rows may be written now, one behind the other, and those that
// still wait. It waits until there are some. Those of one key follow each other in one turn.
func (l *line) turn(ctx context.Context, places []*place, waiting []int) (now, rest []int, err error) {
	err = l.until(ctx, func() bool {
		now, rest = now[:0], rest[:0]
		l.turns++
		for _, i := range waiting {
			p := places[i]
			if p.before == nil || p.before.left || p.before.turn == l.turns {
				p.turn = l.turns
				now = append(now, i)
			} else {
				rest = append(rest, i)
			}
		}
		return len(now) > 0
	})
	return now, rest, err
}

// leave tells that the rows of places are stored.
func (l *line) leave(places []*place, rows []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range rows {
		p := places[i]
		if p.left = true; p.keyed && l.last[p.key] == p {
			delete(l.last, p.key)
		}
		p.before, p.key = nil, ""
	}
	l.tell()
}

// fail ends the waiting: rows that failed to be stored will never leave, and their owner is given up.
func (l *line) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("pipeline: a row before it was not stored: %w", err)
		l.tell()
	}
}

// errPlace is a fault of ours, or of a stage that calls rows by other names.
var errPlace = errors.New("pipeline: rows ended that were not in the delivery")

// claim gives the places of rows that have ended. Rows keep their order, so that one look at each place does;
// only what is in a delivery twice can make a second look necessary.
func claim(places []place, rows arrow.Record) ([]*place, error) {
	offsets, row, err := identity(rows)
	if err != nil {
		return nil, err
	}
	out := make([]*place, len(offsets))
	at := 0
	for i := range out {
		looked := 0
		for ; ; at, looked = at+1, looked+1 {
			if looked == len(places) {
				return nil, errPlace
			}
			if at == len(places) {
				at = 0
			}
			// Only fields that nobody else writes: other rows may be leaving.
			if p := &places[at]; !p.taken && p.offset == offsets[i] && p.row == row[i] {
				p.taken, out[i] = true, p
				break
			}
		}
	}
	return out, nil
}

// leaveInOrder is leave for a segment in order. It consumes rows.
func (d *delivery) leaveInOrder(rows arrow.Record, last bool) error {
	places, err := claim(d.places, rows)
	if err != nil {
		rows.Release()
		return Permanent(err)
	}
	work := func() error {
		defer rows.Release()
		return d.writeTurns(rows, places)
	}
	if last {
		err := work()
		work = func() error { return err }
	}
	d.routes.Go(work)
	return nil
}

// writeTurns writes rows as the line lets them. They are stamped only then: what was held back is late.
func (d *delivery) writeTurns(rows arrow.Record, places []*place) error {
	waiting := make([]int, len(places))
	for i := range waiting {
		waiting[i] = i
	}
	for len(waiting) > 0 {
		now, rest, err := d.line.turn(d.ctx, places, waiting)
		if err != nil {
			return err
		}
		if err := d.writeTurn(schemas.Take(rows, now)); err != nil {
			d.line.fail(err) // at once: rows of this delivery wait for them too, and Deliver for those
			return err
		}
		d.line.leave(places, now)
		waiting = rest
	}
	return nil
}

// writeTurn stores rows whose turn it is. It consumes them.
func (d *delivery) writeTurn(rows arrow.Record) error {
	defer rows.Release()
	closed, err := d.close(rows)
	if err != nil {
		return Permanent(err)
	}
	defer closed.Release()
	return d.writeEnded(closed)
}

// writeInOrder stores predictions one behind the other: what is too large becomes smaller before anything
// behind it is written.
func (d *delivery) writeInOrder(rows arrow.Record) error {
	w := d.outputs[predictions].(OrderedWriter) // Open looked
	for from := int64(0); from < rows.NumRows(); {
		start := d.now()
		rest := rows.NewSlice(from, rows.NumRows())
		stored, err := w.WriteInOrder(d.ctx, rest)
		rest.Release()
		d.segment.Events.written(d.segment.Name, outputNames[predictions], stored, d.now().Sub(start))
		from += int64(stored)
		var large *TooLargeError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &large):
			return d.writeError(predictions, err)
		}
		one := rows.NewSlice(from, from+1)
		err = d.writeShrinking(predictions, one)
		one.Release()
		if err != nil {
			return err
		}
		from++
	}
	return nil
}
