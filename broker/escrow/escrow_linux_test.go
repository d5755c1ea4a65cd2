package escrow_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mintmark/broker/escrow"
	"mintmark/internal/owned"
)

const value = "canary-4f1d7c0b9a2e, which no file shows"

// memory returns a directory in memory.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mintmark-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// key returns one of several keys.
func key(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

func open(t testing.TB, dir string) *escrow.Escrow {
	t.Helper()
	e, err := escrow.Open(escrow.Options{Directory: dir, Key: key(1)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func keep(t testing.TB, e *escrow.Escrow, name, value string) (erase func()) {
	t.Helper()
	erase, err := e.Keep(name, []byte(value))
	if err != nil {
		t.Fatalf("keep %s: %v", name, err)
	}
	return erase
}

func TestWhatIsKeptIsThereForTheNextProcess(t *testing.T) {
	dir := memory(t)
	e := open(t, dir)
	keep(t, e, "a.0", "before")
	erase := keep(t, e, "a.0", value)
	keep(t, e, "b.0", "")
	next := open(t, dir)
	names := next.Names()
	slices.Sort(names)
	if !slices.Equal(names, []string{"a.0", "b.0"}) {
		t.Errorf("got the names %q, want both", names)
	}
	for name, want := range map[string]string{"a.0": value, "b.0": ""} {
		if got, _, err := next.Find(name); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	erase()
	erase()
	if _, _, err := next.Find("a.0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it was erased: got %v, want that nothing is there", err)
	}
	if names := e.Names(); !slices.Equal(names, []string{"b.0"}) {
		t.Errorf("after it was erased: got the names %q, want the other", names)
	}
}

func TestNeitherTheDirectoryNorTheKeyAloneGivesAValue(t *testing.T) {
	dir := memory(t)
	e := open(t, dir)
	keep(t, e, "a.0", value)
	file := filepath.Join(e.Directory(), "a.0")
	content, err := os.ReadFile(file)
	if err != nil || bytes.Contains(content, []byte("canary")) || bytes.Contains(content, key(1)[:8]) {
		t.Errorf("got %q, %v, want neither value nor key in it", content, err)
	}
	for path, want := range map[string]fs.FileMode{e.Directory(): fs.ModeDir | 0o700, file: 0o600} {
		if info, err := os.Lstat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: got %v, %v, want the mode %v", path, info, err, want)
		}
	}
	keep(t, e, "a.0", value)
	if again, err := os.ReadFile(file); err != nil || bytes.Equal(again, content) || bytes.Equal(again[:32], content[:32]) {
		t.Errorf("got the same salt for two values, %v", err)
	}
	other, err := escrow.Open(escrow.Options{Directory: dir, Key: key(2)})
	if err != nil || other.Directory() == e.Directory() || len(other.Names()) != 0 {
		t.Fatalf("with another key: got %v in %s, %v, want another directory", other.Names(), other.Directory(), err)
	}
	if err := os.WriteFile(filepath.Join(other.Directory(), "a.0"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _, err := other.Find("a.0"); err == nil || got != nil {
		t.Errorf("with another key: got %q, want an error", got)
	}
}

func TestWhatIsNotWhatWasKeptIsRefused(t *testing.T) {
	e := open(t, memory(t))
	keep(t, e, "b.0", "another's")
	keep(t, e, "a.0", value)
	sealed := contentOf(t, e, "a.0")
	flipped := slices.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	salted := slices.Clone(sealed)
	salted[0] ^= 1
	for what, put := range map[string]func(path string) error{
		"nothing in it":         func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a text":                func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("text", 100)), 0o600) },
		"the beginning of it":   func(path string) error { return os.WriteFile(path, sealed[:len(sealed)-1], 0o600) },
		"more than it":          func(path string) error { return os.WriteFile(path, append(slices.Clone(sealed), 0), 0o600) },
		"a bit of it changed":   func(path string) error { return os.WriteFile(path, flipped, 0o600) },
		"a bit of its salt":     func(path string) error { return os.WriteFile(path, salted, 0o600) },
		"what is of another":    func(path string) error { return os.WriteFile(path, contentOf(t, e, "b.0"), 0o600) },
		"too much":              func(path string) error { return os.WriteFile(path, make([]byte, escrow.MaxValue+1000), 0o600) },
		"a directory":           func(path string) error { return os.Mkdir(path, 0o700) },
		"a link to another":     func(path string) error { return os.Symlink("b.0", path) },
		"a link out of it":      func(path string) error { return os.Symlink("/etc/hostname", path) },
		"a pipe nobody is at":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"nothing at all":        func(string) error { return nil },
		"itself under its name": nil,
	} {
		path := filepath.Join(e.Directory(), "a.0")
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if put == nil {
			put = func(path string) error { return os.WriteFile(path, sealed, 0o600) }
			if got, _, err := after(t, e, put(path)); err != nil || string(got) != value {
				t.Errorf("%s: got %q, %v, want the value", what, got, err)
			}
			continue
		}
		if got, erase, err := after(t, e, put(path)); err == nil || got != nil || erase == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %q, %v, want an error and what erases it", what, got, err)
		}
	}
}

func after(t *testing.T, e *escrow.Escrow, err error) ([]byte, func(), error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return e.Find("a.0")
}

func contentOf(t testing.TB, e *escrow.Escrow, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(e.Directory(), name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestAnEscrowIsBounded(t *testing.T) {
	e := open(t, memory(t))
	for _, name := range []string{"", ".", "..", "../a", "a/b", "A", "a b", ".a", "-a", "a.part", "ä", "a\x00", strings.Repeat("a", 129)} {
		if _, err := e.Keep(name, []byte(value)); err == nil {
			t.Errorf("the name %q: got it kept", name)
		}
		if _, _, err := e.Find(name); err == nil {
			t.Errorf("the name %q: got it found", name)
		}
	}
	if _, err := e.Keep("a", make([]byte, escrow.MaxValue+1)); err == nil || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("a value that is too long: got %v, want it refused", err)
	}
	keep(t, e, "a", strings.Repeat("x", escrow.MaxValue))
	if got, _, err := e.Find("a"); err != nil || len(got) != escrow.MaxValue {
		t.Errorf("the longest value: got %d bytes, %v", len(got), err)
	}
	e.Fill(escrow.MaxKept)
	if _, err := e.Keep("b", nil); err == nil || !strings.Contains(err.Error(), "want at most as many") {
		t.Errorf("one too many: got %v, want it refused", err)
	}
	keep(t, e, "a", "in the place of what is there")
}

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
		"a file":               {func() error { return os.WriteFile(path, nil, 0o600) }, "not a directory"},
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
		if _, err := escrow.Open(escrow.Options{Directory: base, Key: key(1)}); err == nil || !strings.Contains(err.Error(), tt.want) {
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

func TestNothingIsLeftBehind(t *testing.T) {
	base := memory(t)
	var logged bytes.Buffer
	e, err := escrow.Open(escrow.Options{Directory: base, Key: key(1), Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	erase := keep(t, e, "a", value)
	if err := os.WriteFile(filepath.Join(e.Directory(), "b.part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil || !slices.Equal(open(t, base).Names(), []string{"a"}) {
		t.Errorf("closed while something is kept: got %v, want it there, and nothing unfinished", err)
	}
	erase()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(base); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want no directory of nothing", left, err)
	}
	erase()
	keep(t, e, "late", value)() // what comes when all else has ended
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Error(err)
	}
	if logged.Len() > 0 {
		t.Errorf("got logged %q, want nothing", logged.String())
	}
}

func TestManyKeepAtOnce(t *testing.T) {
	e := open(t, memory(t))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := string(rune('a' + i%4))
			for range 50 {
				erase, err := e.Keep(name, []byte(value))
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				if got, _, err := e.Find(name); err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && string(got) != value {
					t.Errorf("%s: got %q, %v", name, got, err)
				}
				erase()
			}
		})
	}
	all.Wait()
	if names := e.Names(); len(names) != 0 {
		t.Errorf("got %q left, want all erased", names)
	}
}
