package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
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

// listening returns nil when p itself listens on its port: who answers there may be
// another, and a server may say that it listens before it does, or is refused to.
func listening(_ context.Context, p *process) error {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return err
	}
	// The local address, the remote one, the state (0A: listening), five more, the inode.
	on := regexp.MustCompile(fmt.Sprintf(`: 0100007F:%04X \S+ 0A (?:\S+ +){5}(\d+) `, p.port)).FindSubmatch(table)
	if on == nil {
		return fmt.Errorf("nobody listens on port %d", p.port)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	if err != nil {
		return err
	}
	for _, file := range files {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.pid, file.Name())); to == fmt.Sprintf("socket:[%s]", on[1]) {
			return nil
		}
	}
	return fmt.Errorf("another process listens on port %d", p.port)
}
