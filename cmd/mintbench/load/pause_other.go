//go:build !linux

package load

import "time"

// pause waits as finely as the runtime's timers do.
func pause(d time.Duration) { <-time.After(d) }
