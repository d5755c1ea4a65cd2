package http1

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A call is interrupted by the end of its own context, while it is under way and
// however short that is, and no other call by it.
func TestACallIsInterruptedByItsOwnContext(t *testing.T) {
	for _, tc := range []struct {
		name        string
		cancelled   time.Duration // after the beginning of the call
		ended       time.Duration
		interrupted bool
	}{
		{"at its beginning", 0, time.Second, true},
		{"soon", unheeded / 2, time.Second, true},
		{"late", 5 * unheeded, time.Second, true},
		{"after a short call", 2 * unheeded, unheeded / 2, false},
		{"after a long call", 5 * unheeded, 4 * unheeded, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var interrupted atomic.Bool
				var h heed
				h.open(func() { interrupted.Store(true) })
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(tc.cancelled, cancel)
				h.begin(ctx)
				time.Sleep(tc.ended)
				synctest.Wait()
				if got := h.end(); got == tc.interrupted {
					t.Errorf("the end of the call returned %t, want %t", got, !tc.interrupted)
				}
				h.begin(t.Context()) // the next call on the connection
				time.Sleep(10 * unheeded)
				synctest.Wait()
				if got := interrupted.Load(); got != tc.interrupted || !h.end() {
					t.Errorf("interrupted: %t, want %t, and the next call not at all", got, tc.interrupted)
				}
			})
		})
	}
}
