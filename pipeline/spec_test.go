package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/cockroachdb/datadriven"

	"weir/pipeline"
	"weir/schemas"
)

// described is a stage that is nothing but what its options said.
type described string

func (described) Process(_ context.Context, in arrow.Record) (arrow.Record, error) {
	in.Retain()
	return in, nil
}

// kinds read their options as real stages do; probe reads one of everything.
func kinds() []pipeline.Kind {
	return []pipeline.Kind{
		{Name: "predict", Build: func(n pipeline.Node) (pipeline.Stage, error) {
			m := n.Need("model").Model()
			return described(fmt.Sprintf("model=%s", m.Name)), nil
		}},
		{Name: "gate", Build: func(n pipeline.Node) (pipeline.Stage, error) {
			score := n.Get("score").OneOf("max_probability", "entropy", "margin")
			atLeast := n.Need("at_least").FloatIn(0, 1)
			return described(fmt.Sprintf("score=%s at_least=%g last=%t", score, atLeast, !n.Precedes("predict"))), nil
		}},
		{Name: "cast", Build: func(n pipeline.Node) (pipeline.Stage, error) {
			column, as := n.Need("column").Column(), n.Get("as").String()
			if as != "" {
				n.Adds(schemas.Field{Name: as, Type: schemas.Type{Kind: schemas.Float32}})
			}
			field, _ := n.Field(column)
			return described(fmt.Sprintf("column=%s:%s as=%s", column, field.Type, as)), nil
		}},
		{Name: "probe", Build: probe},
		{Name: "list", Build: func(n pipeline.Node) (pipeline.Stage, error) {
			var texts []string
			for _, item := range n.Items() {
				texts = append(texts, item.String())
			}
			return described(strings.Join(texts, "+")), nil
		}},
		{Name: "refuse", Build: func(n pipeline.Node) (pipeline.Stage, error) {
			return nil, errors.New("cannot be built here")
		}},
		{Name: "refuse_model", Build: func(n pipeline.Node) (pipeline.Stage, error) {
			n.Get("model")
			return nil, n.Spec().Errorf(n.Spec().At("models", "m", "path"), "no such file: %w", os.ErrNotExist)
		}},
	}
}

func probe(n pipeline.Node) (pipeline.Stage, error) {
	sub := n.Get("sub")
	text := fmt.Sprintf("string=%q int=%d float=%g bool=%t duration=%s bytes=%d strings=%q map=%v columns=%q sub=%d deep=%q",
		n.Get("string").String("none"), n.Get("int").Int(7), n.Get("float").Float(0.5), n.Get("bool").Bool(true),
		n.Get("duration").Duration(time.Second), n.Get("bytes").Bytes(1024), n.Get("strings").Strings(),
		n.Get("map").Map(), n.Get("columns").Columns(), sub.Get("small").IntIn(1, 9, 3), sub.Get("deep").Need("x").String())
	return described(text), nil
}

