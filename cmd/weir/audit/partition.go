package audit

import (
	"context"
	"errors"
	"fmt"

	"weir/cmd/weir/answers"
	"weir/connectors/kafka"
	"weir/schemas"
)

// partition audits one partition, window by window.
type partition struct {
	*audit
	id      int32
	decoder schemas.Decoder

	from, limit int64 // of the window; limit is the range's end until the window is full
	queries     *kafka.Reader
	chunks      []*chunk
	size        int // of the chunks that are not sealed

	// Where the window's predictions and decisions begin, and where those behind its limit do.
	outputs, later [2]int64
	early          map[key][]answers.Answer // decisions that came before their prediction
	seen           [2]int64                 // behind the last record that an earlier window, or this one, has read
	suspects       map[key]bool
	order          order
}

const (
	ofPredictions = iota
	ofDecisions
)

// suspectRows bounds what is looked at twice. It is far above what a crash leaves.
const suspectRows = 4 << 20

// errMany says that the audit would take too much memory.
var errMany = errors.New("too many queries of one partition have several predictions or decisions; audit a shorter range")

func newPartition(a *audit, id int32) *partition {
	s := &a.snapshot
	return &partition{audit: a, id: id, decoder: a.NewDecoder(), from: s.from[id],
		outputs: [2]int64{s.predicted[0][id], s.decided[0][id]}}
}

func (p *partition) run(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	for p.from < p.snapshot.to[p.id] {
		if err := p.window(ctx); err != nil {
			return fmt.Errorf("audit: partition %d: %w", p.id, err)
		}
		p.from, p.outputs = p.limit, p.later
	}
	return nil
}

// clockSkew is how far the clocks of those who stamp records may differ. Topics whose stamps are the broker's
// have one clock.
const clockSkew = 60_000

// begin moves the outputs to where the first prediction of the range can be, where the range begins at a time.
func (p *partition) begin(ctx context.Context) error {
	if p.From >= kafka.Earliest {
		return nil
	}
	for i, topic := range []string{p.Predictions, p.Decisions} {
		at, err := p.Client.Offsets(ctx, topic, p.From-clockSkew)
		if err != nil {
			return err
		}
		p.outputs[i] = max(p.outputs[i], at[p.id])
	}
	return nil
}

// window audits as many queries as fit.
func (p *partition) window(ctx context.Context) error {
	s := &p.snapshot
	p.report.windows++
	p.limit, p.size, p.chunks = s.to[p.id], 0, []*chunk{newChunk(p.from)}
	p.queries = p.Client.Reader(p.Queries, p.id, p.from, p.limit)
	p.early, p.suspects = map[key][]answers.Answer{}, map[key]bool{}
	p.later = [2]int64{-1, -1}
	p.order.begin()
	preds := p.Client.Reader(p.Predictions, p.id, p.outputs[ofPredictions], s.predicted[1][p.id])
	decs := p.Client.Reader(p.Decisions, p.id, p.outputs[ofDecisions], s.decided[1][p.id])
	var reached [2]int64 // the highest offset that a prediction, or a decision, belongs to
	for more := true; more; {
		var err error
		if more, err = preds.Next(ctx, func(r *schemas.Record) error { return p.predicted(ctx, r, &reached[ofPredictions]) }); err != nil {
			return err
		}
		for again := true; again && (!more || reached[ofDecisions] < reached[ofPredictions]); {
			if again, err = decs.Next(ctx, func(r *schemas.Record) error { return p.decided(r, &reached[ofDecisions]) }); err != nil {
				return err
			}
		}
		p.seal()
	}
	if err := p.load(ctx, p.limit-1); err != nil {
		return err
	}
	for i, end := range [2]int64{s.predicted[1][p.id], s.decided[1][p.id]} {
		if p.later[i] < 0 {
			p.later[i] = end
		}
	}
	if err := p.order.end(p.later[ofPredictions]); err != nil {
		return err
	}
	return p.conclude(ctx)
}

// load reads queries up to an offset, or to the window's limit.
func (p *partition) load(ctx context.Context, offset int64) error {
	for p.queries.Position() <= min(offset, p.limit-1) {
		c := p.chunks[len(p.chunks)-1]
		more, err := p.queries.Next(ctx, func(r *schemas.Record) error {
			if c.size() >= 2*chunkRows {
				c = p.next(r.Offset)
			}
			before := c.size()
			c.add(r.Offset, p.rows(r))
			p.size += c.size() - before
			if p.decoder.Rows() >= 256 || p.decoder.Bytes() >= 1<<20 {
				return p.discard()
			}
			return nil
		})
		if err == nil && p.Order { // the next predictions ask for the keys
			err = p.discard()
		}
		if err != nil {
			return err
		}
		c.skip(p.queries.Position())
		if p.size >= p.openRows {
			if p.seal(); p.size >= p.openRows {
				p.limit = p.queries.Position()
			}
		}
		if !more || p.queries.Position() >= p.limit {
			c.full = true
			break
		}
		if p.Progress != nil {
			p.Progress(p.id, p.queries.Position()-p.snapshot.from[p.id], p.snapshot.to[p.id]-p.snapshot.from[p.id])
		}
	}
	return nil
}

// next begins a chunk behind the last one, which ends before an offset.
func (p *partition) next(offset int64) *chunk {
	last := p.chunks[len(p.chunks)-1]
	last.skip(offset)
	last.full = true
	c := newChunk(offset)
	p.chunks = append(p.chunks, c)
	return c
}

// rows counts the queries of a record.
func (p *partition) rows(r *schemas.Record) int {
	before := p.decoder.Rows()
	p.decoder.Append(*r)
	n := p.decoder.Rows() - before
	p.report.Accepted += int64(n)
	return n
}

