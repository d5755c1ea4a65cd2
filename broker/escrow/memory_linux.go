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
	return fmt.Errorf("%w, got %s, which is in one that is %s: name one in a tmpfs, as /run is, or off", ErrNoMemory, f.Name(), fileSystem(int64(system.Type))) //nolint:unconvert // as above
}

// fileSystem names the usual ones.
func fileSystem(number int64) string {
	switch number {
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs, as the root of a container is"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	}
	return fmt.Sprintf("of type %#x, which is not tmpfs", number)
}