// The text files are specs and what becomes of them: `spec` prints faults, or what was read; `plan` and
// `topics` speak of the spec before them.
func TestSpec(t *testing.T) {
	datadriven.Walk(t, "testdata/spec", func(t *testing.T, path string) {
		var spec *pipeline.Spec
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if spec == nil && d.Cmd != "spec" {
				return "no spec\n"
			}
			switch d.Cmd {
			case "spec":
				var err error
				spec, err = pipeline.Parse("x.yaml", []byte(strings.NewReplacer(`\t`, "\t", `\xff`, "\xff", `\ufeff`, "\ufeff").Replace(d.Input)), kinds()...)
				if err != nil {
					return err.Error() + "\n"
				}
				return show(spec)
			case "plan":
				return plan(spec, d)
			case "topics":
				return topics(spec.TopicList(d.HasArg("all")))
			case "at":
				return spec.At(strings.Fields(d.Input)...).String() + "\n"
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func show(s *pipeline.Spec) string {
	var b strings.Builder
	fmt.Fprintf(&b, "pipeline %s objective=%s deadline=%s unknown=%s(%t) order=%s format=%s query=%d default=%v labels=%q headers=%q columns=%q\n",
		s.Pipeline, s.Objective, s.Deadline, s.Unknown, s.Schema.RejectUnknown, s.Order, s.Format, s.Limits.Query, s.Default.Label, s.Labels, s.Headers, s.Columns)
	for _, f := range s.Schema.Fields {
		fmt.Fprintf(&b, "column %s %s null=%t nan=%t\n", f.Name, f.Type, f.Type.Null, f.Type.NaN)
	}
	for _, name := range s.ModelNames {
		m := s.Models[name]
		fmt.Fprintf(&b, "model %s runtime=%s path=%s inputs=%v scores=%v outputs=%v labels=%q instances=%d threads=%d %s\n",
			m.Name, m.Runtime, m.Path, m.Inputs, m.Scores, m.Outputs, m.Labels, m.Instances, m.Threads, m.Pos)
	}
	for _, seg := range s.Segments {
		fmt.Fprintf(&b, "segment %s %s\n", seg.Name, seg.Pos)
		for _, st := range seg.Stages {
			fmt.Fprintf(&b, "  %s %s %s: %s\n", st.Kind, strings.TrimSuffix(st.Name+"<-"+st.RenamedFrom, "<-"), st.Pos, st.Stage)
		}
	}
	return b.String()
}

func plan(s *pipeline.Spec, d *datadriven.TestData) string {
	units, err := s.Plan(strings.Fields(d.Input))
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, u := range units {
		var names []string
		for _, seg := range u.Segments {
			names = append(names, seg.Name)
		}
		fmt.Fprintf(&b, "%s: %s -> %s -> %s group=%s first=%t last=%t spread=%d next=%d\n",
			u.Name, u.In, strings.Join(names, "+"), u.Next, u.Group, u.First, u.Last, u.Spread, u.NextSpread)
	}
	return b.String()
}

func topics(list []pipeline.TopicDef) string {
	var b strings.Builder
	for _, t := range list {
		fmt.Fprintf(&b, "%s partitions=%d replication=%d", t.Name, t.Partitions, t.Replication)
		for _, k := range slices.Sorted(maps.Keys(t.Config)) {
			fmt.Fprintf(&b, " %s=%s", k, t.Config[k])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Load reads what Parse reads, with paths beside the file.
func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	text := "pipeline: p\nschema: {x: float32}\nlabels: l.txt\nstages: [{probe: {}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := pipeline.Load(file, kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(file), "l.txt"); spec.Labels != want {
		t.Errorf("labels %s, want %s", spec.Labels, want)
	}
	_, err = pipeline.Load(file + ".none")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the file does not exist", err)
	}
}

// The example that the repository ships is a spec.
func TestLoadExample(t *testing.T) {
	spec, err := pipeline.Load("../examples/fashion/fashion.yaml", kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range spec.ModelNames {
		if _, err := os.Stat(filepath.Dir(spec.Models[name].Path)); err != nil {
			t.Error(err)
		}
	}
}

// Callers can tell a faulty spec from other errors, and a fault's cause through it.
func TestSpecError(t *testing.T) {
	text := "pipeline: p\nschema: {x: float32}\nmodels:\n  m: {runtime: r, path: p, outputs: {y: y}}\nstages: [{refuse_model: {model: m}}]\n"
	_, err := pipeline.Parse("x.yaml", []byte(text), kinds()...)
	var faulty *pipeline.SpecError
	if !errors.As(err, &faulty) || len(faulty.Faults) != 1 {
		t.Fatalf("got %v, want one fault", err)
	}
	if want := (pipeline.Pos{File: "x.yaml", Line: 4, Column: 25}); faulty.Faults[0].Pos != want {
		t.Errorf("at %s, want %s", faulty.Faults[0].Pos, want)
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cause of %v is lost", err)
	}
}

// Text that would take the YAML parser gigabytes or minutes ends at once.
func TestSpecBounds(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":    "a: " + strings.Repeat("[", 60_000),
		"braces":      strings.Repeat("{a: ", 15_000),
		"dashes":      strings.Repeat("- ", 30_000),
		"marks":       strings.Repeat("? ", 30_000),
		"indentation": deeper(350),
		"size":        strings.Repeat("# long\n", 200_000),
		"keys":        manyKeys(4500),
		"aliases":     "pipeline: p\na: &a [x]\n" + strings.Repeat("b: *a\n", 10_000),
	} {
		start := time.Now()
		_, err := pipeline.Parse("x.yaml", []byte(text))
		if took := time.Since(start); err == nil || took > 10*time.Second {
			t.Errorf("%s: %v after %s", name, err, took)
		}
		switch name {
		case "brackets", "braces", "dashes", "marks":
			if !strings.Contains(err.Error(), "nested deeper") {
				t.Errorf("%s: %.80s, want that it is nested too deep", name, err)
			}
		}
	}
	wide := "pipeline: p\nstages: [{probe: {}}]\nschema:\n"
	for i := range 300 {
		wide += fmt.Sprintf("  c%d: {type: float32}\n", i)
	}
	if _, err := pipeline.Parse("x.yaml", []byte(wide), kinds()...); err != nil {
		t.Errorf("many brackets that are closed: %v", err)
	}
}

func deeper(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d: {b: 1}\n", i)
	}
	return b.String()
}

// A spec is read or refused; no text makes the reader panic.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/spec/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "\nspec\n")[1:] {
			seed, _, _ := strings.Cut(part, "\n----")
			f.Add([]byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := pipeline.Parse("x.yaml", data, kinds()...)
		if err != nil {
			var faulty *pipeline.SpecError
			if !errors.As(err, &faulty) || len(faulty.Faults) == 0 {
				t.Errorf("%v holds no fault", err)
			}
			return
		}
		if _, err := spec.Plan(nil); err != nil {
			t.Error(err)
		}
		spec.TopicList(true)
	})
}
