package architecture

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// root is the repository as seen from this package, where go test runs.
const root = "../.."

// A source is one Go file.
type source struct {
	path   string // from the root, with slashes
	dir    string
	test   bool
	lines  int
	fset   *token.FileSet
	syntax *ast.File
}

// A finding is one place that breaks a rule.
type finding string

func (s *source) at(p token.Pos, format string, args ...any) finding {
	return finding(fmt.Sprintf("%s:%d: %s", s.path, s.fset.Position(p).Line, fmt.Sprintf(format, args...)))
}

// in says whether the file lies in one of the folders or below.
func (s *source) in(folders ...string) bool {
	for _, f := range folders {
		if s.dir == f || strings.HasPrefix(s.dir, f+"/") {
			return true
		}
	}
	return false
}

// uses calls each with every selector NAME.Selector where NAME is the import of the package.
func (s *source) uses(pkg string, each func(*ast.SelectorExpr)) {
	names := s.localNames(pkg)
	if len(names) == 0 {
		return
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			// An identifier that the parser could resolve is a variable that hides the import.
			if id, ok := sel.X.(*ast.Ident); ok && id.Obj == nil && names[id.Name] {
				each(sel)
			}
		}
		return true
	})
}

// localNames are the names under which the file imports a package.
func (s *source) localNames(pkg string) map[string]bool {
	names := map[string]bool{}
	for _, imp := range s.syntax.Imports {
		if importPath(imp) != pkg {
			continue
		}
		if imp.Name != nil {
			names[imp.Name.Name] = true
		} else {
			names[packageName(pkg)] = true
		}
	}
	return names
}

// packageName guesses a package's name from its path, which is right for all that the rules ask about.
func packageName(pkg string) string {
	return strings.TrimSuffix(path.Base(pkg), "-go")
}

func importPath(imp *ast.ImportSpec) string {
	p, err := strconv.Unquote(imp.Path.Value)
	if err != nil {
		panic(err) // the parser accepts no such import
	}
	return p
}

func parse(name string, text []byte) (*source, error) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	return &source{
		path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
		lines: strings.Count(string(text), "\n"), fset: fset, syntax: syntax,
	}, nil
}

// tree parses every Go file of the repository.
func tree(t *testing.T) []*source {
	t.Helper()
	var all []*source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != root && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor" || base == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), text)
		if err != nil {
			return err
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.path == "schemas/columns.go" {
			return all
		}
	}
	t.Fatalf("the walk from %s saw %d files, but not schemas/columns.go", root, len(all))
	return nil
}
