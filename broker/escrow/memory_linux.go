package escrow

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// inMemory returns an error unless f is in a file system of which nothing is kept
// on a disk.
func inMemory(f *os.File) error {
	var system unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &system); err != nil {
		return fmt.Errorf("inspect the file system of %s: %w", f.Name(), err)
	}
	switch int64(system.Type) { //nolint:unconvert // it is of another type on other architectures
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return nil
	}
	return fmt.Errorf("%w, got %s, which is in one of type %#x: name one under /run, or off", ErrNoMemory, f.Name(), system.Type)
}
