//go:build e2e

package e2e_test

import "syscall"

// attributes have the kernel end the process when the test dies without its
// cleanup.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
