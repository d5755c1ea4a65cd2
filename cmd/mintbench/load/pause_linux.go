package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// pause waits in the kernel, because the runtime's timers wake up to a
// millisecond late when nothing else happens, which is more than a call takes.
func pause(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&left, &left) == unix.EINTR {
	}
}
