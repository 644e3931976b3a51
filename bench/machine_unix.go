//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// pinSelf starts this program again on the core of the generator. Pinning from within would not reach the
// threads that Go has started already.
func pinSelf() error {
	if os.Getenv(pinned) != "" {
		return nil
	}
	ids := cores()
	if ids == nil {
		fmt.Fprintln(os.Stderr, "NOT PINNED: there are no two processors and taskset; all processes share the processors, and the figures say less")
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	return syscall.Exec(taskset, append([]string{"taskset", "-c", ids[restCore], self}, os.Args[1:]...),
		append(os.Environ(), pinned+"="+strings.Join(ids, " ")))
}

// freeze stops the process in its tracks until thaw.
func (p *process) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) thaw() error   { return p.cmd.Process.Signal(syscall.SIGCONT) }

// terminate asks the process to end.
func (p *process) terminate() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// outlive lets this process and its children go on when the terminal is lost.
func outlive() { signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE) }

// cpuTime is what this process has used of all processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("bench: " + err.Error()) // unreachable: the arguments are constant
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
