//go:build unix && !linux

package testenv

import (
	"syscall"
	"testing"
)

// attributes gives a process a group of its own. Only Linux ends it when the
// test dies without its cleanup.
func attributes(user *syscall.Credential, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: user}
}

// reserve claims nothing: two tests may be given the same port, and the one
// that comes second is started again on another.
func reserve(testing.TB, int) bool {
	return true
}
