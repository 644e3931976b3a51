package pipeline

import (
	"context"
	"fmt"
	"testing"
)

// opening is a sink that notes from where it was opened, and asks where its input ends.
type opening struct {
	memory
	from []string
	ends []int64
}

func (a *opening) Open(ctx context.Context, p Partition, from Position) (Writer, error) {
	end, err := p.End(ctx)
	a.from, a.ends = append(a.from, fmt.Sprint(from)), append(a.ends, end)
	return &a.memory, err
}

// A segment that is cut off again, after the pipeline was fused there, finds nothing of its own in the topic behind it,
// however old the records are that lie there; what it wrote itself its successor looks for.
func TestOpenAfterAnotherLayout(t *testing.T) {
	var end int64
	predictions, next := &opening{}, &opening{}
	predictions.next, next.next = 7, 90
	open := func(mark []byte, outputs Outputs) *owner {
		end += 10
		o, err := (&Segment{Name: "light", Outputs: outputs}).Open(t.Context(), Partition{Mark: mark,
			End: func(context.Context) (int64, error) { end++; return end, nil }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { o.Close() })
		return o.(*owner)
	}
	cut := Outputs{Predictions: predictions, Next: next}
	mark := open(nil, Outputs{Predictions: predictions}).Mark(5)
	first := open(mark, cut)
	next.next = 95
	second := open(first.Mark(5), cut)
	third := open(second.Mark(100), cut)
	third.Mark(100)
	if got, want := fmt.Sprint(predictions.from, next.from), "[[] [-1] [-1] [7]] [[-2] [90] [95]]"; got != want {
		t.Errorf("opened from %s, want %s", got, want)
	}
	// All outputs of an owner, and its marks, go by the same end.
	if got, want := fmt.Sprint(predictions.ends, next.ends), "[11 22 33 44] [22 33 44]"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
}
