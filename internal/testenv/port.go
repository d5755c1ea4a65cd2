package testenv

import (
	"fmt"
	"net"
	"testing"
)

// FreePort returns a loopback port that nobody listens on, and that no other
// test gets, in this process or another, until t ends. A program that is not a
// test may still take it.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port, err := unusedPort()
		if err != nil {
			t.Fatalf("find free port: %v", err)
		}
		if reserve(t, port) {
			return port
		}
	}
	t.Fatal("find free port: every one tried belongs to another test")
	return 0
}

func unusedPort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func address(port int) string {
	return fmt.Sprintf("127.0.0.1:%d", port)
}
