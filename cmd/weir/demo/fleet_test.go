package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/schemas"
)

// childEnv makes this test binary play a child of the demo.
const childEnv = "WEIR_DEMO_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childEnv); mode != "" {
		os.Exit(child(mode, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// child is what the demo sees of weir: a broker prints its address, a worker answers /readyz, both end with
// SIGTERM.
func child(mode string, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch mode {
	case "broken":
		for i := range 9 {
			fmt.Fprintf(os.Stderr, "line %d\n", i)
		}
		return 3
	case "faulty":
		fmt.Fprintln(os.Stderr, "time=12 level=INFO msg=starting")
		fmt.Fprintln(os.Stderr, "weir: spec.yaml:9:32: model heavy: no such file")
		return 1
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("listening")
		select {}
	}
	if args[0] == "broker" {
		fmt.Print("127.0.0.1:")
		fmt.Println("4321\nsecond line")
		<-ctx.Done()
		return 0
	}
	l, err := net.Listen("tcp", args[slices.Index(args, "--admin")+1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			http.NotFound(w, r)
		}
	}))
	<-ctx.Done()
	fmt.Fprintln(os.Stderr, "drained")
	return 0
}

func testFleet(t *testing.T, mode string) (*fleet, chan string) {
	t.Helper()
	t.Setenv(childEnv, mode)
	said := make(chan string, 100)
	return &fleet{exe: os.Args[0], dir: t.TempDir(), log: slog.New(told{slog.DiscardHandler, said})}, said
}

// told is a log that a test can wait for.
type told struct {
	slog.Handler
	said chan string
}

func (h told) Enabled(context.Context, slog.Level) bool { return true }
func (h told) Handle(_ context.Context, r slog.Record) error {
	h.said <- r.Message
	return nil
}

func await(t *testing.T, said chan string, want string) {
	t.Helper()
	for timeout := time.After(20 * time.Second); ; {
		select {
		case got := <-said:
			if got == want {
				return
			}
		case <-timeout:
			t.Fatalf("never logged: %s", want)
		}
	}
}

func TestFleet(t *testing.T) {
	f, said := testFleet(t, "well")
	addr, err := f.startBroker(t.Context())
	if err != nil || addr != "127.0.0.1:4321" {
		t.Fatalf("broker: got %q, %v", addr, err)
	}
	args := []string{"run", "spec.yaml"}
	if err := f.startWorkers(t.Context(), 2, args); err != nil {
		t.Fatal(err)
	}
	first, second := f.workers[0], f.workers[1]
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- f.watch(ctx, args) }()

	if err := f.kill(0); err != nil {
		t.Fatal(err)
	}
	await(t, said, "a worker died and is started again")
	await(t, said, "worker started")
	cancel()
	if err := <-watched; err != nil {
		t.Errorf("watch: %v", err)
	}
	if got := f.restarts.Load(); got != 1 {
		t.Errorf("got %d restarts, want 1", got)
	}
	if f.workers[0].pid() == first.pid() || f.workers[1] != second {
		t.Error("not exactly the killed worker was replaced")
	}
	if death := first.death(); !strings.Contains(death, "killed") {
		t.Errorf("the killed worker's death: %s", death)
	}
	if err := errors.Join(f.stopWorkers(), f.stopBroker()); err != nil {
		t.Error(err)
	}
	if got := second.tail.last(5); got != "  drained" {
		t.Errorf("the last worker's last words: %q", got)
	}
}

// A child that cannot start says why by its last words.
func TestFleetStartFails(t *testing.T) {
	f, _ := testFleet(t, "broken")
	const words = "exit status 3; its last lines:\n  line 4\n  line 5\n  line 6\n  line 7\n  line 8"
	if _, err := f.startBroker(t.Context()); err == nil || !strings.HasSuffix(err.Error(), words) {
		t.Errorf("broker: got %v, want it to end with %q", err, words)
	}
	if err := f.startWorkers(t.Context(), 1, []string{"run"}); err == nil || !strings.HasSuffix(err.Error(), words) {
		t.Errorf("worker: got %v, want it to end with %q", err, words)
	}
	t.Setenv(childEnv, "faulty")
	const line = "): spec.yaml:9:32: model heavy: no such file"
	if err := f.startWorkers(t.Context(), 1, []string{"run"}); err == nil || !strings.HasSuffix(err.Error(), line) || strings.Contains(err.Error(), "INFO") {
		t.Errorf("a worker that says what is wrong: got %v, want that line alone", err)
	}
	if err := errors.Join(f.stopWorkers(), f.stopBroker()); err != nil {
		t.Error(err)
	}
	log, err := os.ReadFile(f.dir + "/worker-1.log")
	if err != nil || !strings.HasPrefix(string(log), "line 0\n") {
		t.Errorf("the log: %q, %v", log, err)
	}
}

// A broker that dies ends the watch; so does a worker that does not come up again.
func TestFleetGivesUp(t *testing.T) {
	f, _ := testFleet(t, "well")
	if _, err := f.startBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.broker.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := f.watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "broker (pid") {
		t.Errorf("a dead broker: got %v", err)
	}
	f.broker = nil
	if err := f.startWorkers(t.Context(), 1, []string{"run"}); err != nil {
		t.Fatal(err)
	}
	t.Setenv(childEnv, "broken")
	if err := f.kill(0); err != nil {
		t.Fatal(err)
	}
	if err := f.watch(t.Context(), []string{"run"}); err == nil || !strings.Contains(err.Error(), "line 8") {
		t.Errorf("a worker that stays dead: got %v", err)
	}
	if got := f.restarts.Load(); got != earlyDeaths {
		t.Errorf("got %d restarts, want %d", got, earlyDeaths)
	}
	if err := f.stopWorkers(); err != nil {
		t.Error(err)
	}
}

func TestStubbornChildIsKilled(t *testing.T) {
	f, _ := testFleet(t, "stubborn")
	p, err := start("mule", f.exe, f.dir+"/log")
	if err != nil {
		t.Fatal(err)
	}
	<-p.first
	if err := p.stop(10 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("got %v, want to hear that it was killed", err)
	}
	if err := p.stop(time.Minute); err != nil {
		t.Errorf("stopping an ended child: %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var w tail
	for i := range 5000 {
		fmt.Fprintf(&w, "line %d\n", i)
	}
	if got, want := w.last(2), "  line 4998\n  line 4999"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(w.buf) > 8<<10 {
		t.Errorf("keeps %d bytes", len(w.buf))
	}
	if got := new(tail).last(5); got != "" {
		t.Errorf("nothing was said: got %q", got)
	}
}

func TestPositions(t *testing.T) {
	p := newPositions([]int64{5, 0})
	saw := func(partition int32, offset int64) { p.saw(schemas.Record{Partition: partition, Offset: offset}) }
	saw(0, 5)
	reached := p.reach([]int64{7, 1})
	saw(0, 6)
	if closed(reached) {
		t.Error("reached, but partition 1 was not read")
	}
	saw(1, 0)
	if !closed(reached) {
		t.Error("everything was read, and it waits")
	}
	saw(1, 1) // beyond the goal: harmless
	if !closed(newPositions([]int64{5}).reach([]int64{5})) {
		t.Error("there was nothing to read, and it waits")
	}
}
