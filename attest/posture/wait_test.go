package posture_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/attest/posture"
)

// Who waits in vain is told for which sources, and why they are not ready.
func TestWaitSaysWhichSourcesAreNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan, disk, done := newScript(), newScript(), newScript()
		tracker := posture.NewTracker(map[string]posture.Source{"scan": scan, "disk": disk, "done": done}, posture.TrackerOptions{})
		run(t, tracker)
		for _, s := range []*script{scan, disk, done} {
			<-s.started
		}
		done.report(posture.Fact{})
		scan.fail()
		<-scan.started
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := tracker.Wait(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "; source disk: its first scan goes on; source scan: ") || strings.Contains(err.Error(), "done") {
			t.Errorf("got %v, want both sources that are waited for", err)
		}
	})
}
