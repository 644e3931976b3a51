package ledger

import (
	"cmp"
	"fmt"
	"slices"
)

// Disorder tells, by id, of the queries whose answer lies behind that of a later query of the same key in the same
// partition. The key is the one that the answer's record bears. Only first answers count: a second one is the
// verdict's concern.
func (l *Ledger) Disorder() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	type first struct {
		answer
		id string
	}
	var firsts []first
	for id, places := range l.sent {
		for _, at := range places {
			if i := slices.IndexFunc(l.answers[id], func(a answer) bool { return a.place == at }); i >= 0 && l.answers[id][i].key != "" {
				firsts = append(firsts, first{l.answers[id][i], id})
			}
		}
	}
	slices.SortFunc(firsts, func(a, b first) int {
		return cmp.Or(cmp.Compare(a.at.Partition, b.at.Partition), cmp.Compare(a.at.Offset, b.at.Offset))
	})
	type user struct {
		partition int32
		key       string
	}
	latest := map[user]first{}
	for _, a := range firsts {
		u := user{a.place.Partition, a.key}
		if last, ok := latest[u]; ok && a.place.Offset < last.place.Offset {
			lines = append(lines, fmt.Sprintf("%s at %v: its answer at %v lies behind that of %s at %v", a.id, a.place, a.at, last.id, last.at))
		} else {
			latest[u] = a
		}
	}
	slices.Sort(lines)
	return lines
}
