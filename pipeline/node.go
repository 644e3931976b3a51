package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"weir/schemas"
)

// A Node is a value of a spec: a map, a list, a text, a number, or nothing where the spec has no such
// value. It is what a Kind builds its stage from:
//
//	column := n.Need("column").Column()
//	limit := n.Get("at_least").FloatIn(0, 1, 0.9)
//	score := n.Get("score").OneOf("max_probability", "entropy", "margin")
//
// No getter fails. What is wrong is kept with its line and column, the getter returns its default, and
// Parse reports all faults of the file together and uses no stage of it. A value takes one fault: a second
// one, raised by the default that a first one left behind, is not reported. A Build reads all its options
// before it returns: a key that it never asked for is reported as unknown, with the nearest of those that
// it did ask for. (After an error of its own that check is left out.)
type Node struct {
	doc   *document
	value ast.Node // resolved; nil where the spec has no such value
	pos   Pos
	path  string
	stage *stageInfo
	root  bool // the options of the stage themselves
}

// stageInfo is what a stage's options know of the stage.
type stageInfo struct {
	name  string
	later []string // the kinds of the stages that follow, in whatever segment
}

// Entry is one key of a map and its value.
type Entry struct {
	Key   string
	Pos   Pos // of the key
	Value Node
}

// Spec is the pipeline that the Node belongs to. While stages are built it holds everything but the stages.
func (n Node) Spec() *Spec { return n.doc.spec }

// Exists says whether the spec has the value.
func (n Node) Exists() bool { return n.value != nil }

// IsMap says whether the value is a map.
func (n Node) IsMap() bool {
	_, ok := n.value.(*ast.MappingNode)
	return ok
}

// IsList says whether the value is a list.
func (n Node) IsList() bool {
	_, ok := n.value.(*ast.SequenceNode)
	return ok
}

// Get is the value of a key that a map may have.
func (n Node) Get(key string) Node {
	m := n.mapping()
	absent := Node{doc: n.doc, pos: n.pos, path: n.join(key), stage: n.stage}
	if m == nil {
		return absent
	}
	asked := n.doc.open(m, n.path)
	asked.names = append(asked.names, key)
	for _, kv := range m.Values {
		if keyOf(kv) == key {
			return n.child(kv, absent)
		}
	}
	return absent
}

// Need is the value of a key that a map must have.
func (n Node) Need(key string) Node {
	child := n.Get(key)
	if m, ok := n.value.(*ast.MappingNode); ok && child.value == nil && !has(m, key) {
		n.doc.fault(n.pos, "%s is missing", child.path)
	}
	return child
}

// Entries are the keys of a map in the order of the spec; those of a stage's options come without `name`
// and `renamed_from`.
func (n Node) Entries() []Entry {
	m := n.mapping()
	if m == nil {
		return nil
	}
	n.doc.open(m, n.path).whole = true
	var entries []Entry
	for _, kv := range m.Values {
		key := keyOf(kv)
		if n.root && (key == "name" || key == "renamed_from") {
			continue
		}
		value := n.child(kv, Node{doc: n.doc, path: n.join(key), stage: n.stage})
		entries = append(entries, Entry{key, n.doc.nodePos(kv.Key), value})
	}
	return entries
}

// Items are the values of a list.
func (n Node) Items() []Node {
	if n.value == nil {
		return nil
	}
	list, ok := n.value.(*ast.SequenceNode)
	if !ok {
		n.want("a list")
		return nil
	}
	var items []Node
	for i, v := range list.Values {
		item := Node{doc: n.doc, value: n.doc.resolve(v), pos: n.doc.nodePos(v), stage: n.stage,
			path: fmt.Sprintf("%s[%d]", n.path, i)}
		if _, null := item.value.(*ast.NullNode); null {
			n.doc.fault(item.pos, "%s has no value; give it one or remove the line", item.path)
			continue
		}
		if item.value != nil {
			items = append(items, item)
		}
	}
	return items
}

// Errorf records that something is wrong with the value. It says nothing about a value that the spec does
// not have: Need has reported it, or the default is at fault.
func (n Node) Errorf(format string, args ...any) {
	if n.value == nil || n.doc.faulted[n.value] {
		return
	}
	n.doc.faulted[n.value] = true
	err := fmt.Errorf(format, args...)
	message := err.Error()
	if n.path != "" {
		message = n.path + ": " + message
	}
	n.doc.faults = append(n.doc.faults, Fault{Pos: n.pos, Message: message, cause: err})
}

// mapping is the value as a map, nil and a fault if it is something else.
func (n Node) mapping() *ast.MappingNode {
	if n.value == nil {
		return nil
	}
	m, ok := n.value.(*ast.MappingNode)
	if !ok {
		n.want("a map")
	}
	return m
}

// want says what the value should be. A map in its place has no keys worth checking.
func (n Node) want(what string) {
	if m, ok := n.value.(*ast.MappingNode); ok {
		n.doc.open(m, n.path).whole = true
	}
	n.Errorf("want %s, have %s", what, describe(n.value))
}

// child fills absent with a key's value. A map or a list is placed at its key, a single value at itself.
func (n Node) child(kv *ast.MappingValueNode, absent Node) Node {
	value := n.doc.resolve(kv.Value)
	absent.pos = n.doc.nodePos(kv.Key)
	switch value.(type) {
	case nil:
		return absent
	case *ast.NullNode:
		n.doc.fault(absent.pos, "%s has no value; give it one or remove the line", absent.path)
		return absent
	case *ast.MappingNode, *ast.SequenceNode:
	default:
		absent.pos = n.doc.nodePos(kv.Value)
	}
	absent.value = value
	return absent
}

func (n Node) join(key string) string {
	if n.path == "" {
		return key
	}
	return n.path + "." + key
}

func (d *document) open(m *ast.MappingNode, path string) *keys {
	k := d.asked[m]
	if k == nil {
		k = &keys{path: path}
		d.asked[m] = k
		d.opened = append(d.opened, m)
	}
	return k
}

// unread reports the keys that nobody asked for.
func (d *document) unread() {
	for _, m := range d.opened {
		asked := d.asked[m]
		if asked.whole {
			continue
		}
		for _, kv := range m.Values {
			if key := keyOf(kv); !slices.Contains(asked.names, key) {
				prefix := asked.path
				if prefix != "" {
					prefix += ": "
				}
				d.fault(d.nodePos(kv.Key), "%sunknown key %q; %s", prefix, key, remedy(key, asked.names))
			}
		}
	}
}

// forget drops what was asked since mark, so that unread says nothing of it.
func (d *document) forget(mark int) {
	for _, m := range d.opened[mark:] {
		delete(d.asked, m)
	}
	d.opened = d.opened[:mark]
}

// remedy names the known name that was most likely meant, or all of them.
func remedy(name string, known []string) string {
	if near := schemas.Nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 {
		return "there is none"
	}
	return "known are " + strings.Join(unique(known), ", ")
}

func has(m *ast.MappingNode, key string) bool {
	for _, kv := range m.Values {
		if keyOf(kv) == key {
			return true
		}
	}
	return false
}

func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return fmt.Sprint(n.Value)
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		return fmt.Sprintf("%q", clip(n.Value))
	case *ast.LiteralNode:
		return fmt.Sprintf("%q", clip(n.Value.Value))
	}
	return "the number " + clip(n.GetToken().Value)
}

// clip keeps a message on one line.
func clip(s string) string {
	if runes := []rune(s); len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return s
}
