package escrow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"mintmark/internal/filekind"
	"mintmark/internal/owned"
)

// ErrNoMemory is of a directory that is not in memory: what is written there may
// reach a disk.
var ErrNoMemory = errors.New("expected a directory of a file system in memory (tmpfs or ramfs)")

// ErrInUse is of a directory that another process, or this one, has open: what is in it
// was left by nobody.
var ErrInUse = errors.New("it is open already")

// Places are where an Escrow may be where nobody said where, the best first: the
// directory that systemd made for the service (RuntimeDirectory=), and the memory that
// processes share.
func Places() []string {
	places := filepath.SplitList(os.Getenv("RUNTIME_DIRECTORY"))
	if len(places) > 1 {
		places = places[:1]
	}
	return append(places, "/dev/shm")
}

// openDirectory opens the directory of this name in base, and makes either where it
// does not exist.
func openDirectory(base, name string) (*os.Root, error) {
	nearest, _, _, err := owned.Nearest(base)
	if err != nil {
		return nil, err
	}
	if err := holds(nearest); err != nil { // before anything is made there
		return nil, err
	}
	if err := owned.MakeDirectory(base); err != nil {
		return nil, err
	}
	path := filepath.Join(base, name)
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	named, err := os.Lstat(path) // first: opening a pipe waits for somebody
	if err != nil {
		return nil, err
	}
	if err := ours(path, named); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	if err := same(root, named); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// holds returns an error unless path is a directory in memory.
func holds(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return inMemory(f)
}

// ours returns an error unless the directory is one that nobody else has a hand in. Where
// everybody may make something in its parent, as in /dev/shm, its name can be taken.
func ours(path string, named fs.FileInfo) error {
	switch {
	case !named.IsDir():
		return fmt.Errorf("expected %s to be a directory, got %s: remove it", path, filekind.Name(named.Mode()))
	case owned.Of(named) != owned.Me():
		return fmt.Errorf("expected %s to belong to %s, got %s: remove it, or name another place", path, owned.Me().Name(), owned.Of(named).Name())
	case named.Mode().Perm() != 0o700:
		return fmt.Errorf("expected %s to have mode 0700, got %#o: remove it", path, named.Mode().Perm())
	}
	return nil
}

// same returns an error unless what was opened is the directory that was looked at, and
// in memory.
func same(root *os.Root, named fs.FileInfo) error {
	self, err := root.Open(".")
	if err != nil {
		return err
	}
	defer self.Close()
	opened, err := self.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(named, opened) {
		return fmt.Errorf("expected %s to stay what it was, got another: somebody else has a hand in it", root.Name())
	}
	return inMemory(self)
}

// there reports whether root still has its name, by which the next process looks for it.
func there(root *os.Root) bool {
	named, err := os.Lstat(root.Name())
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	opened, err := root.Stat(".")
	return err != nil || os.SameFile(named, opened)
}

// lock takes root for this process until the file is closed.
func lock(root *os.Root) (*os.File, error) {
	self, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(self.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		return self, nil
	}
	_ = self.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock %s: %w, most likely in another broker whose log has the same signing key: give each a key of its own", root.Name(), ErrInUse)
	}
	return nil, fmt.Errorf("lock %s: %w", root.Name(), err)
}
