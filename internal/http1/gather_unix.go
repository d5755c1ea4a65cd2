//go:build unix

package http1

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// gather writes what the system takes at once of head and body, and returns how much
// that was.
func gather(fd uintptr, head, body []byte) (int, error) {
	n, err := unix.SendmsgBuffers(int(fd), [][]byte{head, body}, nil, nil, 0)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return n, os.NewSyscallError("sendmsg", err)
}
