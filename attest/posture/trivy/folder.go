package trivy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// unread explains why the folder, or one below it, cannot be read or watched, and
// what to do next.
func unread(step string, err error) error {
	next := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		next = "make it, or name another one as folder"
	case errors.Is(err, fs.ErrPermission):
		next = fmt.Sprintf("let the broker's user (uid %d) read and enter it and all that is below it", os.Geteuid())
	case errors.Is(err, syscall.ENOSPC):
		next = "raise fs.inotify.max_user_watches, or keep fewer directories below it"
	case errors.Is(err, syscall.EMFILE):
		next = "raise fs.inotify.max_user_instances"
	default:
		return fmt.Errorf("%s: %w", step, err)
	}
	return fmt.Errorf("%s: %w: %s", step, err, next)
}
