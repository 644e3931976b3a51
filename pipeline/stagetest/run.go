package stagetest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	_ "github.com/cockroachdb/datadriven" // defines -rewrite; two definitions would panic

	"weir/pipeline"
	"weir/schemas"
)

// testCase is one case of a file.
type testCase struct {
	line     int    // of the input, from 1
	before   string // comments and blank lines, as they stand
	input    string
	expected string
}

// Run compares the stage with every case of the file.
func Run(t *testing.T, stage pipeline.Stage, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cases, err := parseCases(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	inUse := schemas.Allocator.InUse()
	for i := range cases {
		got := process(stage, cases[i].input)
		if !rewriting() && got != cases[i].expected {
			t.Errorf("%s:%d: got\n%s\nwant\n%s", file, cases[i].line, got, cases[i].expected)
		}
		cases[i].expected = got
	}
	if leak := schemas.Allocator.InUse() - inUse; leak != 0 {
		t.Errorf("%s: the stage leaked %d bytes of Arrow memory", file, leak)
	}
	if rewriting() {
		if err := os.WriteFile(file, []byte(formatCases(cases)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func rewriting() bool {
	f := flag.Lookup("rewrite")
	return f != nil && f.Value.String() == "true"
}

// process is the stage's output for an input table, as text.
func process(stage pipeline.Stage, input string) string {
	in, err := schemas.ParseTable(input)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	defer in.Release()
	before := schemas.FormatTable(in)
	out, err := stage.Process(context.Background(), in)
	if after := schemas.FormatTable(in); after != before {
		return "error: the stage changed its input to\n" + after
	}
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	defer out.Release()
	answer := withoutTrace(out)
	defer answer.Release()
	return schemas.FormatTable(answer)
}

// withoutTrace is rec without the columns that are no part of the answer.
func withoutTrace(rec arrow.Record) arrow.Record {
	return schemas.Select(rec, func(name string) bool { return !trace(name) })
}

func trace(name string) bool {
	if name == schemas.Late || name == schemas.Total {
		return true
	}
	if !strings.HasPrefix(name, schemas.RanPrefix) {
		return false
	}
	for _, suffix := range [...]string{schemas.RanWait, schemas.RanRun, schemas.RanBatch} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func parseCases(text string) (cases []testCase, err error) {
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); {
		c := testCase{}
		for i < len(lines) && (strings.TrimSpace(lines[i]) == "" || lines[i][0] == '#') {
			c.before += lines[i]
			i++
		}
		if c.line = i + 1; i == len(lines) {
			break
		}
		for i < len(lines) && strings.TrimSpace(lines[i]) != "----" {
			c.input += lines[i]
			i++
		}
		if i == len(lines) {
			return nil, fmt.Errorf("line %d: the case has no ---- and no output", c.line)
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != ""; i++ {
			c.expected += lines[i]
		}
		if c.expected != "" && !strings.HasSuffix(c.expected, "\n") {
			c.expected += "\n"
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("no cases")
	}
	return cases, nil
}

func formatCases(cases []testCase) string {
	var b strings.Builder
	for _, c := range cases {
		b.WriteString(c.before + c.input + "----\n" + c.expected)
	}
	return b.String()
}
