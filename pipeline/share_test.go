package pipeline

import (
	"context"
	"fmt"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
)

// reader is an output that finds fault with rows that it cannot read while others do.
type reader struct{ memory }

func (r *reader) Open(context.Context, Partition, Position) (Writer, error) { return r, nil }

func (r *reader) Write(_ context.Context, b arrow.Record) error {
	for i, c := range b.Columns() {
		if c.Data().NullN() < 0 {
			return fmt.Errorf("the nulls of column %s are not counted: who counts them races with the other outputs", b.ColumnName(i))
		}
	}
	return nil
}

// Rows that end go to several outputs at once, so whatever Arrow notes in them when they are read must be
// there before. Parts of a batch are slices, in which it is not.
func TestDeliverSharesRows(t *testing.T) {
	noLeak(t)
	var predictions, decisions reader
	s := Segment{Name: "s", Stages: []NamedStage{{Name: "end", Stage: endIf(func(x int64) bool { return x < 3 })}},
		Outputs: Outputs{Predictions: &predictions, Decisions: &decisions}}
	owner, err := s.Open(t.Context(), Partition{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	b := batch(t, 10, 1, 2, 3, 2000)
	if err := owner.Deliver(t.Context(), Delivery{Rows: b, Next: 14, Routed: func() {}}); err != nil {
		t.Error(err)
	}
	b.Release()
	if err := owner.Close(); err != nil {
		t.Error(err)
	}
}
