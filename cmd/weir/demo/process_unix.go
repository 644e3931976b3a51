//go:build unix && !linux

package demo

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the child, who is to be stopped in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
