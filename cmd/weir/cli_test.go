package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"weir/connectors/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// outcome is what a command line did.
type outcome struct {
	code     int
	out, err string
}

// weir runs a command line as main does.
func weir(t *testing.T, in string, args ...string) outcome {
	t.Helper()
	return weirUntil(t.Context(), in, args...)
}

func weirUntil(ctx context.Context, in string, args ...string) outcome {
	var out, errs bytes.Buffer
	code := execute(ctx, args, streams{strings.NewReader(in), &out, &errs})
	return outcome{code, out.String(), errs.String()}
}

func commands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = append(all, commands(sub)...)
	}
	return all
}

// A command that is added twice stands twice in the help.
func TestCommandsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range commands(newRoot(&app{})) {
		if seen[c.CommandPath()] {
			t.Errorf("%s is there twice", c.CommandPath())
		}
		seen[c.CommandPath()] = true
	}
}

// Every command explains itself: what it is for, and how it is called, by an example that names it.
func TestHelp(t *testing.T) {
	for _, c := range commands(newRoot(&app{})) {
		if c.Short == "" || !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: short %q, example %q", c.CommandPath(), c.Short, c.Example)
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if n := len([]rune(line)); n > 120 {
				t.Errorf("%s: a line of %d characters: %s", c.CommandPath(), n, line)
			}
		}
		path := strings.Fields(c.CommandPath())[1:]
		got := weir(t, "", append(path, "--help")...)
		if got.code != exitOK || !strings.Contains(got.out, "Examples:\n"+c.Example) || got.err != "" {
			t.Errorf("%s --help: code %d, error output %q, output\n%s", c.CommandPath(), got.code, got.err, got.out)
		}
	}
}

func TestUsageFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "spec.yaml")
	if err := os.WriteFile(file, []byte(testSpec), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, want string }{
		{"bogus", `there is no command "bogus"`},
		{"chekc x", "did you mean check?"},
		{"topics bogus", "there is no command"},
		{"check", "it is called as `weir check SPEC`"},
		{"version --nope", "unknown flag: --nope"},
		{"version --log-level loud", "want debug, info, warn or error"},
		{"version --log-format xml", "want text or json"},
		{"broker", "--data is required"},
		{"consume t --from yesterday", "want earliest, latest, an offset"},
		{"consume t -n -3", "-n -3"},
		{"consume t --kafka-client sarama", "want kafka-go or franz-go"},
		{"ask " + file + " {", "the query is not JSON"},
		{"ask " + file + " [1]", "the query is not a JSON object"},
		{"ask " + file + " {} --timeout 0s", "--timeout 0s"},
		{"feedback " + file + " q", "give --label, --reward or --loss"},
		{"feedback " + file + " --label Bag", "QUERY_ID"},
		{"feedback " + file + " q --reward NaN", "NaN"},
		{"run " + file + " --replace=0", "--replace=0"},
		{"run " + file + " --replace=old", "number of a replacement"},
		{"demo --rate 0", "--rate 0"},
		{"demo --rate NaN", "--rate NaN"},
		{"demo --queries -1", "--queries -1"},
		{"demo --workers -1", "--workers -1"},
		{"demo --workers 0", "--broker"},
		{"demo --workers 0 --broker x:1 --kill-after 1s", "no worker to kill"},
	} {
		got := weir(t, "", strings.Fields(c.line)...)
		if got.code != 2 || got.out != "" || !strings.HasPrefix(got.err, "weir: ") || !strings.Contains(got.err, c.want) {
			t.Errorf("weir %s: code %d, output %q, error output %q; want code 2 and %q", c.line, got.code, got.out, got.err, c.want)
		}
		if lines := strings.Count(got.err, "\n"); lines != 2 {
			t.Errorf("weir %s: %d lines of error output, want the fault and where to find help:\n%s", c.line, lines, got.err)
		}
	}
}

// A fault that is nobody's misuse is one line, without the usage text.
func TestFailures(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"check none.yaml", "none.yaml"},
		{"ask none.yaml {}", "none.yaml"},
		{"topics create none.yaml", "none.yaml"},
		{"publish t none.ndjson", "none.ndjson"},
		{"demo --pipeline none.yaml", "none.yaml"},
		{"consume t --broker localhost", "want host:port"},
		{"broker --data " + t.TempDir() + " --listen 10.0.0.1:9092", "127.0.0.1 only"},
	} {
		got := weir(t, "", strings.Fields(c.line)...)
		if got.code != 1 || got.out != "" || !strings.HasPrefix(got.err, "weir: ") || !strings.Contains(got.err, c.want) {
			t.Errorf("weir %s: code %d, output %q, error output %q; want code 1 and %q", c.line, got.code, got.out, got.err, c.want)
		}
		if lines := strings.Count(got.err, "\n"); lines != 1 {
			t.Errorf("weir %s: %d lines of error output, want one:\n%s", c.line, lines, got.err)
		}
	}
}

