package stagetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/pipeline"
	"weir/schemas"
)

// clip limits amount to 0 to 10, unless broken.
type clip struct {
	broken string
	calls  *atomic.Int64
}

func (c clip) Process(_ context.Context, in arrow.Record) (arrow.Record, error) {
	col, err := schemas.Column[*array.Float32](in, "amount")
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	b := array.NewFloat32Builder(schemas.Allocator)
	defer b.Release()
	first := float32(0)
	for row := range col.Len() {
		if col.IsNull(row) {
			b.AppendNull()
			continue
		}
		v := min(max(col.Value(row), 0), 10)
		switch c.broken {
		case "neighbour": // the answer depends on the batch's first row
			if row == 0 {
				first = v
			}
			v += first
		case "place": // it depends on the place within the batch
			v += float32(row)
		case "calls": // it depends on how often it was called
			v += float32(c.calls.Add(1))
		}
		b.Append(v)
	}
	out := b.NewArray()
	if c.broken != "leak" {
		defer out.Release()
	}
	rec := schemas.With(in, schemas.Named{Name: "amount", Array: out})
	switch c.broken {
	case "drop":
		defer rec.Release()
		return schemas.Select(rec, func(name string) bool { return name != "query_id" }), nil
	case "rows":
		defer rec.Release()
		return rec.NewSlice(0, max(rec.NumRows()-1, 0)), nil
	case "order":
		defer rec.Release()
		return reversed(rec), nil
	case "zero":
		if rec.NumRows() == 0 {
			defer rec.Release()
			return schemas.Select(rec, func(name string) bool { return name != "amount" }), nil
		}
	case "input":
		if col.Len() > 0 && col.IsValid(0) { // what stands under a null is nobody's
			col.Float32Values()[0] = 4711
		}
	}
	return rec, nil
}

func reversed(rec arrow.Record) arrow.Record {
	rows := make([]int, rec.NumRows())
	for i := range rows {
		rows[i] = len(rows) - 1 - i
	}
	return schemas.Take(rec, rows)
}

var _ pipeline.Stage = clip{}

func TestRun(t *testing.T)  { Run(t, clip{}, "testdata/clip.txt") }
func TestLaws(t *testing.T) { Laws(t, clip{}) }

// TestLawsFail runs itself with each broken stage and reads what Laws says.
func TestLawsFail(t *testing.T) {
	if broken := os.Getenv("WEIR_BROKEN_STAGE"); broken != "" {
		Laws(t, clip{broken: broken, calls: new(atomic.Int64)}, File("testdata/clip.txt"))
		return
	}
	for broken, want := range map[string]string{
		"neighbour": "law 2, row-local",
		"place":     "law 2, row-local",
		"calls":     "law ",
		"drop":      `law 1, identity: column "query_id" is gone`,
		"rows":      "law 1, identity",
		"order":     "law 1, identity",
		"zero":      "zero rows",
		"input":     "the stage changed its input",
		"leak":      "leaked",
	} {
		t.Run(broken, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestLawsFail$", "-rapid.nofailfile", "-rapid.checks=30")
			cmd.Env = append(os.Environ(), "WEIR_BROKEN_STAGE="+broken)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) {
				t.Fatalf("got %v, want a failure that says %q:\n%s", err, want, out)
			}
		})
	}
}

// TestRunFails runs a stage against a table that expects something else.
func TestRunFails(t *testing.T) {
	cases, err := parseCases("query_id  amount\n1         -3\n----\nquery_id  amount\n1         5\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := process(clip{}, cases[0].input), "query_id  amount\n1         0\n"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if _, err := parseCases("query_id\n1\n"); err == nil {
		t.Fatal("a case without ---- is accepted")
	}
}

// TestCasesRoundTrip holds that -rewrite keeps comments and blank lines.
func TestCasesRoundTrip(t *testing.T) {
	text, err := os.ReadFile("testdata/clip.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := parseCases(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := formatCases(cases); got != string(text) {
		t.Fatalf("got\n%s\nwant\n%s", got, text)
	}
}
