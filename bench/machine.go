package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The subject has a core of its own; everything else shares another.
const (
	restCore = iota
	subjectCore
)

// pinned marks a process that has been pinned, so that it does not start itself again.
const pinned = "WEIR_BENCH_PINNED"

// cores are two processors that this process may use, nil where there are not two or no taskset.
func cores() []string {
	if _, err := exec.LookPath("taskset"); err != nil {
		return nil
	}
	if both, ok := os.LookupEnv(pinned); ok {
		return strings.Fields(both)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(status), "Cpus_allowed_list:")
	line, _, _ := strings.Cut(rest, "\n")
	var ids []string
	for _, span := range strings.Split(strings.TrimSpace(line), ",") {
		from, to, isRange := strings.Cut(span, "-")
		first, err1 := strconv.Atoi(from)
		last := first
		var err2 error
		if isRange {
			last, err2 = strconv.Atoi(to)
		}
		if errors.Join(err1, err2) != nil {
			return nil
		}
		for id := first; id <= last && len(ids) < 2; id++ {
			ids = append(ids, strconv.Itoa(id))
		}
	}
	if len(ids) < 2 {
		return nil
	}
	return ids
}

// A process is a child on one core. It ends with stop.
type process struct {
	cmd   *exec.Cmd
	lines chan string // of its output; closed with it
	last  atomic.Pointer[string]
}

// said is the last line of the process's output, for errors.
func (p *process) said() string {
	if s := p.last.Load(); s != nil {
		return *s
	}
	return "nothing"
}

// start runs a command on a core and hands out the lines of its standard output and error.
func start(core int, name string, args ...string) (*process, error) {
	if ids := cores(); ids != nil {
		name, args = "taskset", append([]string{"-c", ids[core], name}, args...)
	}
	cmd := exec.Command(name, args...)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	p := &process{cmd: cmd, lines: make(chan string, 1024)}
	_ = w.Close() // the child has it
	go p.read(r)
	return p, nil
}

// read passes lines on; those that nobody takes are dropped, so that the child never waits for us.
func (p *process) read(r io.ReadCloser) {
	defer close(p.lines)
	defer r.Close()
	for s := bufio.NewScanner(r); s.Scan(); {
		line := s.Text()
		p.last.Store(&line)
		select {
		case p.lines <- line:
		default:
		}
	}
}

// await waits for a line that holds text.
func (p *process) await(ctx context.Context, text string) (string, error) {
	var seen []string
	timeout := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return "", fmt.Errorf("%s ended: %s", p.cmd.Args, strings.Join(seen, "\n"))
			}
			if strings.Contains(line, text) {
				return line, nil
			}
			seen = append(seen, line)
		case <-timeout:
			return "", fmt.Errorf("%s is not ready after 30s: %s", p.cmd.Args, strings.Join(seen, "\n"))
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// cpu is the processor time that the process has used, 0 where the system does not tell.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.cmd.Process.Pid) }

// cpuOf is the processor time that a process has used, 0 where the system does not tell, and of no process.
func cpuOf(pid int) (time.Duration, error) {
	if _, err := os.Stat("/proc/self/stat"); err != nil || pid == 0 {
		return 0, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * (time.Second / 100), errors.Join(err1, err2)
}

// A meter tells how busy the two cores were since it began.
type meter struct {
	began         time.Time
	subject, rest time.Duration
}

func (c *cluster) meter(s *subject) (m meter, err error) {
	m = meter{began: time.Now(), rest: cpuTime()}
	broker, err1 := cpuOf(c.broker.pid)
	m.rest += broker
	m.subject, err = s.cpu()
	return m, errors.Join(err, err1)
}

// busy is the share of each core's time that was used.
func (c *cluster) busy(s *subject, m meter) (subject, rest float64, err error) {
	now, err := c.meter(s)
	took := now.began.Sub(m.began).Seconds()
	return (now.subject - m.subject).Seconds() / took, (now.rest - m.rest).Seconds() / took, err
}

// stop ends the process and waits for it.
func (p *process) stop() {
	_ = p.thaw()
	_ = p.terminate()
	late := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	_ = p.cmd.Wait() // how it ended matters to nobody any more
}

// local runs a benchmark without a broker in a child on the subject's core.
func (o options) local(ctx context.Context, role string, emit func(Result)) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	name, args := self, []string{childFlag, role, string(text)}
	if ids := cores(); ids != nil {
		name, args = "taskset", append([]string{"-c", ids[subjectCore], self}, args...)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for dec := json.NewDecoder(out); ; {
		var r Result
		if err := dec.Decode(&r); err != nil {
			break // the child's exit says whether that was the end or a fault
		}
		emit(r)
	}
	return cmd.Wait()
}

// childFlag is how the bench calls itself.
const childFlag = "--child"

func childRole(args []string) (role, text string, ok bool) {
	if len(args) != 3 || args[0] != childFlag {
		return "", "", false
	}
	return args[1], args[2], true
}
