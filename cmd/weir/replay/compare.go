package replay

import (
	"cmp"
	"context"
	"slices"

	"weir/cmd/weir/answers"
	"weir/schemas"
)

// comparer compares one partition, chunk by chunk.
type comparer struct {
	*replay
	id       int32
	position int64  // where in the replayed predictions those of the next chunk begin at the earliest
	decided  *spans // where the recorded decisions lie, nil until they are asked for
}

// side is what one side says of a chunk's queries.
type side map[answers.Place]*said

// said is a prediction, and its record's text.
type said struct {
	*prediction
	epoch int32
	text  []byte
}

// A pair is a query on which the two sides differ.
type pair struct {
	answers.Place
	kind               Kind
	recorded, replayed *said
	cause              Cause
	why                string
}

// compare compares a chunk of which every row is stored.
func (c *comparer) compare(ctx context.Context, ch *chunk) error {
	recorded, err := c.recorded(ctx, ch)
	if err != nil {
		return err
	}
	replayed, err := c.replayed(ctx, ch)
	if err != nil {
		return err
	}
	pairs := differing(recorded, replayed)
	if err := c.explain(ctx, ch, pairs); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(ch, recorded, replayed)
	for i := range pairs {
		if err := c.found(&pairs[i]); err != nil {
			return err
		}
	}
	c.done += ch.to - ch.from
	if c.Progress != nil {
		c.Progress(c.done, c.offsets())
	}
	return nil
}

// recorded reads the chunk's recorded predictions. Of several the first one counts.
func (c *comparer) recorded(ctx context.Context, ch *chunk) (side, error) {
	s := side{}
	runs := c.places[c.id].runs[c.places[c.id].of(ch.from)]
	return s, c.read(ctx, c.Range.Predictions, c.id, runs, func(r *schemas.Record) error {
		s.add(c, ch, r)
		return nil
	})
}

// replayed reads the chunk's replayed predictions, and finds where those behind the chunk begin. The sink may
// have stored a row twice, as no fence keeps it from that; the first one counts.
func (c *comparer) replayed(ctx context.Context, ch *chunk) (side, error) {
	end, err := c.Client.End(ctx, c.Options.Predictions)
	if err != nil {
		return nil, err
	}
	s, later := side{}, end[c.id]
	err = c.read(ctx, c.Options.Predictions, c.id, []run{{c.position, end[c.id]}}, func(r *schemas.Record) error {
		if s.add(c, ch, r) {
			later = min(later, r.Offset)
		}
		return nil
	})
	c.position = later
	return s, err
}

// add adds the predictions of a record that belong to the chunk, and says whether some belong to a later one.
func (s side) add(c *comparer, ch *chunk, r *schemas.Record) (later bool) {
	all, err := answers.Predictions(r)
	if err != nil {
		return false // it answers nothing; `weir audit` tells of it
	}
	for i := range all {
		a := &all[i]
		if a.Topic != c.Queries || a.Partition != c.id || a.Offset < ch.from {
			continue
		}
		if a.Offset >= ch.to {
			later = true
			continue
		}
		if s[a.Place] != nil {
			continue
		}
		if p, err := decode(a); err == nil {
			s[a.Place] = &said{p, a.Epoch, slices.Clone(a.Value)}
		}
	}
	return later
}

// differing are the queries on which the sides differ, in order; those that only one side answers too.
func differing(recorded, replayed side) (pairs []pair) {
	for at, is := range replayed {
		was := recorded[at]
		if was == nil {
			pairs = append(pairs, pair{Place: at, replayed: is})
		} else if kind := difference(was.prediction, is.prediction); kind != "" {
			pairs = append(pairs, pair{Place: at, kind: kind, recorded: was, replayed: is})
		}
	}
	for at, was := range recorded {
		if replayed[at] == nil {
			pairs = append(pairs, pair{Place: at, kind: Absent, recorded: was})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Row, b.Row)) })
	return pairs
}

// explain looks for the cause of each difference. Where a prediction does not tell it, its decision may.
func (c *comparer) explain(ctx context.Context, ch *chunk, pairs []pair) error {
	open := map[answers.Place]*pair{}
	for i := range pairs {
		p := &pairs[i]
		if p.recorded == nil || p.replayed == nil {
			continue
		}
		if p.cause, p.why = c.known.explain(p.recorded.prediction, p.replayed.prediction, nil); p.cause == "" || p.cause == Spec {
			open[p.Place] = p
		}
	}
	if len(open) == 0 {
		return nil
	}
	if c.decided == nil {
		var err error
		if c.decided, err = c.index(ctx, c.Decisions, c.id, c.Range.decided, answers.Decisions); err != nil {
			return err
		}
	}
	return c.read(ctx, c.Decisions, c.id, c.decided.runs[c.decided.of(ch.from)], func(r *schemas.Record) error {
		all, err := answers.Ran(r)
		if err != nil {
			return nil // it tells nothing; `weir audit` tells of it
		}
		for i := range all {
			a := &all[i]
			if p := open[a.Place]; p != nil && a.Topic == c.Queries && a.Partition == c.id && a.Epoch == p.recorded.epoch {
				p.cause, p.why = c.known.explain(p.recorded.prediction, p.replayed.prediction, a.Ran)
			}
		}
		return nil
	})
}

// count counts a chunk.
func (c *comparer) count(ch *chunk, recorded, replayed side) {
	r := c.report
	r.Queries += int64(ch.rows)
	for at, is := range replayed {
		was := recorded[at]
		if was == nil {
			continue
		}
		r.Recorded.add(was.prediction)
		r.Replayed.add(is.prediction)
		switch difference(was.prediction, is.prediction) {
		case "":
			r.Same++
			r.Agreed++
		case Status, Label:
		default:
			r.Agreed++
		}
	}
	// A row that neither side answers is one that the replay lost, too.
	r.Different[Absent] += int64(ch.rows - len(replayed))
	r.Unexplained += int64(ch.rows - len(replayed))
}

// found counts a query on which the sides differ, and tells of it.
func (c *comparer) found(p *pair) error {
	f := Finding{Kind: p.kind, Cause: p.cause, Partition: c.id, Offset: p.Offset, Row: p.Row, Why: p.why}
	if p.replayed != nil {
		f.QueryID, f.Replayed, f.Is = p.replayed.QueryID, p.replayed.text, p.replayed.String()
	}
	if p.recorded != nil {
		f.QueryID, f.Recorded, f.Was = p.recorded.QueryID, p.recorded.text, p.recorded.String()
	}
	switch {
	case p.recorded == nil:
		c.report.Unanswered++
	case p.kind == Absent: // counted with the chunk
	case p.cause == "":
		c.report.Different[p.kind]++
		c.report.Unexplained++
	default:
		c.report.Different[p.kind]++
		c.report.Explained[p.cause]++
	}
	return c.tell(f)
}
