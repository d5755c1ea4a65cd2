package owned_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mintmark/internal/owned"
)

// ofAnother returns a directory that belongs to another user where this one, as
// root, can give it away, and to this one else.
func ofAnother(t *testing.T) (dir string, user owned.User) {
	t.Helper()
	dir, user = t.TempDir(), owned.Me()
	if user.IsRoot() {
		user = 65534
		if err := os.Chown(dir, int(user), 65534); err != nil {
			t.Fatal(err)
		}
	}
	return dir, user
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestDirectoriesBelongToWhomTheyAreMadeIn(t *testing.T) {
	dir, user := ofAnother(t)
	for range 2 { // the second time they are there
		if err := owned.MakeDirectory(filepath.Join(dir, "a", "b")); err != nil {
			t.Fatal(err)
		}
	}
	for _, made := range []string{"a", "a/b"} {
		if info := stat(t, filepath.Join(dir, made)); owned.Of(info) != user || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: got %v of %s, want a directory of %s that nobody else looks into", made, info.Mode(), owned.Of(info).Name(), user.Name())
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if err := owned.MakeDirectory(path); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s: got %v, want an error that there is a file", path, err)
		}
	}
}

func TestFilesBelongToTheDirectorysOrTheReplacedFilesOwner(t *testing.T) {
	dir, user := ofAnother(t)
	for name, give := range map[string]func(*os.File, fs.FileInfo) error{"kept": owned.Keep, "left": owned.Leave} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(give(f, stat(t, dir)), f.Close()); err != nil {
			t.Fatal(err)
		}
		if got := owned.Of(stat(t, f.Name())); got != user {
			t.Errorf("%s: got a file of %s, want it of %s", name, got.Name(), user.Name())
		}
	}
}

// What another than root makes in a directory of somebody else's, as it may where that
// is its group's, is its own: it could give nothing away, and need not.
func TestWhatOthersThanRootMakeIsTheirOwn(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "made"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := owned.Of(stat(t, f.Name()))
	if err := owned.LeaveAs(1000, f, others{stat(t, dir)}); err != nil {
		t.Errorf("got %v, want nothing done", err)
	}
	if got := owned.Of(stat(t, f.Name())); got != before {
		t.Errorf("got it given to %s, want it of %s still", got.Name(), before.Name())
	}
}

// others is what is known of a file of another user.
type others struct{ fs.FileInfo }

func (others) Name() string { return "the-pins" }
func (others) Sys() any     { return &syscall.Stat_t{Uid: 4242, Gid: 4242} }

// Who can't give a file away is told whose it was to be; root can.
func TestAFileThatCannotBeGivenAwaySaysToWhom(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = owned.Keep(f, others{})
	if owned.Me().IsRoot() {
		if err != nil || owned.Of(stat(t, f.Name())) != 4242 {
			t.Errorf("root: got %v, want the file given away", err)
		}
		return
	}
	if err == nil || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "expected to run as #4242, to whom the-pins belongs, got "+owned.Me().Name()) {
		t.Errorf("got %v, want to be told of #4242", err)
	}
}

func TestNearestIsWhatCanBeSeen(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for path, want := range map[string]struct {
		name   string
		itself bool
	}{
		dir: {dir, true}, dir + "/": {dir, true}, filepath.Join(dir, "a", "b"): {dir, false}, "a/b": {".", false}, "": {".", true}, "/": {"/", true},
	} {
		name, info, itself, err := owned.Nearest(path)
		if err != nil || name != want.name || itself != want.itself || info == nil || !info.IsDir() {
			t.Errorf("%q: got %s, itself %t, %v, want %+v", path, name, itself, err, want)
		}
	}
}
