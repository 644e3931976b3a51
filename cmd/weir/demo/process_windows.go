package demo

import "syscall"

// ownGroup keeps a console's Ctrl-C from the child, who is to be stopped in order.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
