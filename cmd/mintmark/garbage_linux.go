package main

import "golang.org/x/sys/unix"

// growInHugePages has the system keep the next n bytes that the heap grows by in pages of
// 2 MiB, where it can: they are asked for, and left to the collector as they came, so that
// garbage will be there. In pages of 4 KiB nearly each call touches another one, and on a
// machine that takes away what is idle for a second that is most of what it waits for.
func growInHugePages(n int) {
	room := make([]byte, n)                    // of which nothing is touched
	_ = unix.Madvise(room, unix.MADV_HUGEPAGE) // without, all is as it was
}
