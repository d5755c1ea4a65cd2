package escrow_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mintmark/broker/escrow"
	"mintmark/internal/owned"
)

func TestADirectoryThatOthersHaveAHandInIsRefused(t *testing.T) {
	base := memory(t)
	e := open(t, base)
	path := e.Directory()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(memory(t), "elsewhere")
	tests := map[string]struct {
		take func() error
		want string
	}{
		"a link":               {func() error { return errors.Join(os.Mkdir(elsewhere, 0o700), os.Symlink(elsewhere, path)) }, "to be a directory"},
		"a link to nothing":    {func() error { return os.Symlink(filepath.Join(base, "nothing"), path) }, "to be a directory"},
		"a pipe nobody is at":  {func() error { return syscall.Mkfifo(path, 0o600) }, "to be a directory, got a pipe"},
		"a file":               {func() error { return os.WriteFile(path, nil, 0o600) }, "to be a directory, got a regular file"},
		"one others look into": {func() error { return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o711)) }, "to have mode 0700"},
	}
	if owned.Me().IsRoot() { // who alone can give one away
		tests["another user's"] = struct {
			take func() error
			want string
		}{func() error { return errors.Join(os.Mkdir(path, 0o700), os.Chown(path, 65534, 65534)) }, "to belong to"}
	}
	for what, tt := range tests {
		if err := errors.Join(os.RemoveAll(path), tt.take()); err != nil {
			t.Fatal(err)
		}
		if _, err := escrow.Open(escrow.Options{Directory: base, Key: key(1)}); err == nil || !strings.Contains(err.Error(), tt.want) || quiet(err) {
			t.Errorf("%s: got %v, want it refused with %q", what, err, tt.want)
		}
		if _, err := e.Keep("a", nil); err == nil { // it opens the directory anew
			t.Errorf("%s: got something kept there", what)
		}
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v where the link led to, want nothing", left, err)
	}
}

// quiet reports whether err is one for which a start goes on without an escrow.
func quiet(err error) bool {
	return errors.Is(err, escrow.ErrNoMemory) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)
}

// A directory of this name that the broker's user can't even look into was put there by
// somebody: that is no place that was never meant for it.
func TestADirectoryThatCannotBeLookedIntoIsRefused(t *testing.T) {
	if !owned.Me().IsRoot() {
		return // who alone can be another for a while
	}
	base := memory(t)
	e := open(t, base)
	if err := errors.Join(e.Close(), os.Chmod(base, 0o777), os.Mkdir(e.Directory(), 0o700), os.Chown(e.Directory(), 65533, 65533)); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	_, err := escrow.Open(escrow.Options{Directory: base, Key: key(1)})
	if _, undone := unix.SetfsuidRetUid(0); undone != nil {
		t.Fatal(undone)
	}
	if err == nil || !strings.Contains(err.Error(), "to belong to") || quiet(err) {
		t.Errorf("got %v, want it refused", err)
	}
}

// A pipe in the place of a directory must not keep the start waiting.
func TestAPlaceThatIsAPipeIsRefused(t *testing.T) {
	pipe := filepath.Join(memory(t), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := escrow.Open(escrow.Options{Directory: pipe, Key: key(1)}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("got %v, want that it is no directory", err)
	}
}

func TestOnlyMemoryIsTaken(t *testing.T) {
	for _, dir := range []string{"/proc/self", "/proc/self/nowhere/at/all"} {
		if _, err := escrow.Open(escrow.Options{Directory: dir, Key: key(1)}); !errors.Is(err, escrow.ErrNoMemory) || !strings.Contains(err.Error(), "/proc/self") {
			t.Errorf("%s: got %v, want that it is not in memory", dir, err)
		}
	}
	deep := filepath.Join(memory(t), "made", "where", "named")
	keep(t, open(t, deep), "a", value)
	if info, err := os.Stat(deep); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("a directory that did not exist: got %v, %v, want it made", info, err)
	}
	t.Setenv("RUNTIME_DIRECTORY", "/run/a:/run/b")
	if got := escrow.Places(); !slices.Equal(got, []string{"/run/a", "/dev/shm"}) {
		t.Errorf("places: got %q", got)
	}
	t.Setenv("RUNTIME_DIRECTORY", "")
	if got := escrow.Places(); !slices.Equal(got, []string{"/dev/shm"}) {
		t.Errorf("places without systemd: got %q", got)
	}
}

