package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// named is a segment that must stay under its name: what is written to one that was
// removed, or renamed as by logrotate, is read by nobody.
type named struct {
	*os.File
}

// Sync brings the segment to the disk, and returns an error too where its name no longer
// leads to it.
func (n named) Sync() error { return errors.Join(n.File.Sync(), n.check()) }

func (n named) check() error {
	const next = "put back that file, unchanged, and the broker goes on by itself; where it is lost, keep the directory for whoever investigates and start a new log"
	opened, err := n.Stat()
	if err != nil {
		return err
	}
	found, err := os.Lstat(n.Name())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s was removed or renamed while it is written: %s", n.Name(), next)
	case err != nil:
		return fmt.Errorf("look whether the segment is still there: %w", err)
	case !os.SameFile(opened, found):
		return fmt.Errorf("%s is another file than the one that is written: %s", n.Name(), next)
	}
	return nil
}
