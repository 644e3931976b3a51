package demo

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the child, who is to be stopped in order, and ends it with the
// demo even where that is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
