package architecture

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
)

// allowed are the package variables that may change, each with its reason.
var allowed = map[string]string{
	"schemas.Allocator": "memory pooled per process is the point: batches of all pipelines are made from it",
	"onnx.environment":  "ONNX Runtime has one environment a process, opened with the first model",
}

// pure are calls whose result nobody changes; a name that ends in ".*" stands for the whole package.
var pure = []string{
	"errors.New", "fmt.Errorf", "fmt.Sprintf", "regexp.MustCompile", "strings.NewReplacer", "hash/crc32.MakeTable", "math.*", "time.Duration",
	"github.com/apache/arrow/go/v17/arrow.*", "github.com/charmbracelet/lipgloss.*",
	"github.com/prometheus/client_golang/prometheus.ExponentialBuckets", "github.com/prometheus/client_golang/prometheus.LinearBuckets",
}

// State at package level is read-only: a table, an error, a compiled expression.
var state = rule{
	name: "state",
	check: func(all []*source) (found []finding) {
		packages := map[string][]*source{}
		for _, s := range all {
			packages[s.dir+" "+s.syntax.Name.Name] = append(packages[s.dir+" "+s.syntax.Name.Name], s)
		}
		for _, key := range slices.Sorted(maps.Keys(packages)) {
			found = append(found, packageState(packages[key])...)
		}
		return found
	},
	good: map[string]string{
		"a/a.go": `package a
			import ("errors"; "regexp"; "github.com/apache/arrow/go/v17/arrow")
			var ErrGone = errors.New("gone")
			var word = regexp.MustCompile("a")
			var names = map[string]int{"a": 1}
			var list = [...]string{"a"}
			var moment = &arrow.TimestampType{}
			var _ I = (*T)(nil)
			var run = func() {}
			var zeros [8]byte
			var kind = arrow.StructOf(field("a"))
			func field(name string) arrow.Field { return arrow.Field{Name: name} }
			var squares = func() (t [4]int) { for i := range t { t[i] = i * i }; return t }()
			//go:embed page.html
			var page string
			func f(names map[string]int) { names["b"] = 2; list := 1; list++; local := map[int]int{}; local[1] = 2 }`,
		"schemas/pool.go": `package schemas; var Allocator = &Pool{}`,
		"a/a_test.go":     `package a; var rewrite = flags()`,
	},
	bad: map[string]string{
		"a/a.go": `package a
			import ("sync"; "weir/schemas")
			var count int
			var lock sync.Mutex
			var cache = make(map[string]int)
			var shared = &T{}
			var table = map[string]int{"a": 1}
			var once = sync.Once{}
			var made = func() map[int]int { return nil }()
			var thing, loop = newThing(), again()
			func newThing() *T { return &T{} }
			func again() int { return again() }
			var size, rate = 1, 2
			func f() { table["b"] = 2; size++; schemas.Allocator = nil }`,
		"a/b.go": `package a
			func g() { p := &rate; _ = p }`,
	},
	finds: []string{
		"a/a.go:3: count", "a/a.go:4: lock", "a/a.go:5: cache", "a/a.go:6: shared", "a/a.go:8: once", "a/a.go:9: made", "a/a.go:10: thing", "a/a.go:10: loop",
		"a/a.go:14: table is written", "a/a.go:14: size is written", "a/b.go:2: the address of rate is taken",
		"a/a.go:14: schemas.Allocator is written from another package",
	},
}

func packageState(files []*source) (found []finding) {
	names := map[string]bool{}
	for _, s := range files {
		if s.test {
			continue
		}
		v := values{s, helpers(files)}
		for _, d := range s.syntax.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				found = append(found, v.variables(gen, spec.(*ast.ValueSpec), names)...)
			}
		}
	}
	for _, s := range files {
		found = append(found, writes(s, names)...)
	}
	return found
}

// values judges the expressions of a file.
type values struct {
	source  *source
	helpers map[string]ast.Expr // what the package's functions of one line return
}

func helpers(files []*source) map[string]ast.Expr {
	all := map[string]ast.Expr{}
	for _, s := range files {
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || f.Body == nil || len(f.Body.List) != 1 {
				continue
			}
			if ret, ok := f.Body.List[0].(*ast.ReturnStmt); ok && len(ret.Results) == 1 {
				all[f.Name.Name] = ret.Results[0]
			}
		}
	}
	return all
}

// variables checks one declaration and adds to names what its checked variables are called.
func (v values) variables(gen *ast.GenDecl, spec *ast.ValueSpec, names map[string]bool) (found []finding) {
	s := v.source
	for i, id := range spec.Names {
		if _, ok := allowed[s.syntax.Name.Name+"."+id.Name]; ok || id.Name == "_" {
			continue
		}
		names[id.Name] = true
		switch {
		case embedded(gen.Doc) || embedded(spec.Doc):
		case len(spec.Values) == 0 && isArray(spec.Type): // zeros
		case len(spec.Values) == 0:
			found = append(found, s.at(id.Pos(), "%s has no value yet, so something changes it: state belongs in a value that is passed on", id.Name))
		case !v.fixed(spec.Values[min(i, len(spec.Values)-1)]):
			found = append(found, s.at(id.Pos(), "%s may change: state belongs in a value that is passed on", id.Name))
		}
	}
	return found
}

