package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// MakeDirectory makes the directory of a log, which only its owner can look into, and
// those above it that there are not. When it returns, a loss of power can't take them
// away any more, and so not what is written and synced in them.
func MakeDirectory(dir string) error {
	err := makeDirectory(filepath.Clean(dir), syncDirectory)
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("make log directory: %w: name one that the broker's user can make or write in, as audit.directory", err)
	}
	if err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	return nil
}

// makeDirectory has sync called for each directory that another was made in.
func makeDirectory(dir string, sync func(dir string) error) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	above := filepath.Dir(dir)
	if err := makeDirectory(above, sync); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return sync(above)
}
