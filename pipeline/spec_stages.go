package pipeline

import (
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// readStages reads the list of stages, which `segment: NAME` divides into segments.
func (s *Spec) readStages(n Node, kinds []Kind) {
	items := stageItems(n)
	if n.IsList() && len(n.value.(*ast.SequenceNode).Values) == 0 {
		n.Errorf("no stages; a pipeline has at least one, such as `- predict: {model: NAME}`")
	}
	namer := newNamer(s, items)
	for i, item := range items {
		if item.Key == segmentKey {
			s.openSegment(item)
			continue
		}
		if len(s.Segments) == 0 {
			s.Segments = append(s.Segments, SegmentSpec{Name: mainSegment, Pos: item.Pos})
		}
		last := &s.Segments[len(s.Segments)-1]
		last.Stages = append(last.Stages, s.buildStage(item, namer, laterKinds(items[i+1:]), kinds))
	}
	for _, seg := range s.Segments {
		if len(seg.Stages) == 0 {
			s.doc.fault(seg.Pos, "segment %s has no stages; put one below it or remove it", seg.Name)
		}
	}
}

const (
	segmentKey  = "segment"
	mainSegment = "main"
)

// stageItems are the stages' kinds and options. A list entry that is no single-key map is a fault.
func stageItems(n Node) []Entry {
	var items []Entry
	for _, item := range n.Items() {
		if !item.IsMap() {
			item.Errorf("a stage is a map of one key, such as `- predict: {model: NAME}`; have %s", describe(item.value))
			continue
		}
		entry, ok := item.single()
		if ok {
			items = append(items, entry)
		}
	}
	return items
}

// single is the one key of a stage's map. A stage without options has an empty map of them.
func (n Node) single() (Entry, bool) {
	m := n.value.(*ast.MappingNode)
	if len(m.Values) == 0 {
		n.Errorf("a stage is a map of one key, such as `- predict: {model: NAME}`; this one is empty")
		return Entry{}, false
	}
	if len(m.Values) > 1 {
		n.doc.fault(n.doc.nodePos(m.Values[1].Key), "%q stands beside %q: a stage is a map of one key; indent its options further",
			clip(keyOf(m.Values[1])), clip(keyOf(m.Values[0])))
	}
	kv := m.Values[0]
	key := keyOf(kv)
	e := Entry{Key: key, Pos: n.doc.nodePos(kv.Key)}
	e.Value = Node{doc: n.doc, value: n.doc.resolve(kv.Value), pos: e.Pos, path: key, root: true}
	switch e.Value.value.(type) {
	case nil:
		return e, false
	case *ast.NullNode:
		e.Value.value = ast.Mapping(kv.Value.GetToken(), true)
	case *ast.MappingNode, *ast.SequenceNode:
	default:
		e.Value.pos = n.doc.nodePos(kv.Value)
	}
	return e, true
}

func laterKinds(items []Entry) []string {
	var kinds []string
	for _, item := range items {
		if item.Key != segmentKey {
			kinds = append(kinds, item.Key)
		}
	}
	return kinds
}

func (s *Spec) openSegment(item Entry) {
	if _, ok := item.Value.text(); !ok {
		item.Value.Errorf("want the segment's name, have %s; write `- segment: NAME`", describe(item.Value.value))
	}
	name := item.Value.readName()
	for _, seg := range s.Segments {
		if seg.Name == name && name != "" {
			item.Value.Errorf("a segment %q is on line %d already; give each its own name", name, seg.Pos.Line)
		}
	}
	if slices.Contains(ownTopics(), name) {
		item.Value.Errorf("%q is the name of one of a pipeline's own topics; rename the segment", name)
	}
	s.Segments = append(s.Segments, SegmentSpec{Name: name, Pos: item.Value.pos})
}

func (s *Spec) buildStage(item Entry, namer *namer, later []string, kinds []Kind) NamedStage {
	st := NamedStage{Kind: item.Key, Pos: item.Pos, options: item.Value.value}
	st.Name, st.RenamedFrom = namer.name(item)
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == item.Key })
	if i < 0 {
		names := []string{segmentKey}
		for _, k := range kinds {
			names = append(names, k.Name)
		}
		s.doc.fault(item.Pos, "unknown stage %q; %s", clip(item.Key), remedy(item.Key, names))
		return st
	}
	options := item.Value
	options.stage = &stageInfo{name: st.Name, later: later}
	mark := len(s.doc.opened)
	if options.IsMap() {
		options.Get("name") // read by the namer; here they become known keys
		options.Get("renamed_from")
	}
	stage, err := kinds[i].Build(options)
	if err != nil {
		s.doc.forget(mark)
		s.doc.faults = append(s.doc.faults, faultsOf(err, item.Pos, item.Key)...)
	}
	st.Stage = stage
	return st
}
