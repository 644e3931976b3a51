package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The parser takes memory with the square of the depth and time with the square of the size: 200 KB of
// opening brackets took 18 GB, 128 KB of empty lines in a text 40 s. No spec comes near these bounds.
const (
	maxSpecBytes = 64 << 10
	maxSpecDepth = 100
)

// document is one spec's file while it is read: its tree, what was asked of it, and what was wrong.
type document struct {
	file    string
	body    ast.Node
	anchors map[string]ast.Node
	faults  []Fault
	faulted map[ast.Node]bool // values that have a fault: a second one would be its echo
	asked   map[*ast.MappingNode]*keys
	opened  []*ast.MappingNode // the keys of asked, in order
	spec    *Spec
	columns columns
}

// keys are the keys of one map that were asked for: what it may hold. whole means all of them.
type keys struct {
	names []string
	path  string
	whole bool
}

// parseDocument reads YAML. What is no YAML, or of a kind that a spec has no use for, is a fault.
func parseDocument(file string, data []byte) *document {
	d := &document{file: file, anchors: map[string]ast.Node{}, faulted: map[ast.Node]bool{},
		asked: map[*ast.MappingNode]*keys{}}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(data) > maxSpecBytes:
		d.fault(Pos{File: file}, "the file has %d bytes; a spec has at most %d", len(data), maxSpecBytes)
	case !utf8.Valid(data):
		d.fault(firstInvalid(file, data), "the file is not UTF-8; save it as UTF-8")
	default:
		d.parse(data)
	}
	return d
}

func firstInvalid(file string, data []byte) Pos {
	good := 0
	for good < len(data) {
		r, n := utf8.DecodeRune(data[good:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		good += n
	}
	line := data[bytes.LastIndexByte(data[:good], '\n')+1 : good]
	return Pos{file, 1 + bytes.Count(data[:good], []byte("\n")), 1 + utf8.RuneCount(line)}
}

func (d *document) parse(data []byte) {
	// The YAML library is given foreign text; a bug of its own must end as a fault like any other.
	defer func() {
		if r := recover(); r != nil {
			d.body = nil
			d.fault(Pos{File: d.file}, "the YAML parser cannot read the file (%v)", r)
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if tk := tooDeep(tokens); tk != nil {
		d.fault(d.posOf(tk), "nested deeper than %d levels", maxSpecDepth)
		return
	}
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err, data)
		return
	}
	var bodies []ast.Node
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		d.fault(Pos{d.file, 1, 1}, "the file is empty; a spec begins with `pipeline: NAME`")
		return
	case len(bodies) > 1:
		d.fault(d.nodePos(bodies[1]), "a second YAML document begins here; a file holds one pipeline")
	}
	if bodies[0].Type() != ast.MappingType {
		d.fault(d.nodePos(bodies[0]), "a spec is a map; it begins with `pipeline: NAME`")
		return
	}
	d.body = bodies[0]
	d.check(d.body)
}

// tooDeep gives the token that passes the bound. Brackets nest across lines; dashes and question marks
// nest within one. (Indentation nests at most as deep as the size bound allows, which the parser bears.)
func tooDeep(tokens token.Tokens) *token.Token {
	brackets, marks, line := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position.Line != line {
			line, marks = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			marks++
		}
		if brackets+marks > maxSpecDepth {
			return tk
		}
	}
	return nil
}

func (d *document) syntax(err error, data []byte) {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		d.fault(Pos{File: d.file}, "%v", err)
		return
	}
	pos := d.posOf(at.GetToken())
	line := strings.Split(string(data), "\n")[min(pos.Line-1, bytes.Count(data, []byte("\n")))]
	d.fault(pos, "%s%s", at.GetMessage(), hint(at.GetMessage(), line))
}

// hint is the remedy of the mistakes that are made most.
func hint(message, line string) string {
	switch {
	case strings.Contains(line, "{") && strings.Contains(line, "fixed_list<"):
		return "; within braces, quote a type that has brackets: \"fixed_list<uint8>[784]\""
	case strings.HasPrefix(message, "mapping value is not allowed"):
		return "; check the indentation, and quote a text that has a colon in it"
	case strings.HasPrefix(message, "tab character"):
		return "; indent with spaces"
	}
	return ""
}

// check walks the tree once for what no reader should meet: keys that stand twice, aliases of nothing,
// and the parts of YAML that a spec does without.
func (d *document) check(n ast.Node) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, kv := range n.Values {
			d.check(kv.Value)
		}
		d.checkKeys(n)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			d.check(v)
		}
	case *ast.AnchorNode:
		d.check(n.Value) // first: an alias within its own anchor would never end
		name := n.Name.GetToken().Value
		if d.anchors[name] != nil {
			d.fault(d.nodePos(n), "anchor &%s stands twice; give each its own name", name)
		}
		d.anchors[name] = n.Value
	case *ast.AliasNode:
		if name := n.Value.GetToken().Value; d.anchors[name] == nil {
			d.fault(d.nodePos(n), "alias *%s has no anchor &%s before it", name, name)
		}
	case *ast.TagNode:
		d.fault(d.nodePos(n), "tag %s means nothing here; remove it", n.GetToken().Value)
	}
}

// checkKeys leaves in a map only keys that are plain and stand there for the first time.
func (d *document) checkKeys(n *ast.MappingNode) {
	var kept []*ast.MappingValueNode
	first := map[string]Pos{}
	for _, kv := range n.Values {
		pos := d.nodePos(kv.Key)
		switch kv.Key.Type() {
		case ast.MergeKeyType:
			d.fault(pos, "merge keys (<<) are not supported; write the keys out")
			continue
		case ast.MappingKeyType, ast.AnchorType, ast.AliasType, ast.TagType:
			d.fault(pos, "a key is plain text; write `key: value`")
			continue
		}
		key := keyOf(kv)
		if at, twice := first[key]; twice {
			d.fault(pos, "key %q stands twice, first on line %d; keep one", key, at.Line)
			continue
		}
		first[key] = pos
		kept = append(kept, kv)
	}
	n.Values = kept
}

// resolve follows anchors and aliases to the value itself, nil where there is none.
func (d *document) resolve(n ast.Node) ast.Node {
	for {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.AliasNode:
			n = d.anchors[v.Value.GetToken().Value]
		case *ast.TagNode:
			return nil
		default:
			return n
		}
	}
}

func keyOf(kv *ast.MappingValueNode) string {
	if s, ok := kv.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return kv.Key.GetToken().Value
}

func (d *document) posOf(tk *token.Token) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{File: d.file}
	}
	return Pos{d.file, tk.Position.Line, tk.Position.Column}
}

// nodePos is where a node begins. The library places a block map at the colon of its first key.
func (d *document) nodePos(n ast.Node) Pos {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return d.posOf(m.Values[0].Key.GetToken())
	}
	return d.posOf(n.GetToken())
}

func (d *document) fault(pos Pos, format string, args ...any) {
	d.faults = append(d.faults, Fault{Pos: pos, Message: fmt.Sprintf(format, args...)})
}