// discard frees what was decoded. Where order matters it notes the keys.
func (p *partition) discard() error {
	rec := p.decoder.Flush()
	if rec == nil {
		return nil
	}
	defer rec.Release()
	if p.Order {
		return p.keys(rec)
	}
	return nil
}

// seal forgets finished chunks, and joins them so that a long range stays a short list.
func (p *partition) seal() {
	kept := p.chunks[:0]
	for _, c := range p.chunks {
		size := c.size()
		if c.seal() {
			p.size -= size
		}
		if n := len(kept); n > 0 && c.sealed() && kept[n-1].sealed() {
			kept[n-1].to = c.to
			continue
		}
		kept = append(kept, c)
	}
	clear(p.chunks[len(kept):])
	p.chunks = kept
	p.order.forget(p.chunks, p.size)
}

// predicted notes the predictions of a record.
func (p *partition) predicted(ctx context.Context, r *schemas.Record, reached *int64) error {
	fresh := p.first(r, ofPredictions)
	said, err := answers.Predictions(r)
	if err != nil {
		return p.wrong(fresh, Finding{Kind: Unreadable, At: []int64{r.Offset}, Why: err.Error()})
	}
	for i := range said {
		a := &said[i]
		if a.Topic != p.Queries || a.Partition != p.id {
			f := Finding{Kind: Unknown, QueryID: a.ID, Offset: a.Offset, Row: a.Row, At: []int64{r.Offset}}
			f.Why = fmt.Sprintf("its source is in %s/%d", a.Topic, a.Partition)
			if err := p.wrong(fresh, f); err != nil {
				return err
			}
			continue
		}
		if !p.ours(a, r.Offset, ofPredictions) {
			continue
		}
		*reached = max(*reached, a.Offset)
		if err := p.load(ctx, a.Offset); err != nil {
			return err
		}
		if !p.ours(a, r.Offset, ofPredictions) { // the window has become full meanwhile
			continue
		}
		if err := p.note(a, spot{r.Offset, i}); err != nil {
			return err
		}
	}
	return nil
}

// ours says whether an answer's query lies in the window. It remembers where those behind the window begin.
func (p *partition) ours(a *answers.Answer, at int64, output int) bool {
	if a.Topic != p.Queries || a.Partition != p.id || a.Offset < p.from {
		return false
	}
	if a.Offset >= p.limit {
		if p.later[output] < 0 {
			p.later[output] = at
		}
		return false
	}
	return true
}

// first says whether a record of an output is read for the first time; a later window reads some again.
func (p *partition) first(r *schemas.Record, output int) bool {
	if r.Offset < p.seen[output] {
		return false
	}
	p.seen[output] = r.Offset + 1
	return true
}

// wrong counts a finding that concerns a record whatever the window.
func (p *partition) wrong(fresh bool, f Finding) error {
	if !fresh {
		return nil
	}
	f.Partition = p.id
	return p.found(f)
}

// note notes one prediction.
func (p *partition) note(a *answers.Answer, at spot) error {
	c := find(p.chunks, a.Offset)
	if c == nil || c.sealed() {
		return p.suspect(a.Place)
	}
	m := c.at(a.Place)
	if m == nil {
		return p.found(Finding{Kind: Unknown, QueryID: a.ID, Partition: p.id, Offset: a.Offset, Row: a.Row, At: []int64{at.offset}})
	}
	if *m&predicted != 0 {
		return p.suspect(a.Place)
	}
	*m = *m&pending | markOf(a.Epoch, a.Said)
	c.open--
	c.undecided++
	p.report.Final[a.Status]++
	p.report.Undecided++
	if p.Order {
		if err := p.follow(c, a, at); err != nil {
			return err
		}
	}
	for _, d := range p.early[a.Place] {
		if err := p.match(c, m, &d); err != nil {
			return err
		}
	}
	delete(p.early, a.Place)
	return nil
}

// decided notes the decisions of a record.
func (p *partition) decided(r *schemas.Record, reached *int64) error {
	fresh := p.first(r, ofDecisions)
	said, err := answers.Decisions(r)
	if err != nil {
		return p.wrong(fresh, Finding{Kind: Unreadable, Why: fmt.Sprintf("%s/%d/%d: %v", p.Decisions, p.id, r.Offset, err)})
	}
	for i := range said {
		a := &said[i]
		if !p.ours(a, r.Offset, ofDecisions) {
			continue
		}
		*reached = max(*reached, a.Offset)
		c := find(p.chunks, a.Offset)
		if c != nil && c.sealed() {
			if err := p.suspect(a.Place); err != nil {
				return err
			}
			continue
		}
		var m *mark
		if c != nil {
			m = c.at(a.Place)
		}
		if m == nil || *m&predicted == 0 {
			if len(p.early) < suspectRows {
				p.early[a.Place] = append(p.early[a.Place], *a)
			}
			continue
		}
		if err := p.match(c, m, a); err != nil {
			return err
		}
	}
	return nil
}

// match compares a decision with its prediction. One of another epoch does not count.
func (p *partition) match(c *chunk, m *mark, d *answers.Answer) error {
	want := markOf(d.Epoch, d.Said)
	if m.epoch() != want.epoch() {
		return nil
	}
	if *m&decided == 0 {
		*m |= decided
		c.undecided--
		p.report.Undecided--
	}
	if (*m^want)&saidBits != 0 {
		return p.suspect(d.Place)
	}
	return nil
}

// suspect asks for a second look at a row.
func (p *partition) suspect(k key) error {
	p.suspects[k] = true
	if len(p.suspects) > suspectRows {
		return errMany
	}
	return nil
}
