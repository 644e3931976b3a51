package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// pinSelf tells that nothing is pinned.
func pinSelf() error {
	fmt.Fprintln(os.Stderr, "NOT PINNED: this system has no taskset; all processes share the processors, and the figures say less")
	return nil
}

// freeze fails: a process cannot be stopped in its tracks here.
func (p *process) freeze() error {
	return errors.New("a backlog is measured by stopping the process that answers it, which this system cannot: use Linux")
}

func (p *process) thaw() error { return nil }

// terminate ends the process at once: it cannot be asked to.
func (p *process) terminate() error { return p.cmd.Process.Kill() }

// outlive has nothing to do: closing a console ends what runs in it.
func outlive() {}

// cpuTime is what this process has used of all processors.
func cpuTime() time.Duration {
	var created, exited, kernel, user syscall.Filetime
	self, err := syscall.GetCurrentProcess()
	if err == nil {
		err = syscall.GetProcessTimes(self, &created, &exited, &kernel, &user)
	}
	if err != nil {
		panic("bench: " + err.Error()) // unreachable: a process may ask about itself
	}
	ticks := func(f syscall.Filetime) int64 { return int64(f.HighDateTime)<<32 | int64(f.LowDateTime) } // of 100 ns
	return time.Duration(ticks(kernel)+ticks(user)) * 100
}