func isArray(t ast.Expr) bool {
	a, ok := t.(*ast.ArrayType)
	return ok && a.Len != nil
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// fixed says that an initial value is one that nobody changes unless writes sees it.
func (v values) fixed(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident, *ast.SelectorExpr, *ast.FuncLit:
		return true
	case *ast.ParenExpr:
		return v.fixed(e.X)
	case *ast.BinaryExpr:
		return v.fixed(e.X) && v.fixed(e.Y)
	case *ast.KeyValueExpr:
		return v.fixed(e.Value)
	case *ast.CompositeLit:
		if pkg := qualifier(v.source, e.Type); strings.HasPrefix(pkg, "sync") {
			return false
		}
		return !slices.ContainsFunc(e.Elts, func(x ast.Expr) bool { return !v.fixed(x) })
	case *ast.UnaryExpr: // a pointer is fixed where its type is: Arrow's types have no setters
		return e.Op != token.AND || strings.HasPrefix(qualifier(v.source, e.X), "github.com/apache/arrow/") && v.fixed(e.X)
	case *ast.CallExpr:
		return v.pureCall(e)
	}
	return false
}

func (v values) pureCall(call *ast.CallExpr) bool {
	if slices.ContainsFunc(call.Args, func(x ast.Expr) bool { return !v.fixed(x) }) {
		return false
	}
	switch f := call.Fun.(type) {
	case *ast.ArrayType, *ast.ParenExpr: // a conversion
		return true
	case *ast.FuncLit: // a table that is worked out; an array is a value, so that nothing else holds it
		return len(f.Type.Results.List) == 1 && isArray(f.Type.Results.List[0].Type)
	case *ast.Ident:
		if body, ok := v.helpers[f.Name]; ok {
			// The helper may stand in another file, whose imports have the same names here; it must not call itself.
			rest := maps.Clone(v.helpers)
			delete(rest, f.Name)
			return values{v.source, rest}.fixed(body)
		}
		return f.Name == "len" || f.Name == "string"
	case *ast.SelectorExpr:
		if inner, ok := f.X.(*ast.CallExpr); ok { // a chain: style.Bold(true).Width(3)
			return v.pureCall(inner)
		}
		pkg := qualifier(v.source, f)
		return slices.Contains(pure, pkg+"."+f.Sel.Name) || slices.Contains(pure, pkg+".*")
	}
	return false
}

// qualifier is the import path of the package that a (composite of a) qualified name stands in.
func qualifier(s *source, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return qualifier(s, e.Type)
	case *ast.SelectorExpr:
		if id, ok := e.X.(*ast.Ident); ok {
			for _, imp := range s.syntax.Imports {
				if p := importPath(imp); s.localNames(p)[id.Name] {
					return p
				}
			}
		}
	}
	return ""
}

// writes finds assignments to the package variables in names, their addresses, and assignments to variables
// of our other packages.
func writes(s *source, names map[string]bool) (found []finding) {
	target := func(e ast.Expr) {
		id := rootName(e)
		if id == nil {
			return
		}
		if names[id.Name] && (id.Obj == nil || id.Obj == s.syntax.Scope.Lookup(id.Name)) {
			found = append(found, s.at(id.Pos(), "%s is written", id.Name))
			return
		}
		sel, ok := e.(*ast.SelectorExpr)
		if ok && sel.X == id && id.Obj == nil && strings.HasPrefix(qualifier(s, sel), module+"/") {
			found = append(found, s.at(sel.Pos(), "%s.%s is written from another package", id.Name, sel.Sel.Name))
		}
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if n.Tok != token.DEFINE {
					target(e)
				}
			}
		case *ast.IncDecStmt:
			target(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				target(n.Key)
				target(n.Value)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear") && len(n.Args) > 0 {
				target(n.Args[0])
			}
		case *ast.UnaryExpr:
			if id := rootName(n.X); n.Op == token.AND && id != nil && names[id.Name] && (id.Obj == nil || id.Obj == s.syntax.Scope.Lookup(id.Name)) {
				found = append(found, s.at(n.Pos(), "the address of %s is taken", id.Name))
			}
		}
		return true
	})
	return found
}

// rootName is x in x, x.f, x[i], *x and their compositions.
func rootName(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// stale are the allowances that no variable needs any more.
func stale(all []*source) (found []finding) {
	seen := map[string]bool{}
	for _, s := range all {
		for name := range s.syntax.Scope.Objects {
			seen[s.syntax.Name.Name+"."+name] = true
		}
	}
	for name := range allowed {
		if !seen[name] {
			found = append(found, finding(fmt.Sprintf("allowed: %s is gone", name)))
		}
	}
	return found
}
