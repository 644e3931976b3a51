package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/gpu/linear"
)

// A process that cannot start says why in one line, with what to do about it, and is gone within 10 s.
func TestStartFailures(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	taken := listener.Addr().String()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()

	file := func(p pipe, name string) string { return filepath.Join(filepath.Dir(p.spec), name) }
	for _, f := range []struct {
		name  string
		spoil func(t *testing.T, p pipe) (args []string) // further ones than those of a run that works
		env   string
		want  []string // in the line; SPEC stands for the spec's path
	}{
		{"no spec", func(t *testing.T, p pipe) []string { os.Remove(p.spec); return nil }, "",
			[]string{"toy.yaml: no such file", "give the path"}},
		{"no model file", func(t *testing.T, p pipe) []string { os.Remove(file(p, "light.json")); return nil }, "",
			[]string{"SPEC:7:", "model light", "light.json: no such file", "relative to the spec's folder"}},
		{"a broken model file", func(t *testing.T, p pipe) []string { writeFile(t, file(p, "heavy.json"), "{"); return nil }, "",
			[]string{"model heavy", "heavy.json", "not a linear model"}},
		{"a model of another length", func(t *testing.T, p pipe) []string { writeZeros(t, file(p, "heavy.json"), 5, 4); return nil }, "",
			[]string{"SPEC:15:5:", "stage heavy", "takes 5 numbers", `column "x" has 4`}},
		{"a model of another type", func(t *testing.T, p pipe) []string {
			replaceIn(t, p.spec, "x: fixed_list<float32>[4]", "x: fixed_list<float64>[4]")
			return nil
		}, "", []string{"SPEC:12:5:", "stage light", "takes float32", `column "x" of fixed_list<float64>[4]`, "cast it"}},
		{"an input that the model lacks", func(t *testing.T, p pipe) []string {
			replaceIn(t, p.spec, "light.json, inputs: {input: x}", "light.json, inputs: {imput: x}")
			return nil
		}, "",
			[]string{"SPEC:7:", `no input "imput"; its inputs: input; `, `input "input" is not listed`}},
		{"too many labels", func(t *testing.T, p pipe) []string { labelHeavy(t, p, "a\nb\nc\nd\ne\n"); return nil }, "",
			[]string{"SPEC:8:", "5 labels for 4 scores"}},
		{"a label without a name", func(t *testing.T, p pipe) []string { labelHeavy(t, p, "a\n\nc\nd\n"); return nil }, "",
			[]string{"SPEC:8:", "more.txt:2: an empty line"}},
		{"no labels file", func(t *testing.T, p pipe) []string { os.Remove(labelHeavy(t, p, "")); return nil }, "",
			[]string{"SPEC:8:", "more.txt: no such file"}},
		{"an unknown segment", func(t *testing.T, p pipe) []string { return []string{"--segments", "hevy"} }, "",
			[]string{`no segment "hevy"`, "heavy"}},
		{"no topics", func(t *testing.T, p pipe) []string { replaceIn(t, p.spec, p.name, p.name+"-other"); return nil }, "",
			[]string{"-other.", "does not exist", "weir topics create SPEC"}},
		{"no broker", func(t *testing.T, p pipe) []string { return []string{"--broker", nobody} }, "",
			[]string{"cannot reach a broker at " + nobody, "is it running"}},
		{"no broker of that name", func(t *testing.T, p pipe) []string { return []string{"--broker", "no-such-host.invalid:9092"} }, "",
			[]string{"no-such-host.invalid:9092", "check --broker"}},
		{"a broker that says nothing", func(t *testing.T, p pipe) []string { return []string{"--broker", taken} }, "",
			[]string{"cannot reach a broker at " + taken, "check --broker"}},
		{"an admin address that is taken", func(t *testing.T, p pipe) []string { return []string{"--admin", taken} }, "",
			[]string{taken, "address already in use", "--admin"}},
		{"no ONNX Runtime", func(t *testing.T, p pipe) []string {
			replaceIn(t, p.spec, "runtime: linear, path: light.json", "runtime: onnx, path: "+exampleDir(t)+"/models/light.onnx")
			return nil
		}, "WEIR_ORT_LIB=/nonexistent", []string{"WEIR_ORT_LIB", "/nonexistent", "make runtime"}},
		{"an unknown runtime", func(t *testing.T, p pipe) []string {
			replaceIn(t, p.spec, "linear, path: heavy", "liner, path: heavy")
			return nil
		}, "",
			[]string{"SPEC:8:20:", `unknown runtime "liner"`, "linear, onnx"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			p := c.toyPipe(t)
			args := []string{"run", p.spec, "--broker", c.addr, "--admin", "127.0.0.1:0", "--log-level", "error"}
			cmd := command(append(args, f.spoil(t, p)...)...)
			cmd.Env = append(cmd.Env, f.env)
			checkFailure(t, run(t, cmd), p.spec, 1, f.want...)
		})
	}
}

