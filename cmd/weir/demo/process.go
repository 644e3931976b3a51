package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// grace is how long a child may take to drain after SIGTERM before it is killed.
const grace = 5 * time.Second

// A process is a running child of the demo. Its standard error goes to a log file; its last lines are kept
// in memory, so that the reason of its death can be told.
type process struct {
	name  string
	cmd   *exec.Cmd
	first chan string // the first line of its standard output
	tail  *tail
	log   *os.File
	done  chan struct{} // closed once it has ended
	err   error         // of its end, valid then
}

// start runs exe with args. The goroutine that it starts ends with the child, whom stop ends.
func start(name, exe, logFile string, args ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	p := &process{name: name, cmd: exec.Command(exe, args...), first: make(chan string, 1), tail: &tail{}, log: log, done: make(chan struct{})}
	p.cmd.Stdout = &firstLine{out: p.first}
	p.cmd.Stderr = io.MultiWriter(log, p.tail)
	p.cmd.SysProcAttr = ownGroup()
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child when the *thread* that started it is gone: hold on to it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
		p.err = errors.Join(p.err, log.Close())
		close(p.done)
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, fmt.Errorf("demo: start %s: %w", name, err)
	}
	return p, nil
}

// pid is the child's process id.
func (p *process) pid() int { return p.cmd.Process.Pid }

// signal reaches the child unless it has ended already.
func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("demo: signal %s: %w", p.name, err)
	}
	return nil
}

// stop asks the child to end, kills it after patience, and waits for its end.
func (p *process) stop(patience time.Duration) error {
	if p.signal(syscall.SIGTERM) != nil {
		patience = 0 // a system that knows no SIGTERM, so there is nothing to wait for
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return fmt.Errorf("demo: %s did not end within %v of SIGTERM and was killed", p.name, patience)
}

// death tells how an ended child ended: by the one line in which a command of ours says what went wrong, else
// with its last words.
func (p *process) death() string {
	if fault, ok := strings.CutPrefix(p.tail.last(1), "  weir: "); ok {
		return fmt.Sprintf("%s (pid %d): %s", p.name, p.pid(), fault)
	}
	how := "ended"
	if p.err != nil {
		how = "ended: " + p.err.Error()
	}
	if words := p.tail.last(5); words != "" {
		how += "; its last lines:\n" + words
	}
	return fmt.Sprintf("%s (pid %d) %s", p.name, p.pid(), how)
}

// tail keeps the last lines written to it, in at most about 8 KB.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - 8<<10; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

// last gives up to n lines, indented.
func (t *tail) last(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.buf))
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}

// firstLine hands on the first line written to it and drops the rest.
type firstLine struct {
	buf  []byte
	done bool
	out  chan<- string // with room for one
}

// Write implements io.Writer.
func (f *firstLine) Write(b []byte) (int, error) {
	if f.done {
		return len(b), nil
	}
	f.buf = append(f.buf, b...)
	if i := bytes.IndexByte(f.buf, '\n'); i >= 0 {
		f.out <- strings.TrimSpace(string(f.buf[:i]))
		f.done, f.buf = true, nil
	}
	return len(b), nil
}
