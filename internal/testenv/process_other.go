//go:build unix && !linux

package testenv

import (
	"context"
	"net"
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

// listening returns nil when somebody listens on the port of p, which need not be p.
func listening(ctx context.Context, p *process) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address(p.port))
	if err != nil {
		return err
	}
	return conn.Close()
}
