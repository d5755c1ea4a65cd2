package providers_test

import (
	"context"
	"crypto/ed25519"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/providers"
)

// The clock of the log leaps when a machine wakes, or when it is set. What is held is then
// on record again, before the records of before are too old for a start to read.
func TestWhatIsHeldIsOnRecordAgainAfterALeapOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, leap := range []time.Duration{10 * time.Hour, -10 * time.Hour} {
			var leapt atomic.Int64
			clock := func() time.Time { return time.Now().Round(0).Add(time.Duration(leapt.Load())) }
			p := lasting(0)
			p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
				return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)},
					providers.Terms{NotAfter: clock().Add(48 * time.Hour), Lease: "lease"}), nil
			}
			dir := t.TempDir()
			log, err := audit.Open(audit.Options{Directory: dir, SigningKey: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			r := one(t, p, func(o *providers.PoolOptions) { o.Clock, o.Log = clock, log })
			lease(t, r)
			pass(10 * time.Minute)
			leapt.Store(int64(leap))
			pass(2 * time.Minute)
			if _, err := log.Append(t.Context(), &audit.Record{Kind: audit.Decision}); err != nil {
				t.Fatal(err)
			}
			left := providers.Orphans(audit.Recent(dir, providers.OrphanWindow, audit.Filter{Kind: audit.Issuance}), clock(), quiet())
			if len(left) != 1 || left[0].Lease != "lease" {
				t.Errorf("%v: got %+v, want what is held", leap, left)
			}
			var events []string
			for e, err := range audit.Query(dir, audit.Filter{Kind: audit.Issuance}) {
				if err != nil {
					t.Fatal(err)
				}
				events = append(events, e.Event)
			}
			if got := strings.Join(events, " "); leap > 0 && got != "mint held" || leap < 0 && got != "mint" {
				t.Errorf("%v: got %q, want it once more where the clock goes forward", leap, got)
			}
			if err := r.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := log.Close(); err != nil {
				t.Error(err)
			}
			r.Finish(t)
		}
	})
}

// A lease that is over by the clock, after a leap, is dropped once another takes its place:
// its timer, which goes by how long the process ran, would have its secret kept for days.
func TestWhatIsOverAfterALeapOfTheClockIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var leapt atomic.Int64
		clock := func() time.Time { return time.Now().Round(0).Add(time.Duration(leapt.Load())) }
		p := &scripted{mint: func(context.Context, int, providers.Request) (providers.Credential, error) {
			return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)},
				providers.Terms{NotAfter: clock().Add(48 * time.Hour), Lease: "lease"}), nil
		}}
		r := one(t, p, func(o *providers.PoolOptions) { o.Clock = clock })
		first, _ := lease(t, r)
		leapt.Store(int64(72 * time.Hour))
		second, cached := lease(t, r)
		if cached || r.Valid(first) || !r.Valid(second) {
			t.Errorf("got %v (cached %t), want another than %v", second, cached, first)
		}
		pass(time.Minute)
		if _, kept := r.Kept(); kept != 1 || !first.Wiped() || second.Wiped() {
			t.Errorf("got %d leases, the first wiped %t, want the second alone", kept, first.Wiped())
		}
		r.Stop(t)
	})
}
