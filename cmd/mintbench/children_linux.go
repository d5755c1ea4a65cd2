package main

import "syscall"

// attributes gives a process a group of its own, and has the kernel end it
// when mintbench dies without doing so: by the signal that nginx passes on to
// its workers.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
