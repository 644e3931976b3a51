package ownership

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/schemas"
)

// The keys of records, before the segment's name.
const (
	ownerKey = "owner/"
	unitKey  = "unit/"
)

// An Owner says which version of a segment is to run, because somebody asked for it.
type Owner struct {
	// Digest is the version's; "" says that no segment of that name is to run any more.
	Digest string `json:"digest"`
	// Turn counts the segment's replacements, from 1.
	Turn int `json:"turn"`
	// Since is when it was asked for.
	Since time.Time `json:"since"`
	// Replaced are the digests that were replaced, the latest last. Their members must not take the segment back
	// because their supervisor starts them again.
	Replaced []string `json:"replaced,omitempty"`
}

// replacedMost bounds the digests that an owner record remembers.
const replacedMost = 64

// A Unit is what ran last under a segment's name: fused segments, from one topic to the next.
type Unit struct {
	Segment string    `json:"-"` // the key's
	Digest  string    `json:"digest"`
	Since   time.Time `json:"since"`
	In      string    `json:"in"`             // the topic that it reads
	Next    string    `json:"next,omitempty"` // the topic that its open rows go to
	Group   string    `json:"group"`
	Place   int       `json:"place"` // in its pipeline; 0 reads the queries
}

// same says whether the units are the same but for the time.
func (u Unit) same(v Unit) bool {
	u.Since, v.Since = time.Time{}, time.Time{}
	return u == v
}

// State is what the topic says: owners and units by segment. It is not changed once it is made.
type State struct {
	owners map[string]Owner
	units  map[string]Unit
}

// with adds a record. Those of other uses, or that it cannot read, change nothing.
func (s State) with(key, value []byte) State {
	if segment, ok := strings.CutPrefix(string(key), ownerKey); ok {
		var o Owner
		if json.Unmarshal(value, &o) == nil {
			return State{owners: set(s.owners, segment, o), units: s.units}
		}
	}
	if segment, ok := strings.CutPrefix(string(key), unitKey); ok {
		var u Unit
		if json.Unmarshal(value, &u) == nil {
			u.Segment = segment
			return State{owners: s.owners, units: set(s.units, segment, u)}
		}
	}
	return s
}

func set[V any](m map[string]V, key string, v V) map[string]V {
	out := make(map[string]V, len(m)+1)
	maps.Copy(out, m)
	out[key] = v
	return out
}

// otherOwns says whether the segment belongs to another version.
func (s State) otherOwns(u Unit) (Owner, bool) {
	o, owned := s.owners[u.Segment]
	return o, owned && o.Digest != u.Digest
}

// ordered are the units in the order of their pipeline.
func (s State) ordered() []Unit {
	return slices.SortedFunc(maps.Values(s.units), func(a, b Unit) int {
		if a.Place != b.Place {
			return a.Place - b.Place
		}
		return strings.Compare(a.Segment, b.Segment)
	})
}

// outgoing are the units behind me that go: their version was replaced, or the new layout lacks them. What lies in
// their topics they have to answer before me may begin.
func (s State) outgoing(me Unit, lacks func(Unit) bool) (out []Unit) {
	for _, u := range s.ordered() {
		if _, replaced := s.otherOwns(u); u.Place > me.Place && (replaced || lacks(u)) {
			out = append(out, u)
		}
	}
	return out
}

// upstream is the unit that writes what me reads, if it is to go.
func (s State) upstream(me Unit) (up Unit, owner Owner, ok bool) {
	for _, u := range s.ordered() {
		if o, owned := s.owners[u.Segment]; owned && u.Next == me.In {
			return u, o, true
		}
	}
	return Unit{}, Owner{}, false
}

// rival is a unit that ran later than me last did and reads the same topic in another group: me would begin with the
// earliest record and answer all again.
func (s State) rival(me Unit) (Unit, bool) {
	for _, u := range s.ordered() {
		if u.In == me.In && u.Group != me.Group && u.Since.After(s.units[me.Segment].Since) {
			return u, true
		}
	}
	return Unit{}, false
}

// A Claim asks that a version replaces whichever runs.
type Claim struct {
	// Units are those of the process that asks, in the order of the pipeline.
	Units []Unit
	// Lacks says whether the new layout lacks a unit of an old one.
	Lacks func(Unit) bool
	// Turn, if not 0, is the latest replacement that may be undone. Without it a version that was replaced does not
	// replace its successor.
	Turn int
}

// replace gives the owner records that a claim leads to, those of later segments first. There are none where the
// claim has come to its end, or must not be granted: by then the segment had another turn.
func (s State) replace(c Claim, now time.Time) (records []schemas.Message) {
	add := func(segment, digest string) {
		o := s.owners[segment]
		was := o.Digest
		if o.Turn == 0 {
			was = s.units[segment].Digest
		}
		gone := slices.DeleteFunc(append(slices.Clone(o.Replaced), was), func(d string) bool { return d == "" || d == digest })
		records = append(records, message(ownerKey+segment, Owner{digest, o.Turn + 1, now, gone[max(0, len(gone)-replacedMost):]}))
	}
	granted := false
	for _, u := range c.Units {
		if o, other := s.otherOwns(u); other || o.Turn == 0 {
			if !granted && !c.grants(o, u) {
				return nil
			}
			granted = true
		}
	}
	for _, u := range s.ordered() {
		if o := s.owners[u.Segment]; granted && u.Place > 0 && c.Lacks(u) && (o.Turn == 0 || o.Digest != "") {
			add(u.Segment, "")
		}
	}
	for _, u := range slices.Backward(c.Units) {
		if o, other := s.otherOwns(u); other || o.Turn == 0 {
			add(u.Segment, u.Digest)
		}
	}
	return records
}

func (c Claim) grants(o Owner, u Unit) bool {
	if c.Turn > 0 {
		return o.Turn <= c.Turn
	}
	return !slices.Contains(o.Replaced, u.Digest)
}

func message(key string, v any) schemas.Message {
	value, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and times
	}
	return schemas.Message{Key: []byte(key), Value: value}
}
