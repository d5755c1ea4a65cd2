package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// spare is how much garbage is let grow before it is collected. While it is, for some
// ten milliseconds, calls wait for their turn; and what a call leaves behind is a few
// KiB, whatever the broker holds.
const spare = 64 << 20 // bytes

// Between these, in percent of what is in use, Go's GOGC is kept.
const (
	usualPercent = 100
	mostPercent  = 1600
)

// collectRarely keeps the garbage collector to spare until ctx ends, unless GOGC says
// otherwise. GOMEMLIMIT still bounds the whole.
func collectRarely(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		growInHugePages(spare + spare/4)
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	set := 0
	for {
		metrics.Read(live)
		// To set it stops the world for a moment, so only where it matters.
		if percent := percentFor(live[0].Value.Uint64()); percent > set+set/4 || percent < set-set/4 {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// percentFor returns the percentage that is spare, of so many bytes in use.
func percentFor(live uint64) int {
	if live <= 100*spare/mostPercent {
		return mostPercent
	}
	return max(int(100*spare/live), usualPercent)
}
