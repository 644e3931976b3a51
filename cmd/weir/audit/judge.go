package audit

import (
	"context"

	"weir/cmd/weir/answers"
	"weir/schemas"
)

// judgedRows is how many rows are judged at once: each holds its first prediction.
const judgedRows = 20_000

// listedPlaces bounds the places of predictions that a finding names.
const listedPlaces = 8

// trial is what is known of a suspect.
type trial struct {
	id          string
	first       map[string]any
	predictions int
	places      []int64
	says        map[int32]uint64 // what the prediction of an epoch says
	why         string           // how its predictions or decisions differ, "" if they do not
}

// judge looks again at all predictions and decisions of some rows.
func (p *partition) judge(ctx context.Context, keys []key) error {
	trials := make(map[key]*trial, len(keys))
	for _, k := range keys {
		trials[k] = &trial{says: map[int32]uint64{}}
	}
	s := &p.snapshot
	err := p.again(ctx, p.Predictions, p.outputs[ofPredictions], s.predicted[1][p.id], func(r *schemas.Record) error {
		said, err := answers.Predictions(r)
		if err != nil {
			return nil // it was told as unreadable
		}
		for i := range said {
			if t := p.trial(trials, &said[i]); t != nil {
				if err := t.predict(&said[i], r.Offset); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = p.again(ctx, p.Decisions, p.outputs[ofDecisions], s.decided[1][p.id], func(r *schemas.Record) error {
		said, err := answers.Decisions(r)
		if err != nil {
			return nil
		}
		for i := range said {
			if t := p.trial(trials, &said[i]); t != nil {
				t.decide(&said[i])
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := p.sentence(k, trials[k]); err != nil {
			return err
		}
	}
	return nil
}

// again reads a partition of an output.
func (p *partition) again(ctx context.Context, topic string, from, end int64, each func(*schemas.Record) error) error {
	r := p.Client.Reader(topic, p.id, from, end)
	for {
		if more, err := r.Next(ctx, each); err != nil || !more {
			return err
		}
	}
}

func (p *partition) trial(trials map[key]*trial, a *answers.Answer) *trial {
	if a.Topic != p.Queries || a.Partition != p.id {
		return nil
	}
	return trials[a.Place]
}

// predict hears a prediction.
func (t *trial) predict(a *answers.Answer, at int64) error {
	fields, err := answers.Content(a.Value)
	if err != nil {
		return err
	}
	t.predictions++
	if len(t.places) < listedPlaces {
		t.places = append(t.places, at)
	}
	if t.predictions == 1 {
		t.id, t.first = a.ID, fields
	} else if !answers.Alike(t.first, fields) {
		t.why = "its predictions differ"
	}
	t.says[a.Epoch] = a.Said
	return nil
}

// decide hears a decision. It counts against the prediction of its epoch.
func (t *trial) decide(a *answers.Answer) {
	if said, ok := t.says[a.Epoch]; ok && said != a.Said && t.why == "" {
		t.why = "its decision says something else than its prediction"
	}
}

// sentence tells what a suspect is guilty of.
func (p *partition) sentence(k key, t *trial) error {
	f := Finding{QueryID: t.id, Partition: p.id, Offset: k.Offset, Row: k.Row, At: t.places}
	if t.predictions > 1 {
		f.Kind = Twice
		if err := p.found(f); err != nil {
			return err
		}
	}
	if t.why != "" {
		f.Kind, f.Why = Contradictory, t.why
		return p.found(f)
	}
	return nil
}
