package owned_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"mintmark/internal/owned"
)

func TestWhatTheFileSystemSaidComesWithWhatToDo(t *testing.T) {
	for number, next := range map[syscall.Errno]string{
		syscall.ENOSPC: "make room in its file system", syscall.EDQUOT: "make room in its file system", syscall.EROFS: "mount it for writing, or name another",
		syscall.ENOENT: "make it, or name another and restart the broker", syscall.EIO: "look at the state of its disk", syscall.ENAMETOOLONG: "give it a shorter name",
		syscall.ENOTDIR: "look at what stands there, and remove it if nobody needs it", syscall.ELOOP: "look at what stands there, and remove it if nobody needs it",
		syscall.EACCES: "let " + owned.Me().Name() + " read and write it, and what is in it",
	} {
		for _, err := range []error{
			&fs.PathError{Op: "open", Path: "/state/x", Err: number}, &os.LinkError{Op: "rename", Old: "/state/x", New: "/state/y", Err: number},
			os.NewSyscallError("fsync", number),
		} {
			got := owned.Advised("/state", err)
			want := "expected /state to be a directory that " + owned.Me().Name() + " can read and write: " + err.Error() + ": " + next
			if got.Error() != want || !errors.Is(got, number) {
				t.Errorf("got %v, want %s", got, want)
			}
			if or := owned.AdvisedOr("/state", "name /run", err); or.Error() != want+", or name /run" || !errors.Is(or, number) {
				t.Errorf("elsewhere: got %v, want %s, or name /run", or, want)
			}
			if again := owned.Advised("/elsewhere", got); again.Error() != want {
				t.Errorf("again: got %v, want it as it was", again)
			}
		}
	}
	other := errors.New("other")
	if got := owned.Advised("/state", other); got != other { //nolint:errorlint // the very same
		t.Errorf("another: got %v, want it as it was", got)
	}
	if got := owned.Advised("/state", nil); got != nil {
		t.Errorf("none: got %v", got)
	}
	if got := owned.Advised("/state", errors.Join(other, os.ErrPermission)); strings.Contains(got.Error(), "/state") {
		t.Errorf("of no file: got %v, want it as it was", got)
	}
}
