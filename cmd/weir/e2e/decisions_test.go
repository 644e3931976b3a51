package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// decision is what a row of the decisions topic says of itself.
type decision struct {
	QueryID string `json:"query_id"`
	Status  string `json:"status"`
	Shown   string `json:"shown"`
	Source  struct {
		Partition int32 `json:"partition"`
		Offset    int64 `json:"offset"`
		Row       int   `json:"row"`
	} `json:"source"`
	Features struct{ Store *string } `json:"features"`
	Tensors  []string                `json:"tensors"`
	Ran      []struct {
		Model, Version, Label string
		Probability           float64
		Scores                []float64
	} `json:"ran"`
	Gates []struct {
		Name    string  `json:"name"`
		Score   float64 `json:"score"`
		AtLeast float64 `json:"at_least"`
	} `json:"gates"`
}

// Every query leaves one decision, which says what ran and what the user got, wherever the pipeline is cut.
func TestDecisions(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	for _, layout := range []string{"layout: fused", "layout: {cut: [heavy]}"} {
		const n = 64
		p := c.toyPipe(t, layout)
		p.work(t)
		records := toyRecords(p.topic("queries"), 0, n)
		records[1].Value = []byte("?")
		publish(t, p.client(t), records...)
		got := p.predictions(t)
		got.await(t, n)
		p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)
		eventually(t, "a decision of each query", func() bool { return len(decisions(t, p)) >= n })
		seen := map[string]bool{}
		predictions := got.all(t)
		for _, d := range decisions(t, p) {
			ref := fmt.Sprintf("%d.%d.%d", d.Source.Partition, d.Source.Offset, d.Source.Row)
			if seen[ref] {
				t.Errorf("%s: two decisions about %s", layout, ref)
			}
			seen[ref] = true
			d.check(t, predictions[ref][0])
		}
		if len(seen) != n {
			t.Errorf("%s: decisions about %d queries, want %d", layout, len(seen), n)
		}
	}
}

func decisions(t *testing.T, p pipe) (all []decision) {
	t.Helper()
	out := weir(t, "", "consume", p.topic("decisions"), "--from", "earliest", "--until-end", "--json", "--broker", p.addr)
	for _, l := range parseConsumed(t, out) {
		var d decision
		if err := json.Unmarshal(l.Value, &d); err != nil {
			t.Fatalf("%s: %v", l.Value, err)
		}
		all = append(all, d)
	}
	return all
}

// check compares a decision with what the user got.
func (d decision) check(t *testing.T, p prediction) {
	t.Helper()
	if d.QueryID != p.QueryID || d.Status != p.Status || d.Shown != p.Model || !slices.Equal(d.Tensors, []string{"x"}) {
		t.Errorf("decision %+v of prediction %s", d, p.record.Value)
	}
	ran := map[string][]string{"": nil, "light": {"light"}, "heavy": {"light", "heavy"}}[p.Model]
	if len(d.Ran) != len(ran) || len(d.Gates) != min(len(ran), 1) || (d.Features.Store != nil) != (p.Status == "answered") {
		t.Errorf("decision %+v of prediction %s: want %v to have run", d, p.record.Value, ran)
		return
	}
	for i, r := range d.Ran {
		if r.Model != ran[i] || len(r.Version) != 12 || r.Probability != 1 || len(r.Scores) != len(toyLabels) {
			t.Errorf("%s: ran %+v, want %s", d.QueryID, r, ran[i])
		}
	}
	if n := len(d.Ran); n > 0 && (d.Ran[n-1].Label != p.Label || d.Ran[n-1].Version != p.ModelVersion || d.Gates[0].Score != p.Gates[0].Score) {
		t.Errorf("decision %+v of prediction %s", d, p.record.Value)
	}
}
