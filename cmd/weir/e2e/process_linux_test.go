package e2e_test

import "syscall"

// mortal lets a child die with the test, however that dies.
func mortal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
