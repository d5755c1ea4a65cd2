package trivy

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// Whoever runs the tests may be permitted everything, so that the errors are made here.
func TestUnreadFoldersSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "/scans", Err: syscall.ENOENT}, "read folder of reports: open /scans: no such file or directory: make it, or name"},
		{&fs.PathError{Op: "open", Path: "/scans", Err: syscall.EACCES}, "/scans: permission denied: let the broker's user (uid "},
		{syscall.ENOSPC, "raise fs.inotify.max_user_watches"},
		{syscall.EMFILE, "raise fs.inotify.max_user_instances"},
		{io.ErrUnexpectedEOF, "read folder of reports: unexpected EOF"},
	} {
		if got := unread("read folder of reports", tt.err); !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.want) {
			t.Errorf("got %v, want %q in it", got, tt.want)
		}
	}
}
