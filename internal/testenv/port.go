package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// The ports to choose from: below those that kernels give to connections and to
// listeners that leave it to them, which would take one before its server does, and
// below those that mintbench chooses from.
const (
	firstPort = 10000
	lastPort  = 19999
)

// FreePort returns a loopback port that nobody listens on, and that no other
// test gets, in this process or another, until t ends. A program that is not a
// test, and asks for the very port, may still take it.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		if port := firstPort + rand.IntN(lastPort-firstPort+1); unused(port) && reserve(t, port) {
			return port
		}
	}
	t.Fatal("find free port: every one tried is in use or belongs to another test")
	return 0
}

func unused(port int) bool {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

func address(port int) string {
	return fmt.Sprintf("127.0.0.1:%d", port)
}
