package pins_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mintmark/broker/pins"
)

// another is whom a broker runs as where the tests run as root, as an operator's
// command does; else there is but one user.
func another() int {
	if os.Geteuid() == 0 {
		return 65534
	}
	return os.Geteuid()
}

func give(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Chown(name, another(), os.Getegid()); err != nil {
			t.Fatal(err)
		}
	}
}

func wantOwned(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || int(stat.Uid) != another() || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got %+v and mode %v, want one of %d alone", filepath.Base(name), stat, info.Mode(), another())
		}
	}
}

// An operator approves as root what a broker remembers that runs as another.
func TestWhatRootWritesIsTheBrokers(t *testing.T) {
	dir := t.TempDir()
	file, lock := filepath.Join(dir, "pins.json"), filepath.Join(dir, "pins.lock")
	p := open(t, dir)
	observe(t, p, "lookup", "a", pins.First)
	observe(t, p, "lookup", "b", pins.Changed)
	give(t, dir, file)
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	approve(t, open(t, dir))
	wantOwned(t, file, lock)
}

func TestWhatRootMakesIsTheBrokers(t *testing.T) {
	base := t.TempDir()
	give(t, base)
	dir := filepath.Join(base, "audit", "state")
	observe(t, open(t, dir), "lookup", "a", pins.First)
	wantOwned(t, filepath.Dir(dir), dir, filepath.Join(dir, "pins.json"), filepath.Join(dir, "pins.lock"))
}

func TestWhatDoesNotChangeIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	observe(t, p, "lookup", "a", pins.First)
	file := filepath.Join(dir, "pins.json")
	before := time.Unix(1, 0)
	if err := os.Chtimes(file, before, before); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, dir).Approve("orders"); err != nil || len(got) != 0 {
		t.Errorf("approve: got %v, %v", got, err)
	}
	if err := p.Register(map[string]map[string]string{"orders": {"lookup": "a"}}); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(file)
	if err != nil || !info.ModTime().Equal(before) {
		t.Errorf("got %v, %v, want the file as it was", info, err)
	}
}

// What can't be read is said once, and again when it is so for another reason.
func TestWhatCannotBeReadIsSaid(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	observe(t, p, "lookup", "a", pins.First)
	observe(t, p, "lookup", "b", pins.Changed)
	for _, content := range []string{"{", "[]"} {
		if err := os.WriteFile(filepath.Join(dir, "pins.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		wantPending(t, p, "lookup", true)
		if err := p.Unread(); err == nil {
			t.Errorf("%s: got nothing said", content)
		}
		wantPending(t, p, "lookup", true)
		if err := p.Unread(); err != nil {
			t.Errorf("%s: got it said twice: %v", content, err)
		}
	}
}
