package escrow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mintmark/internal/owned"
)

// ErrNoMemory is of a directory that is not in memory: what is written there may
// reach a disk.
var ErrNoMemory = errors.New("expected a directory of a file system in memory (tmpfs or ramfs)")

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
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	if err := ours(root); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// holds returns an error unless path is in memory.
func holds(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return inMemory(f)
}

// ours returns an error unless nobody else has a hand in the directory. Where
// everybody may make something in its parent, as in /dev/shm, its name can be taken.
func ours(root *os.Root) error {
	opened, err := root.Stat(".")
	if err != nil {
		return err
	}
	named, err := os.Lstat(root.Name())
	switch {
	case err != nil:
		return err
	case !os.SameFile(named, opened):
		return fmt.Errorf("expected %s to be a directory, got %v: remove it", root.Name(), named.Mode())
	case owned.Of(opened) != owned.Me():
		return fmt.Errorf("expected %s to belong to %s, got %s: remove it, or name another place", root.Name(), owned.Me().Name(), owned.Of(opened).Name())
	case opened.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("expected %s to have mode 0700, got %#o: remove it", root.Name(), opened.Mode().Perm())
	}
	self, err := root.Open(".")
	if err != nil {
		return err
	}
	defer self.Close()
	return inMemory(self)
}
