package pipeline

import (
	"fmt"
	"slices"
)

// Layout says where a pipeline is cut: which boundaries between segments are topics even within a process.
type Layout struct {
	// Cut names the segments that read a topic of their own. The first segment always does.
	Cut []string
	// Spread is how many partitions of a segment's topic there are for each of the segment before it, by
	// segment. Default 1.
	Spread map[string]int
}

const (
	maxSpread     = 1024
	maxPartitions = 100_000
)

func (s *Spec) readLayout(n Node) {
	s.Layout = Layout{Spread: map[string]int{}}
	if !n.IsMap() {
		if text, _ := n.text(); text != "fused" {
			n.Errorf("want fused or {cut: [SEGMENT]}, have %s", describe(n.value))
		}
		return
	}
	s.Layout.Cut = n.Get("cut").distinct("a list of segments", func(item Node, name string) {
		s.checkBoundary(item, name, "it reads the queries; cut a later one")
	})
	for _, e := range n.Get("spread").Entries() {
		if s.checkBoundary(e.Value, e.Key, "its partitions are those of the queries; spread a later one") {
			s.Layout.Spread[e.Key] = e.Value.IntIn(1, maxSpread, 1)
		}
	}
}

// checkOrder finds fault with an order that a cut would break.
func (s *Spec) checkOrder(n Node) {
	if s.Order == ByKey && len(s.Layout.Cut) > 0 {
		n.Errorf("key needs all segments fused: answers of the first would overtake rows in the topic before %s; remove `cut` from layout, or order", s.Layout.Cut[0])
	}
}

// checkBoundary says whether name is a segment with one before it, else it finds fault with n. first is why
// the first segment will not do, and what will.
func (s *Spec) checkBoundary(n Node, name, first string) bool {
	names := s.segmentNames()
	switch i := slices.Index(names, name); {
	case i > 0:
		return true
	case i == 0:
		n.Errorf("%s is the first segment: %s", name, first)
	case len(names) > 1:
		n.Errorf("unknown segment %q; %s", clip(name), remedy(name, names[1:]))
	default:
		n.Errorf("unknown segment %q; divide the stages with `- segment: NAME`", clip(name))
	}
	return false
}

func (s *Spec) segmentNames() []string {
	var names []string
	for _, seg := range s.Segments {
		names = append(names, seg.Name)
	}
	return names
}

// A Unit is what a process runs as one: segments that are fused from one topic to the next.
type Unit struct {
	// Name is that of the first segment.
	Name     string
	Segments []SegmentSpec
	// In is the topic that it reads, Next the one that its open rows go to, "" after the last segment.
	In, Next string
	// Group is the consumer group that reads In.
	Group string
	// First says that In is the queries topic, Last that no segment follows.
	First, Last bool
	// Spread is how many partitions In has for each of the queries topic: partition q of In came from
	// partition q/Spread of the queries.
	Spread int
	// NextSpread is how many partitions Next has for each of In: partition p of In writes the partitions
	// p·NextSpread up to (p+1)·NextSpread of Next. It is 1 after the last segment.
	NextSpread int
}

// Plan says what a process runs that is to run these segments; none means all. Neighbours that run in the
// process are fused unless the layout cuts between them. To and from all other segments there is a topic,
// whatever the layout says.
func (s *Spec) Plan(run []string) ([]Unit, error) {
	names := s.segmentNames()
	for _, name := range run {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("pipeline: %s has no segment %q; %s", s.File, name, remedy(name, names))
		}
	}
	for _, name := range names {
		if s.Order == ByKey && len(run) > 0 && !slices.Contains(run, name) {
			return nil, fmt.Errorf("pipeline: %s says `order: key`, which needs all segments in one process, and %s is not to run; run all, or remove order", s.File, name)
		}
	}
	var units []Unit
	before := false // whether the segment before runs here
	for i, seg := range s.Segments {
		here := len(run) == 0 || slices.Contains(run, seg.Name)
		switch {
		case !here:
		case before && !slices.Contains(s.Layout.Cut, seg.Name):
			last := &units[len(units)-1]
			last.Segments = append(last.Segments, seg)
		default:
			units = append(units, Unit{
				Name: seg.Name, Segments: []SegmentSpec{seg}, In: s.input(i),
				Group: "weir." + s.Pipeline + "." + seg.Name, First: i == 0, Spread: s.spread(i), NextSpread: 1,
			})
		}
		before = here
	}
	for i := range units {
		s.connect(&units[i])
	}
	return units, nil
}

// connect leads a unit to the segment after its last one.
func (s *Spec) connect(u *Unit) {
	after := 1 + slices.Index(s.segmentNames(), u.Segments[len(u.Segments)-1].Name)
	if after == len(s.Segments) {
		u.Last = true
		return
	}
	u.Next = s.input(after)
	u.NextSpread = s.spread(after) / u.Spread
}

// input is the topic of segment i.
func (s *Spec) input(i int) string {
	if i == 0 {
		return s.Topics.Queries
	}
	return s.Topics.Next[s.Segments[i].Name]
}

// spread is how many partitions the topic of segment i has for each of the queries topic. It does not
// depend on which boundaries are cut, so that processes with other segments agree about it.
func (s *Spec) spread(i int) int {
	product := 1
	for _, seg := range s.Segments[1 : i+1] {
		product *= max(1, s.Layout.Spread[seg.Name])
	}
	return product
}

// checkPartitions bounds the partitions of the last and largest topic.
func (s *Spec) checkPartitions(root Node) {
	product := s.Topics.Partitions
	for _, seg := range s.Segments {
		product *= max(1, s.Layout.Spread[seg.Name])
		if product > maxPartitions {
			root.Get("layout").Get("spread").Errorf("segment %s's topic would have %d partitions; at most %d are allowed", seg.Name, product, maxPartitions)
			return
		}
	}
}
