package audit

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/zeebo/xxh3"

	"weir/cmd/weir/answers"
	"weir/schemas"
)

// An order watches whether the first predictions of a key's queries follow each other in the queries' order. A
// query was overtaken if its prediction lies behind that of a later one; so for each key only the last query that
// is answered matters, and that only while an earlier one is not. Keys are known by 64 bits of their hash.
//
// Windows do not hide anything: a query of one window that lies behind where the next one's predictions begin
// is remembered until then.
type order struct {
	latest map[uint64]overtaker
	kept   int // of latest, when those that do not matter were last forgotten

	// By key: queries of earlier windows whose predictions lie where this window's may, and those that will
	// matter to the next.
	before, behind map[uint64][]overtaken
	remembered     int // of behind
}

// overtaker is the last query of a key that is answered.
type overtaker struct {
	key
	at spot // its prediction
}

// overtaken is a query that may turn out to be.
type overtaken struct {
	key
	at spot
	id string
}

const (
	// forgetRows is how many keys there are at least between two looks at which of them matter.
	forgetRows = 1 << 16
	// rememberedRows bounds what windows leave to the next one.
	rememberedRows = 1 << 20
)

// errScattered says that the audit would take too much memory.
var errScattered = errors.New("too many predictions of one partition lie far from those of neighbouring queries to tell their order; audit a shorter range")

// begin begins a window.
func (o *order) begin() {
	o.latest, o.kept = map[uint64]overtaker{}, 0
	o.before, o.behind, o.remembered = o.behind, map[uint64][]overtaken{}, 0
}

// hash is that of a key, never 0, which means none.
func hash(b []byte) uint64 { return max(xxh3.Hash(b), 1) }

// spot is where a prediction lies: in which record, and where in it.
type spot struct {
	offset int64
	row    int
}

func (s spot) before(other spot) bool {
	return cmp.Or(cmp.Compare(s.offset, other.offset), cmp.Compare(s.row, other.row)) < 0
}

func before(k, other key) bool {
	return cmp.Or(cmp.Compare(k.Offset, other.Offset), cmp.Compare(k.Row, other.Row)) < 0
}

// keys notes the keys of decoded queries, those that the last chunks still lack.
func (p *partition) keys(rec arrow.Record) error {
	column, err := schemas.Column[*array.Binary](rec, schemas.Key)
	if err != nil {
		return err
	}
	i, n := 0, column.Len()
	for _, c := range p.chunks {
		for ; !c.sealed() && len(c.keys) < len(c.marks) && i < n; i++ {
			h := uint64(0)
			if column.IsValid(i) {
				h = hash(column.Value(i))
			}
			c.keys = append(c.keys, h)
		}
	}
	return nil
}

// follow looks at the first prediction of a query of the window.
func (p *partition) follow(c *chunk, a *answers.Answer, at spot) error {
	h := c.keyOf(a.Place)
	if h == 0 {
		return nil
	}
	o := &p.order
	if err := p.overtake(h, at); err != nil {
		return err
	}
	if last, ok := o.latest[h]; ok && before(a.Place, last.key) {
		return p.found(p.disordered(overtaken{a.Place, at, a.ID}, last.at))
	}
	o.latest[h] = overtaker{a.Place, at}
	if p.later[ofPredictions] < 0 {
		return nil // no prediction of a later window lies before this one
	}
	return o.remember(h, overtaken{a.Place, at, a.ID})
}

// overtake tells the queries of earlier windows whose predictions lie behind one of this window.
func (p *partition) overtake(h uint64, at spot) error {
	rest := p.order.before[h][:0]
	for _, q := range p.order.before[h] {
		if q.at.before(at) {
			rest = append(rest, q)
		} else if err := p.found(p.disordered(q, at)); err != nil {
			return err
		}
	}
	if len(rest) == 0 {
		delete(p.order.before, h)
	} else {
		p.order.before[h] = rest
	}
	return nil
}

func (o *order) remember(h uint64, q overtaken) error {
	o.behind[h] = append(o.behind[h], q)
	if o.remembered++; o.remembered > rememberedRows {
		return errScattered
	}
	return nil
}

func (p *partition) disordered(q overtaken, by spot) Finding {
	return Finding{Kind: OutOfOrder, QueryID: q.id, Partition: p.id, Offset: q.Offset, Row: q.Row, At: []int64{q.at.offset},
		Why: fmt.Sprintf("behind that of a later query of its key, at %d", by.offset)}
}

// end ends a window: what is left of earlier ones may still be overtaken by the next.
func (o *order) end(later int64) error {
	for h, some := range o.before {
		for _, q := range some {
			if q.at.offset >= later {
				if err := o.remember(h, q); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// forget drops the keys of which no query is open: whatever is answered from now on is later.
func (o *order) forget(chunks []*chunk, size int) {
	if len(o.latest) < o.kept+max(forgetRows, size/4) {
		return
	}
	open := map[uint64]bool{}
	for _, c := range chunks {
		if c.sealed() {
			continue
		}
		for i, h := range c.keys {
			if h != 0 && c.marks[i]&predicted == 0 {
				open[h] = true
			}
		}
	}
	for h := range o.latest {
		if !open[h] {
			delete(o.latest, h)
		}
	}
	o.kept = len(o.latest)
}
