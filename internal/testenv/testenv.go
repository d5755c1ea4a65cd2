// Package testenv starts the real servers that Mintmark's tests run against:
// OpenBao, Vault, PostgreSQL, SPIRE, MinIO, Ceph, SeaweedFS, two OAuth servers, nginx,
// MCP servers, and the API server of Kubernetes; and it runs the clients of vendors that
// have no server here. Each server listens on a loopback port of its own, is ready when its
// constructor returns, and is gone when the test ends, however it ends.
//
// The programs are built by testdata/servers/install: those of "make test" by
// "make servers", those of a suite of its own by that suite; PostgreSQL, nginx and
// Ceph are the system's. A test whose server is missing fails; it is never skipped.
package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programs returns the folder that holds the programs of a server.
func programs(t testing.TB, server string) string {
	t.Helper()
	script := filepath.Join(servers(t), "install")
	out, err := exec.Command(script, "--dir", server).Output()
	if err != nil {
		t.Fatalf("find %s: %v; run: make servers", server, explain(err))
	}
	dir := strings.TrimSpace(string(out))
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("find %s: it is not built; run: testdata/servers/install %[1]s", server)
	}
	return dir
}

// servers returns the folder testdata/servers of this module. Tests run in the
// folder of their package, which is somewhere below the module's root.
func servers(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("find testdata/servers: %v", err)
	}
	for {
		found := filepath.Join(dir, "testdata", "servers")
		if _, err := os.Stat(filepath.Join(found, "install")); err == nil {
			return found
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("find testdata/servers: not in any folder above this test")
		}
		dir = parent
	}
}

// tempDir returns a new folder with a path short enough for a Unix socket in
// it, which t.TempDir's is not. Nobody but its owner can read it.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "mm-")
	if err != nil {
		t.Fatalf("make folder: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove folder: %v", err)
		}
	})
	return dir
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatalf("write file: %v", err)
	}
}

// output runs a program to its end and returns what it prints.
func output(t testing.TB, path string, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path, args...).Output()
	if err != nil {
		t.Fatalf("run %s %s: %v", filepath.Base(path), args[0], explain(err))
	}
	return out
}

// run runs a program to its end.
func run(ctx context.Context, path string, args ...string) error {
	_, err := exec.CommandContext(ctx, path, args...).Output()
	return explain(err)
}

// explain adds what a failed program printed to the error of running it.
func explain(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}

// secret returns a new random password.
func secret() string {
	return rand.Text()
}
