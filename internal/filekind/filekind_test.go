package filekind_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mintmark/internal/filekind"
)

func TestName(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe, socket := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe"), filepath.Join(dir, "s")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, err := range []error{os.WriteFile(file, nil, 0o600), os.Symlink(file, link), syscall.Mkfifo(pipe, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		file: "a regular file", dir: "a directory", link: "a symbolic link", pipe: "a pipe", socket: "a socket", "/dev/null": "a device",
	} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := filekind.Name(info.Mode()); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got, want := filekind.Name(os.ModeIrregular), "something that is no file"; got != want {
		t.Errorf("irregular: got %q, want %q", got, want)
	}
}
