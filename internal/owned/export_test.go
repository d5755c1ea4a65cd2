package owned

import (
	"io/fs"
	"os"
)

// LeaveAs is Leave of a process that runs as u.
func LeaveAs(u User, f *os.File, directory fs.FileInfo) error { return u.leave(f, directory) }
