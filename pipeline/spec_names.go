package pipeline

import (
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// namer gives stages their names: the one of the spec, else that of the stage's model, else the kind with
// a number. Names are unique over the pipeline; given names come first, so that a default never takes one.
type namer struct {
	spec  *Spec
	taken map[string]Pos
	given map[Pos]string
	count map[string]int
}

func newNamer(s *Spec, items []Entry) *namer {
	n := &namer{spec: s, taken: map[string]Pos{}, given: map[Pos]string{}, count: map[string]int{}}
	for _, item := range items {
		if item.Key == segmentKey || !item.Value.IsMap() {
			continue
		}
		node := item.Value.peek("name")
		if !node.Exists() {
			continue
		}
		name := node.readName()
		if at, twice := n.taken[name]; twice {
			node.Errorf("a stage %q is on line %d already; give each its own name", name, at.Line)
			continue
		}
		n.taken[name], n.given[item.Pos] = node.pos, name
	}
	return n
}

func (n *namer) name(item Entry) (name, renamedFrom string) {
	n.count[item.Key]++
	if item.Value.IsMap() {
		from := item.Value.peek("renamed_from")
		if from.Exists() {
			renamedFrom = from.readName()
		}
		if at, ok := n.taken[renamedFrom]; ok && renamedFrom != "" {
			from.Errorf("the stage on line %d has that name; a stage takes over the state of one that is gone", at.Line)
		}
	}
	if given, ok := n.given[item.Pos]; ok {
		return given, renamedFrom
	}
	name = item.model()
	_, known := n.spec.Models[name]
	_, taken := n.taken[name]
	for i := n.count[item.Key]; taken || !known; i++ {
		name, known = item.Key+strconv.Itoa(i), true
		_, taken = n.taken[name]
	}
	n.taken[name] = item.Pos
	return name, renamedFrom
}

// model is the model that a stage's options name, whether or not there is one.
func (e Entry) model() string {
	if text, ok := e.Value.text(); ok {
		return text
	}
	if !e.Value.IsMap() {
		return ""
	}
	text, _ := e.Value.peek("model").text()
	return text
}

// peek is Get of a map without a trace: it neither asks for the key nor reports that it has no value.
func (n Node) peek(key string) Node {
	absent := Node{doc: n.doc, pos: n.pos, path: n.join(key)}
	for _, kv := range n.value.(*ast.MappingNode).Values {
		if keyOf(kv) != key {
			continue
		}
		if _, null := n.doc.resolve(kv.Value).(*ast.NullNode); null {
			absent.pos = n.doc.nodePos(kv.Key)
			return absent
		}
		return n.child(kv, absent)
	}
	return absent
}
