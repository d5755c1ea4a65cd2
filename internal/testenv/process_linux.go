package testenv

import (
	"fmt"
	"net"
	"syscall"
	"testing"
)

// attributes gives a process a group of its own, and has the kernel send it
// quit when the test dies without its cleanup: on a panic, a time-out or Ctrl-C.
func attributes(user *syscall.Credential, quit syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: quit, Credential: user}
}

// reserve claims port among tests by a socket in Linux's abstract namespace,
// which goes away with the process and leaves no file.
func reserve(t testing.TB, port int) bool {
	claim, err := net.Listen("unix", fmt.Sprintf("@mintmark-test-port-%d", port))
	if err != nil {
		return false
	}
	t.Cleanup(func() { _ = claim.Close() })
	return true
}
