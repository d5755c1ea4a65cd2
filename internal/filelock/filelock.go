// Package filelock waits for a lock between processes: flock(2), of a whole file.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ErrHeld is returned when another process, or another holder in this one, has not
// let go in time.
var ErrHeld = errors.New("the lock is held by another")

// every is how soon a lock that was let go of is noticed.
const every = 5 * time.Millisecond

// Lock locks f until f is closed or the process ends. It asks again and again until
// ctx ends, because nothing can end a wait for such a lock, and one that is held for
// ever must not hold the caller. With an error f is closed.
func Lock(ctx context.Context, f *os.File) error {
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			_ = f.Close()
			return ErrHeld
		}
	}
}
