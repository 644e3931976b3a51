package ownership

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/schemas"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// The units of a pipeline that is cut before heavy, and of one that is not.
func cut(light, heavy string) []Unit {
	return []Unit{
		{Segment: "light", Digest: light, In: "p.queries", Next: "p.heavy", Group: "weir.p.light"},
		{Segment: "heavy", Digest: heavy, In: "p.heavy", Group: "weir.p.heavy", Place: 1},
	}
}

func fused(digest string) []Unit {
	return []Unit{{Segment: "light", Digest: digest, In: "p.queries", Group: "weir.p.light"}}
}

func nothing(Unit) bool { return false }

func heavy(u Unit) bool { return u.Segment == "heavy" }

func add(s State, records ...schemas.Message) State {
	for _, r := range records {
		s = s.with(r.Key, r.Value)
	}
	return s
}

// ran is a state after units have run, an hour apart.
func ran(s State, units ...Unit) State {
	for i, u := range units {
		u.Since = noon.Add(time.Duration(len(s.units)+i) * time.Hour)
		s = add(s, message(unitKey+u.Segment, u))
	}
	return s
}

// owners tells who is to run, by segment.
func owners(s State) string {
	var out []string
	for segment, o := range s.owners {
		out = append(out, fmt.Sprintf("%s=%s/%d%v", segment, o.Digest, o.Turn, o.Replaced))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// Each step claims units; the owners are what is left then.
func TestClaims(t *testing.T) {
	type step struct {
		claim  Claim
		owners string
	}
	one := func(digest string, turn int) Claim { return Claim{Units: fused(digest), Lacks: nothing, Turn: turn} }
	for _, c := range []struct {
		name  string
		ran   []Unit
		steps []step
	}{
		{"first and again", nil, []step{
			{one("a", 0), "light=a/1[]"},
			{one("a", 0), "light=a/1[]"},
		}},
		{"what was replaced does not come back by itself", fused("a"), []step{
			{one("b", 0), "light=b/1[a]"},
			{one("a", 0), "light=b/1[a]"},
			{one("a", 1), "light=a/2[b]"},
			{one("b", 0), "light=a/2[b]"},
			{one("b", 1), "light=a/2[b]"}, // that turn is over
			{one("c", 0), "light=c/3[b a]"},
			{one("b", 2), "light=c/3[b a]"},
			{one("b", 9), "light=b/4[a c]"},
		}},
		{"a layout that lacks a segment gives it up", cut("a", "h"), []step{
			{Claim{Units: fused("b"), Lacks: heavy}, "heavy=/1[h] light=b/1[a]"},
			{Claim{Units: fused("b"), Lacks: heavy}, "heavy=/1[h] light=b/1[a]"},
			{Claim{Units: cut("a", "h"), Lacks: nothing}, "heavy=/1[h] light=b/1[a]"},
			{Claim{Units: cut("a", "h")[1:], Lacks: nothing}, "heavy=/1[h] light=b/1[a]"}, // a host of the old heavy segment
			{Claim{Units: cut("c", "h"), Lacks: nothing}, "heavy=h/2[] light=c/2[a b]"},
		}},
		{"a segment that stays as it is", cut("a", "h"), []step{
			{Claim{Units: cut("b", "h"), Lacks: nothing}, "heavy=h/1[] light=b/1[a]"},
			{Claim{Units: cut("c", "h"), Lacks: nothing}, "heavy=h/1[] light=c/2[a b]"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := ran(State{}, c.ran...)
			for i, step := range c.steps {
				s = add(s, s.replace(step.claim, noon)...)
				if got := owners(s); got != step.owners {
					t.Fatalf("step %d: %s; want %s", i, got, step.owners)
				}
			}
		})
	}
}

// The records of later segments come first: whoever sees its own has seen those that concern what follows.
func TestClaimOrder(t *testing.T) {
	var keys []string
	for _, r := range ran(State{}, cut("a", "h")...).replace(Claim{Units: fused("b"), Lacks: heavy}, noon) {
		keys = append(keys, string(r.Key))
	}
	if got := fmt.Sprint(keys); got != "[owner/heavy owner/light]" {
		t.Errorf("records of %s", got)
	}
}

// A record remembers the latest digests that were replaced, and not without bound.
func TestReplacedIsBounded(t *testing.T) {
	var s State
	for i := range 2 * replacedMost {
		s = add(s, s.replace(Claim{Units: fused(fmt.Sprint(i)), Lacks: nothing}, noon)...)
	}
	o := s.owners["light"]
	if len(o.Replaced) != replacedMost || o.Replaced[replacedMost-1] != fmt.Sprint(2*replacedMost-2) {
		t.Errorf("%d digests, the last %s", len(o.Replaced), o.Replaced[len(o.Replaced)-1])
	}
}

// What has to be drained first: units behind that were replaced, or that the layout lacks.
func TestOutgoing(t *testing.T) {
	s := ran(State{}, cut("a", "h")...)
	names := func(us []Unit) (out []string) {
		for _, u := range us {
			out = append(out, u.Segment)
		}
		return out
	}
	for _, c := range []struct {
		what  string
		s     State
		me    Unit
		lacks func(Unit) bool
		want  string
	}{
		{"the same layout", s, cut("b", "h")[0], nothing, "[]"},
		{"a layout that lacks it", s, fused("b")[0], heavy, "[heavy]"},
		{"its next version", add(s, s.replace(Claim{Units: cut("b", "g"), Lacks: nothing}, noon)...), cut("b", "g")[0], nothing, "[heavy]"},
		{"one before it", add(s, s.replace(Claim{Units: cut("b", "g"), Lacks: nothing}, noon)...), cut("b", "g")[1], nothing, "[]"},
	} {
		if got := fmt.Sprint(names(c.s.outgoing(c.me, c.lacks))); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// A unit of another name that read the same topic is a rival until this one has run after it.
func TestRival(t *testing.T) {
	me := fused("b")[0]
	me.Segment, me.Group = "main", "weir.p.main"
	s := ran(State{}, fused("a")...)
	if u, ok := s.rival(me); !ok || u.Segment != "light" {
		t.Errorf("no rival, %v", u)
	}
	if u, ok := ran(s, me).rival(me); ok {
		t.Errorf("%v is a rival of what ran after it", u)
	}
	if u, ok := s.rival(cut("b", "h")[1]); ok {
		t.Errorf("%v is a rival of what reads another topic", u)
	}
}

// What others write, or a later version, changes nothing.
func TestOtherRecords(t *testing.T) {
	s := ran(State{}, fused("a")...)
	for _, r := range [][2]string{{"policy/first/3", "{}"}, {"owner/light", ""}, {"unit/light", "[1]"}, {"", "x"}} {
		if got := s.with([]byte(r[0]), []byte(r[1])); owners(got) != "" || len(got.units) != 1 || !got.units["light"].same(fused("a")[0]) {
			t.Errorf("%q %q: %+v", r[0], r[1], got)
		}
	}
}
