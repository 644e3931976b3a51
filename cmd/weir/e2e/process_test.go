package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a weir that was started.
type process struct {
	name     string
	cmd      *exec.Cmd
	out, log *output // standard output and standard error
	ended    chan struct{}
}

// command is a command line of weir, not started yet.
func command(args ...string) *exec.Cmd {
	c := exec.Command(binary, args...)
	// The race detector's runtime waits a second at the end of a process unless it is told not to.
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "WEIR_BROKER=")
	return c
}

// start starts a command. At the test's end the process is killed, if it still runs.
func start(t *testing.T, c *exec.Cmd) *process {
	t.Helper()
	p := &process{name: "weir " + strings.Join(c.Args[1:], " "), cmd: c, out: newOutput(), log: newOutput(), ended: make(chan struct{})}
	c.Stdout, c.Stderr, c.SysProcAttr = p.out, p.log, mortal()
	started := make(chan error, 1)
	go func() {
		defer close(p.ended)
		// The kernel ends the child when the *thread* that started it is gone: hold on to it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait() // the tests ask for the exit code
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.signal(t, syscall.SIGKILL)
		<-p.ended
		if strings.Contains(p.log.String(), "DATA RACE") {
			t.Errorf("%s: %s", p.name, p.log)
		} else if t.Failed() {
			t.Logf("%s, the end of its log:\n%s", p.name, p.log.tail(30))
		}
	})
	return p
}

// signal reaches the process unless it has ended already.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && p.running() {
		t.Fatalf("%s: %v", p.name, err)
	}
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// wait waits for the process's end and gives its exit code, -1 for one that a signal ended.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("%s still runs after %v", p.name, patience)
		return 0
	}
}

// kill ends the process as a crash would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	p.wait(t)
}

// stop asks the process to end, and tells its exit code and how long that took.
func (p *process) stop(t *testing.T) (code int, took time.Duration) {
	t.Helper()
	began := time.Now()
	p.signal(t, syscall.SIGTERM)
	return p.wait(t), time.Since(began)
}

// match waits until an output has a line that fits the expression, and gives the first group.
func (p *process) match(t *testing.T, o *output, expression string) string {
	t.Helper()
	e := regexp.MustCompile(expression)
	timeout := time.After(patience)
	for {
		text, changed := o.state()
		if m := e.FindStringSubmatch(text); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-changed:
		case <-p.ended:
			if !e.MatchString(o.String()) {
				t.Fatalf("%s ended, code %d, without %q: %s", p.name, p.cmd.ProcessState.ExitCode(), expression, p.log)
			}
		case <-timeout:
			t.Fatalf("%s wrote nothing like %q within %v", p.name, expression, patience)
		}
	}
}

// outcome is what a command did.
type outcome struct {
	code     int
	out, err string
	took     time.Duration
}

// run performs a command to its end.
func run(t *testing.T, c *exec.Cmd) outcome {
	t.Helper()
	began := time.Now()
	p := start(t, c)
	code := p.wait(t)
	return outcome{code, p.out.String(), p.log.String(), time.Since(began)}
}

// weir performs a command line that must succeed, and gives its standard output.
func weir(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	c := command(args...)
	c.Stdin = strings.NewReader(stdin)
	got := run(t, c)
	if got.code != 0 {
		t.Fatalf("weir %s: code %d: %s", strings.Join(args, " "), got.code, got.err)
	}
	return got.out
}

// output is what a process wrote so far.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced by each write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) state() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// String is all of it.
func (o *output) String() string {
	text, _ := o.state()
	return text
}

// tail is its last lines.
func (o *output) tail(n int) string {
	lines := strings.Split(strings.TrimRight(o.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
