package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The process under test keeps its limit: who is not root can't raise it again.
func TestMemoryIsNotDumped(t *testing.T) {
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) })
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: hardLimit(t)}); err != nil {
		t.Fatal(err)
	}
	guarded, err := guardMemory("unix:///nowhere/at.sock")
	if err != nil || !guarded {
		t.Fatalf("got %t, %v, want it guarded", guarded, err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable: got %d, %v, want 0", dumpable, err)
	}
	if limit := hardLimit(t); limit != 0 {
		t.Errorf("limit of a core dump: got %d bytes, want 0", limit)
	}
	if _, err := guardMemory(""); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func hardLimit(t *testing.T) uint64 {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	return limit.Max
}

// A SPIRE agent of the same user must see which program asks; root's always does.
func TestAnAgentOfTheSameUserStillSeesTheProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		url  string
		want bool
	}{
		{"unix://" + path, os.Geteuid() != 0}, {"unix:" + path, os.Geteuid() != 0},
		{"unix://" + path + "x", false}, {"tcp://127.0.0.1:8081", false}, {"", false},
	} {
		if got := ownSocket(c.url); got != c.want {
			t.Errorf("%s: got %t, want %t", c.url, got, c.want)
		}
	}
}
