//go:build e2e

package testenv

import (
	"net"
	"testing"
)

// A port may be taken between its choice and the server's start, by a program that
// answers there: that is not the server, which is started again on another.
func TestAPortThatIsTakenIsNotTheServers(t *testing.T) {
	t.Parallel()
	s := everything(t)
	start, taken := s.command, 0
	s.command = func(port int) command {
		if taken == 0 {
			taken = port
			l, err := net.Listen("tcp", address(port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
		}
		return start(port)
	}
	if p := launch(t, s); p.port == taken {
		t.Errorf("got port %d, want another: somebody else listens there", p.port)
	}
}
