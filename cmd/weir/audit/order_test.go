package audit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"weir/schemas"
)

// askKeys publishes a query of each key, a record each; "" is none, and a capital comes as Kafka's key.
func (d *desk) askKeys(keys ...string) {
	d.Helper()
	var msgs []schemas.Message
	more := strings.Repeat("more", len(keys)) // so that many do not come at once
	for i, k := range keys {
		m := schemas.Message{Value: fmt.Appendf(nil, `{"query_id":"q%d","x":1,"more":"%s"}`, i, more)}
		switch {
		case k == "":
		case strings.ToUpper(k) == k:
			m.Key = []byte(strings.ToLower(k))
		default:
			m.Value = fmt.Appendf(nil, `{"query_id":"q%d","key":"%s","x":1,"more":"%s"}`, i, k, more)
		}
		msgs = append(msgs, m)
	}
	d.write(queriesTopic, 0, msgs...)
}

func TestOrderFindings(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(d *desk)
		lines []string
	}{
		{"other keys overtake, and rows without", func(d *desk) {
			d.askKeys("a", "b", "", "", "a", "b")
			d.answer(says(1, "Bag", 3, 2, 1, 0, 5, 4)...)
		}, nil},
		{"overtaken", func(d *desk) {
			d.askKeys("a", "b", "a", "b", "a")
			d.answer(says(1, "Bag", 2, 1, 4, 0, 3)...)
		}, []string{"out_of_order q0 0.0 [3]"}},
		{"two of them", func(d *desk) {
			d.askKeys("a", "a", "a")
			d.answer(says(1, "Bag", 2, 0, 1)...)
		}, []string{"out_of_order q0 0.0 [1]", "out_of_order q1 1.0 [2]"}},
		{"Kafka's key is one", func(d *desk) {
			d.askKeys("A", "a", "A")
			d.answer(says(1, "Bag", 1, 0, 2)...)
		}, []string{"out_of_order q0 0.0 [1]"}},
		{"rows of a record", func(d *desk) {
			d.ask(`[{"query_id":"q0","key":"a","x":1},{"query_id":"q0b","x":1},{"query_id":"q0c","key":"a","x":1}]`, "not JSON")
			d.answer(said{0, 2, 1, "Bag"}, said{0, 1, 1, "Bag"}, said{0, 0, 1, "Bag"}, said{1, 0, 1, "Bag"})
		}, []string{"out_of_order q0 0.0 [2]"}},
		{"a second answer is no disorder", func(d *desk) {
			d.askKeys("a", "a")
			d.answer(says(1, "Bag", 0, 1)...)
			d.answer(says(2, "Bag", 0)...)
		}, []string{"twice q0 0.0 [0 2]"}},
		{"one that comes in a finished chunk is", func(d *desk) {
			d.askKeys("a", "a", "a", "a")
			d.answer(says(1, "Bag", 0, 1, 3)...)
			d.answer(says(1, "Bag", 2)...)
		}, []string{"out_of_order q2 2.0 [3]"}},
	} {
		for _, arrow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, arrow %v", c.name, arrow), func(t *testing.T) {
				d := newDesk(t)
				d.arrow = arrow
				c.write(d)
				for _, order := range []bool{true, false} {
					r, got := d.audit(func(o *Options) { o.Order = order })
					want := slices.DeleteFunc(slices.Clone(c.lines), func(l string) bool { return !order && strings.HasPrefix(l, "out") })
					if !slices.Equal(places(got, arrow), places(want, arrow)) {
						t.Errorf("order %v: got %q, want %q", order, got, want)
					}
					if _, told := r.Findings[OutOfOrder]; told != order || r.Clean() != (len(want) == 0) {
						t.Errorf("order %v: %v, clean %v", order, r.Findings, r.Clean())
					}
				}
			})
		}
	}
}

// places are findings, without their predictions' places in the records of a batch each.
func places(lines []string, arrow bool) []string {
	if !arrow {
		return lines
	}
	var out []string
	for _, l := range lines {
		out = append(out, l[:strings.Index(l, "[")])
	}
	return out
}

// Windows give what one pass gives, however far apart a query and the one that overtook it are.
func TestOrderWindows(t *testing.T) {
	for _, arrow := range []bool{false, true} {
		d := newDesk(t)
		d.arrow = arrow
		const n, keys = 4000, 60
		rng := rand.New(rand.NewPCG(1, 2))
		var asked []string
		for range n {
			asked = append(asked, fmt.Sprint("user", rng.IntN(keys)))
		}
		for some := range slices.Chunk(asked, 400) {
			d.askKeys(some...)
		}
		type answer struct{ offset, at int }
		var order []answer
		for i := range n {
			delay := rng.IntN(100)
			if rng.IntN(20) == 0 {
				delay = rng.IntN(3000)
			}
			order = append(order, answer{i, i + delay})
		}
		slices.SortStableFunc(order, func(a, b answer) int { return a.at - b.at })
		var want []string
		var rows []said
		latest := map[string]int{}
		for _, a := range order {
			rows = append(rows, said{offset: int64(a.offset), epoch: 1, label: "Bag"})
			k := asked[a.offset]
			if last, ok := latest[k]; ok && a.offset < last {
				want = append(want, fmt.Sprintf("out_of_order q%d %[1]d.0 ", a.offset))
			}
			latest[k] = max(latest[k], a.offset)
		}
		for some := range slices.Chunk(rows, 50) {
			d.predict(some...)
		}
		d.commit(group, queriesTopic, n)
		slices.Sort(want)
		for _, open := range []int{0, 700} {
			r, got := d.audit(func(o *Options) { o.Order, o.All, o.openRows = true, true, open })
			got = places(got, true)
			slices.Sort(got)
			if several := r.windows > 3; several != (open > 0) {
				t.Errorf("arrow %v: %d windows of %d rows", arrow, r.windows, open)
			}
			if !slices.Equal(got, want) || r.Findings[OutOfOrder] != int64(len(want)) || len(want) < 100 {
				t.Errorf("arrow %v, windows of %d rows: %d findings, want %d", arrow, open, len(got), len(want))
			}
		}
	}
}

// What is remembered of keys is bounded by the queries that are open, however many keys there were.
func TestOrderForgets(t *testing.T) {
	c := newChunk(0)
	c.add(0, 3)
	c.keys = []uint64{1, 2, 3}
	*c.at(key{Offset: 0, Row: 1}) = predicted
	var o order
	o.begin()
	for h := range uint64(forgetRows) {
		o.forget([]*chunk{c}, 0)
		o.latest[h] = overtaker{}
	}
	if len(o.latest) != forgetRows {
		t.Errorf("%d keys before it is time to forget, want %d", len(o.latest), forgetRows)
	}
	o.forget([]*chunk{c}, 0)
	if _, ok := o.latest[1]; !ok || len(o.latest) != 2 {
		t.Errorf("%v is left, want the keys of the two open queries", o.latest)
	}
}