// checkFailure checks how a process that cannot start ended. SPEC in want stands for spec.
func checkFailure(t *testing.T, got outcome, spec string, lines int, want ...string) {
	t.Helper()
	if got.code != 1 || got.out != "" || got.took > 10*time.Second {
		t.Errorf("code %d, output %q, within %v; want code 1, none, 10 s at most", got.code, got.out, got.took)
	}
	if n := strings.Count(got.err, "\n"); n != lines || !strings.HasPrefix(got.err, "weir: ") || strings.Contains(got.err, "goroutine ") {
		t.Errorf("%d lines, want %d, and `weir: ` first:\n%s", n, lines, got.err)
	}
	for _, w := range want {
		if w = strings.ReplaceAll(w, "SPEC", spec); !strings.Contains(got.err, w) {
			t.Errorf("no %q in\n%s", w, got.err)
		}
	}
	t.Log(got.err)
}

// Topics that do not fit each other are found when the first partition is opened.
func TestPartitionsDiffer(t *testing.T) {
	t.Parallel()
	p := embedded(t).toyFiles(t)
	p.createTopic(t, p.topic("predictions"), 1, nil)
	p.create(t)
	got := run(t, command("run", p.spec, "--broker", p.addr, "--admin", "127.0.0.1:0", "--log-level", "error"))
	checkFailure(t, got, p.spec, 1, p.topic("predictions"), "has only 1 partitions", "give both topics the same number")
}

// A spec's faults are told all at once, a line each.
func TestSpecFaults(t *testing.T) {
	t.Parallel()
	p := cluster{"127.0.0.1:1"}.toyFiles(t)
	replaceIn(t, p.spec, "objective: 1s", "objektive: 1s")
	replaceIn(t, p.spec, "fixed_list<float32>[4]", "fixed_list<flot32>[4]")
	replaceIn(t, p.spec, "- predict: {model: heavy}", "- predict: {model: hevy}")
	replaceIn(t, p.spec, "at_least: 0.9", "at_least: much")
	for _, args := range [][]string{{"run", p.spec}, {"check", p.spec}, {"topics", "create", p.spec}} {
		got := run(t, command(args...))
		if got.code != 1 {
			t.Errorf("weir %s: code %d, want 1", args, got.code)
		}
		for _, want := range []string{"SPEC:2:1: ", "objective", "SPEC:4:6: ", "float32", "SPEC:13:59: ", "a number", "SPEC:15:22: ", "heavy"} {
			if want = strings.ReplaceAll(want, "SPEC", p.spec); !strings.Contains(got.err, want) {
				t.Errorf("weir %s: no %q in\n%s", args, want, got.err)
			}
		}
		if n := strings.Count(got.err, p.spec+":"); n != 4 {
			t.Errorf("weir %s: %d faults, want 4:\n%s", args, n, got.err)
		}
	}
}

// A data directory belongs to one broker at a time, and is free again once that is gone, however it went.
func TestDataDirectoryInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := cluster{}.toyFiles(t)
	first := start(t, command("broker", "--data", dir, "--listen", "127.0.0.1:0"))
	addr := first.match(t, first.out, `(127\.0\.0\.1:\d+)`)
	for _, args := range [][]string{
		{"broker", "--data", dir, "--listen", "127.0.0.1:0"},
		{"run", p.spec, "--embedded", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "error"},
	} {
		checkFailure(t, run(t, command(args...)), p.spec, 1, dir, "another process", "choose another directory")
	}
	checkFailure(t, run(t, command("run", p.spec, "--embedded", t.TempDir(), "--listen", addr, "--admin", "127.0.0.1:0", "--log-level", "error")),
		p.spec, 1, addr+" is in use", "--listen")
	if got := run(t, command("run", p.spec, "--listen", "127.0.0.1:0")); got.code != 2 || !strings.Contains(got.err, "--embedded") {
		t.Errorf("--listen without --embedded: code %d, %s", got.code, got.err)
	}
	first.kill(t)
	second := start(t, command("run", p.spec, "--embedded", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"))
	addr = second.match(t, second.log, `addr=(\S+) data=`)
	second.match(t, second.log, `msg=ready`)
	out := weir(t, "", "ask", p.spec, toyQuery(0).json(), "--broker", addr)
	if !strings.Contains(out, fmt.Sprintf("%q", toyQuery(0).label())) {
		t.Errorf("got %s", out)
	}
	if code, took := second.stop(t); code != 0 || took > 2*time.Second {
		t.Errorf("ended in %v with code %d", took, code)
	}
}

func replaceIn(t *testing.T, file, old, new string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q", file, old)
	}
	writeFile(t, file, strings.ReplaceAll(string(text), old, new))
}

// labelHeavy gives the heavy model labels of its own.
func labelHeavy(t *testing.T, p pipe, text string) (file string) {
	t.Helper()
	replaceIn(t, p.spec, "path: heavy.json", "labels: more.txt, path: heavy.json")
	file = filepath.Join(filepath.Dir(p.spec), "more.txt")
	writeFile(t, file, text)
	return file
}

func writeZeros(t *testing.T, path string, features, outputs int) {
	t.Helper()
	m := linear.Model{Input: "input", Output: "logits", Features: features, Outputs: outputs, Weights: make([]float32, features*outputs)}
	if err := linear.Write(path, m); err != nil {
		t.Fatal(err)
	}
}
