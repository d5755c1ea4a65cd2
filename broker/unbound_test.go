package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A listener that can't be opened says which address, why, and what to do next.
func TestUnboundSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	listen := func(network, address string) error {
		l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
		if err == nil {
			_ = l.Close()
			t.Errorf("%s %s: got a listener, want an error", network, address)
		}
		return err
	}
	// Whoever runs the test may have every right.
	denied := func(network string, at net.Addr) error {
		return &net.OpError{Op: "listen", Net: network, Addr: at, Err: os.NewSyscallError("bind", syscall.EACCES)}
	}
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tt := range map[string]struct {
		err         error
		where, next string
	}{
		"taken":             {listen("tcp", taken.Addr().String()), taken.Addr().String(), "end it, or name another address"},
		"another machine's": {listen("tcp", "192.0.2.1:0"), "192.0.2.1", "name one that has, or 0.0.0.0 for all"},
		"unknown name":      {listen("tcp", "nowhere.invalid:0"), "nowhere.invalid", "name an IP address of this machine"},
		"low port":          {denied("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}), "127.0.0.1:443", "CAP_NET_BIND_SERVICE"},
		"no directory":      {listen("unix", filepath.Join(dir, "none", "a.sock")), filepath.Join(dir, "none", "a.sock"), "make it, for the broker's user"},
		"another's path":    {denied("unix", &net.UnixAddr{Net: "unix", Name: "/run/a.sock"}), "/run/a.sock", "give it to that user, or name another path"},
		"long path":         {listen("unix", filepath.Join(dir, strings.Repeat("a", 120))), strings.Repeat("a", 120), "name a shorter one"},
	} {
		got := unbound(tt.err)
		if !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.where) || !strings.Contains(got.Error(), tt.next) {
			t.Errorf("%s: got %v, want %q and %q in it", name, got, tt.where, tt.next)
		}
	}
	if got := unbound(io.EOF); !errors.Is(got, io.EOF) || got.Error() != "EOF" {
		t.Errorf("another error: got %v, want it as it is", got)
	}
}