func TestParseFrom(t *testing.T) {
	now := time.Date(2026, 11, 23, 15, 42, 7, 0, time.UTC)
	for from, want := range map[string]kafka.Start{
		"earliest": kafka.Earliest,
		"latest":   kafka.Latest,
		"0":        kafka.Exactly(0),
		"18841":    kafka.Exactly(18841),
		"-1h":      kafka.At(now.Add(-time.Hour)),
		"-1h30m5s": kafka.At(now.Add(-time.Hour - 30*time.Minute - 5*time.Second)),
		"-250ms":   kafka.At(now.Add(-250 * time.Millisecond)),
	} {
		if got, err := parseFrom(from, now); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", from, got, err, want)
		}
	}
	for _, from := range []string{"", "-5", "1h", "+1h", "first", "1.5", "-1 hour"} {
		if got, err := parseFrom(from, now); err == nil {
			t.Errorf("%q: got %v, want an error", from, got)
		}
	}
}

func TestBrokerFromEnvironment(t *testing.T) {
	flag := func() string {
		a := &app{}
		root := newRoot(a)
		ask, _, err := root.Find([]string{"ask"})
		if err != nil {
			t.Fatal(err)
		}
		if err := root.PersistentPreRunE(ask, nil); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(a.brokers())
	}
	t.Setenv("WEIR_BROKER", "")
	if got, want := flag(), "[127.0.0.1:9092]"; got != want {
		t.Errorf("without WEIR_BROKER: got %s, want %s", got, want)
	}
	t.Setenv("WEIR_BROKER", "one:1, two:2")
	if got, want := flag(), "[one:1 two:2]"; got != want {
		t.Errorf("with WEIR_BROKER: got %s, want %s", got, want)
	}
}

func TestVersion(t *testing.T) {
	if got := weir(t, "", "version"); got.code != exitOK || !strings.HasPrefix(got.out, "weir ") || strings.Count(got.out, "\n") != 1 {
		t.Errorf("got code %d and %q", got.code, got.out)
	}
	line := buildLine(&debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-11-23T15:42:07Z"}, {Key: "vcs.modified", Value: "true"},
	}})
	if want := "weir v0.1.0 0123456789ab 2026-11-23T15:42:07Z with local changes go"; !strings.HasPrefix(line, want) {
		t.Errorf("got %q, want it to begin with %q", line, want)
	}
}

func TestNewQuestion(t *testing.T) {
	q, err := newQuestion([]byte(` {"query_id": "mine", "key": 7, "x": [1, 2]} `))
	if err != nil || q.id != "mine" || string(q.message.Key) != "7" || !strings.Contains(string(q.message.Value), `"x": [1, 2]`) {
		t.Errorf("with an id: got %+v, %v", q, err)
	}
	for _, text := range []string{`{"x":1}`, `{}`, `{"query_id":"","x":1}`, `{"query_id":null}`} {
		a, err := newQuestion([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := newQuestion([]byte(text))
		var got map[string]any
		if err := json.Unmarshal(a.message.Value, &got); err != nil {
			t.Fatalf("%s became %s: %v", text, a.message.Value, err)
		}
		if a.id == "" || got["query_id"] != a.id || a.id == b.id || strings.Count(string(a.message.Value), "query_id") != 1 {
			t.Errorf("%s: got ids %q and %q in %s", text, a.id, b.id, a.message.Value)
		}
	}
}

func TestCheckFeedback(t *testing.T) {
	for text, want := range map[string]string{
		`{"query_id":"q","label":"Bag"}`:               "",
		`{"ref":"2.1.0","reward":-0.5,"event_time":1}`: "",
		`{"query_id":"q","label":3,"loss":1e-3}`:       "",
		`{"label":"Bag"}`:                              "no query_id and no ref",
		`{"query_id":"q"}`:                             "no label, reward or loss",
		`{"query_id":null,"label":null}`:               "no label, reward or loss",
		`{"query_id":"","label":"Bag"}`:                "no query_id and no ref",
		`{"query_id":"q","reward":"much"}`:             `reward is "much", want a number`,
		`[]`:                                           "not a JSON object",
	} {
		err := checkFeedback([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