// Whoever cleans up memory, as systemd does with the files of a user who has logged out,
// must not keep a broker that goes on from all it mints.
func TestADirectoryThatIsGoneIsMadeAnew(t *testing.T) {
	for what, take := range map[string]func(path string) error{
		"removed":    os.RemoveAll,
		"moved away": func(path string) error { return os.Rename(path, path+"-moved") },
	} {
		var logged bytes.Buffer
		base := memory(t)
		e, err := escrow.Open(escrow.Options{Directory: base, Key: key(1), Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		if err != nil {
			t.Fatal(err)
		}
		erase := keep(t, e, "a", value)
		if err := take(e.Directory()); err != nil {
			t.Fatal(err)
		}
		keep(t, e, "c", value)()
		if got := e.Names(); len(got) != 0 {
			t.Errorf("%s: got the names %q, want none of what is lost", what, got)
		}
		keep(t, e, "b", value)
		erase()
		if got := e.Names(); !slices.Equal(got, []string{"b"}) || strings.Count(logged.String(), "is lost to the next start") != 1 {
			t.Errorf("%s: got %q, want what came after it, and one line in the log, logged %s", what, got, logged.String())
		}
		e.Kill()
		next := open(t, base)
		if got, _, err := next.Find("b"); err != nil || string(got) != value {
			t.Errorf("%s: got %q, %v for the next process, want what came after it", what, got, err)
		}
		if err := errors.Join(os.RemoveAll(next.Directory()), next.Close()); err != nil {
			t.Errorf("%s: close: %v", what, err)
		}
	}
}

// What another broker still holds must not be taken for what one has left behind, as where
// both have a copy of one signing key.
func TestOneProcessHasAnEscrow(t *testing.T) {
	base := memory(t)
	e := open(t, base)
	keep(t, e, "a", value)
	if _, err := escrow.Open(escrow.Options{Directory: base, Key: key(1)}); !errors.Is(err, escrow.ErrInUse) || !strings.Contains(err.Error(), e.Directory()) {
		t.Errorf("got %v, want that it is in use", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, base)
	if got := next.Names(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after its end: got %q", got)
	}
	keep(t, e, "late", value) // beside the next
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if got := len(open(t, base).Names()); got != 2 {
		t.Errorf("got %d names, want what came late too", got)
	}
}

// What the file system says of a place comes with what to name in its stead.
func TestAPlaceThatTheFileSystemRefusesIsToldWithWhatToDo(t *testing.T) {
	base := memory(t)
	file, loop, nothing := filepath.Join(base, "file"), filepath.Join(base, "loop"), filepath.Join(base, "nothing")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(loop, loop), os.Symlink(filepath.Join(base, "gone"), nothing)); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(base, strings.Repeat("n", 256))
	for what, tt := range map[string]struct {
		place string
		want  error
	}{
		"a file":               {file, syscall.ENOTDIR},
		"below a file":         {filepath.Join(file, "below"), syscall.ENOTDIR},
		"a loop of links":      {loop, syscall.ELOOP},
		"below such a loop":    {filepath.Join(loop, "below"), syscall.ELOOP},
		"a name too long":      {long, syscall.ENAMETOOLONG},
		"below one too long":   {filepath.Join(long, "below"), syscall.ENAMETOOLONG},
		"a link to nothing":    {nothing, syscall.ENOENT},
		"a file of the kernel": {"/proc/version", syscall.ENOTDIR},
	} {
		_, err := escrow.Open(escrow.Options{Directory: tt.place, Key: key(1)})
		const next = ", or name as audit.escrow a directory in a tmpfs that the broker's user can write in, as /run is, or off, and restart the broker"
		if !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "open escrow: ") || !strings.Contains(err.Error(), tt.place) || !strings.HasSuffix(err.Error(), next) {
			t.Errorf("%s: got %v, want %v, the place and what to do", what, err, tt.want)
		}
	}
	if left, err := os.ReadDir(base); err != nil || len(left) != 3 {
		t.Errorf("got %v, %v left, want the three that were there", left, err)
	}
}

// What the file system says once the escrow is open names the file, where it is, and what to do.
func TestWhatCannotBeKeptSaysWhereAndWhatToDo(t *testing.T) {
	e := open(t, memory(t))
	keep(t, e, "first.0", value) // or nothing is there yet
	if err := os.Mkdir(filepath.Join(e.Directory(), "a.0.part"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := e.Keep("a.0", []byte(value))
	if !errors.Is(err, syscall.EEXIST) {
		t.Fatalf("got %v, want it refused", err)
	}
	for _, want := range []string{
		"keep in escrow: expected " + e.Directory() + " to be a directory that ", " can read and write: ", " a.0.part: file exists: look at what stands there",
		", or name as audit.escrow a directory in a tmpfs that the broker's user can write in, as /run is, or off, and restart the broker",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
