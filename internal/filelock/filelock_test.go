package filelock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mintmark/internal/filelock"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestALockHasOneHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first := open(t, path)
	if err := filelock.Lock(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	second := open(t, path)
	if err := filelock.Lock(brief, second); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("while it is held: got %v, want ErrHeld", err)
	}
	if _, err := second.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after an error: got %v, want the file closed", err)
	}
	got := make(chan error, 1)
	third := open(t, path)
	go func() { got <- filelock.Lock(t.Context(), third) }()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("after it was let go: got %v, want the lock", err)
	}
}

func TestAFileThatCannotBeLocked(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "lock"))
	_ = f.Close()
	if err := filelock.Lock(t.Context(), f); err == nil || errors.Is(err, filelock.ErrHeld) {
		t.Errorf("got %v, want an error of the file", err)
	}
}
