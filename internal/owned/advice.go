package owned

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// advised is an error that says already what to do.
type advised struct{ error }

// Unwrap returns what came.
func (a advised) Unwrap() error { return a.error }

// Advised adds to what a file system said of something in dir, which is of the broker's
// own, what was expected of dir and what to do. Every other error it returns as it is.
func Advised(dir string, err error) error { return AdvisedOr(dir, "", err) }

// AdvisedOr is Advised of something that may be elsewhere too: or says how to name where, and is
// added to what to do.
func AdvisedOr(dir, or string, err error) error {
	if _, already := errors.AsType[advised](err); already || !bare(err) {
		return err
	}
	next := fmt.Sprintf("let %s read and write it, and what is in it", Me().Name())
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		next = "make room in its file system"
	case errors.Is(err, syscall.EROFS):
		next = "mount it for writing, or name another"
	case errors.Is(err, fs.ErrNotExist):
		next = "make it, or name another and restart the broker"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ELOOP), errors.Is(err, fs.ErrExist):
		next = "look at what stands there, and remove it if nobody needs it"
	case errors.Is(err, syscall.ENAMETOOLONG):
		next = "give it a shorter name"
	case errors.Is(err, syscall.EIO):
		next = "look at the state of its disk"
	}
	if or != "" {
		next += ", or " + or
	}
	return advised{fmt.Errorf("expected %s to be a directory that %s can read and write: %w: %s", dir, Me().Name(), err, next)}
}

// bare reports whether err is one that package os made.
func bare(err error) bool {
	_, path := errors.AsType[*fs.PathError](err)
	_, link := errors.AsType[*os.LinkError](err)
	_, call := errors.AsType[*os.SyscallError](err)
	return path || link || call
}
