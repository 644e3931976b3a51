package pipeline

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMarkRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p positions
		for i := range p {
			p[i] = rapid.SliceOfN(rapid.Int64Range(-1, 1<<40), 0, 8).Draw(t, "position")
			if len(p[i]) == 0 {
				p[i] = nil
			}
		}
		got, err := decodeMark(p.encode())
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("got %v, %v, want %v", got, err, p)
		}
	})
}

func FuzzDecodeMark(f *testing.F) {
	f.Add([]byte{})
	f.Add(positions{{1, 2}, nil, {-1}, {7}}.encode())
	f.Add([]byte{2, 255, 255, 255, 255, 15})
	f.Add([]byte{1, 1, 6, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeMark(b)
		if err != nil {
			return
		}
		again, err := decodeMark(p.encode())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%x: got %v, %v, want %v", b, again, err, p)
		}
	})
}

// Below a mark no row at or above the committed offset was written, in whatever order deliveries begin,
// write and finish.
func TestMarkIsBelowEveryUnfinishedRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m marks
		type written struct{ offset, position int64 }
		var rows []written
		var position int64
		open := map[int64]bool{} // deliveries by offset, one row each, written somewhere in their life
		var began, committed int64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				m.begin(began+1, positions{{position}})
				open[began] = true
				began++
			case 1:
				if began == 0 {
					continue
				}
				o := rapid.Int64Range(0, began-1).Draw(t, "finishes")
				if open[o] {
					rows = append(rows, written{o, position})
					position++
					delete(open, o)
				}
			case 2:
				for committed < began && !open[committed] {
					committed++
				}
				mark := m.before(committed, positions{{position}})[0][0]
				for _, r := range rows {
					if r.offset >= committed && r.position < mark {
						t.Fatalf("committed %d, mark %d, but row %d was written at %d", committed, mark, r.offset, r.position)
					}
				}
			}
		}
	})
}

// A mark that lies behind an output's end speaks of a topic that was made anew, and is unknown.
func TestPositionWithin(t *testing.T) {
	for _, c := range []struct{ p, end, want Position }{
		{Position{5}, Position{5}, Position{5}},
		{Position{6}, Position{5}, Position{-1}},
		{Position{5, 9}, Position{7, 8}, Position{-1, -1}},
		{Position{-1}, Position{0}, Position{-1}},
		{nil, Position{0}, nil},
	} {
		if got := c.p.within(c.end); !slices.Equal(got, c.want) {
			t.Errorf("%v within %v: got %v, want %v", c.p, c.end, got, c.want)
		}
	}
}

// An output of which one of two knows nothing is unknown, and not one that the segment lacks.
func TestPositionMin(t *testing.T) {
	for _, c := range []struct{ p, q, want Position }{
		{Position{5, 2}, Position{3, 4}, Position{3, 2}},
		{Position{5}, Position{-1}, Position{-1}},
		{Position{5, 6}, nil, Position{-1, -1}},
		{nil, Position{5}, Position{-1}},
		{Position{5}, Position{5, 6}, Position{-1}},
		{nil, nil, nil},
	} {
		if got := (positions{c.p}).min(positions{c.q})[0]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v and %v: got %v, want %v", c.p, c.q, got, c.want)
		}
	}
}

// Marks of an earlier version did not tell an output that the segment lacks from one of which nothing is known.
func TestMarkOfVersionOne(t *testing.T) {
	got, err := decodeMark([]byte{1, 1, 6, 0, 1, 8, 0})
	if want := (positions{{3}, {-1}, {4}, {-1}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
