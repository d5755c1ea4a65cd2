package providers_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// What a Pool could not end of a provider that is registered no longer, or for another system
// by now, it goes on to end by the one that made it, its logins last.
func TestWhatNoProviderCanEndAnyMoreIsEndedByTheOneBefore(t *testing.T) {
	for name, entries := range map[string]map[string]providers.Entry{
		"none is registered": {"other": {Provider: lasting(time.Hour)}},
		"another system":     {"db": {Provider: at{lasting(time.Hour), "https://b.test"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := loggingIn()
				var down atomic.Bool
				down.Store(true)
				b.onRevoke = func(context.Context, providers.Held) error {
					if down.Load() {
						return fault.New("revoke", fault.Unavailable, "down")
					}
					return nil
				}
				var late atomic.Int64
				r := one(t, b, func(o *providers.PoolOptions) { o.Late = &late })
				lease(t, r)
				if err := r.Close(t.Context()); err == nil {
					t.Error("got no error from Close, want one of the lease that is left")
				}
				next := newRig(t, entries)
				r.HandOver(t.Context(), next.Pool)
				synctest.Wait()
				if next.Owed() != 0 || late.Load() == 0 {
					t.Errorf("got %d owed by the next and %d late, want it late", next.Owed(), late.Load())
				}
				down.Store(false)
				pass(10 * time.Minute)
				if !b.hasRevoked("lease-1") || !slices.Equal(b.loggedOut, []string{"login-1"}) || late.Load() != 0 {
					t.Errorf("got %v revoked, %v logged out and %d late, want both ended", b.revoked, b.loggedOut, late.Load())
				}
				if left := r.Orphans(t); len(left) != 0 {
					t.Errorf("got %+v for the next start, want nothing", left)
				}
				next.Stop(t)
				r.Finish(t)
			})
		})
	}
}

// The rest is for the Pool that comes after, as it has the rights that are in force.
func TestWhatTheNextProviderCanEndIsEndedByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, next := lasting(time.Hour), lasting(time.Hour)
		p.onRevoke = func(context.Context, providers.Held) error {
			return fault.New("revoke", fault.Unavailable, "down")
		}
		r := one(t, p)
		lease(t, r)
		_ = r.Close(t.Context())
		second := one(t, next)
		r.HandOver(t.Context(), second.Pool)
		synctest.Wait()
		if !next.hasRevoked("lease-1") || second.Owed() != 0 {
			t.Errorf("got %v revoked by the next and %d owed", next.revoked, second.Owed())
		}
		second.Stop(t)
		r.Finish(t)
	})
}

// Also what was about to be tried again as Close came.
func TestWhatIsDueAsCloseComesIsTriedAndHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, next := lasting(time.Hour), lasting(time.Hour)
		var asked atomic.Int64
		p.onRevoke = func(context.Context, providers.Held) error {
			asked.Add(1)
			return fault.New("revoke", fault.Unavailable, "down")
		}
		r := one(t, p)
		c, _ := lease(t, r)
		r.Drop(t.Context(), c.ID())
		pass(5 * time.Second)
		before := asked.Load()
		r.Expire()
		if err := r.Close(t.Context()); err == nil || asked.Load() == before {
			t.Errorf("close: got %v after %d attempts, want a last round", err, asked.Load()-before)
		}
		second := one(t, next)
		r.HandOver(t.Context(), second.Pool)
		synctest.Wait()
		if !next.hasRevoked("lease-1") {
			t.Error("got it revoked by nobody")
		}
		second.Stop(t)
		r.Finish(t)
	})
}

// While its system hangs it is put on record again as long as it takes: a start reads no more
// than the last hours of the record.
func TestWhatIsEndedByTheOneBeforeIsOnRecordAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, goOn := lasting(100*time.Hour), make(chan struct{})
		p.onRevoke = func(context.Context, providers.Held) error {
			<-goOn
			return nil
		}
		r := one(t, p)
		lease(t, r)
		_ = r.Close(t.Context())
		next := newRig(t, nil)
		r.HandOver(t.Context(), next.Pool)
		pass(8 * time.Hour)
		decide(t, r)
		if left := r.Orphans(t); len(left) != 1 {
			t.Errorf("got %+v for the next start, want the lease", left)
		}
		close(goOn)
		synctest.Wait()
		if left := r.Orphans(t); len(left) != 0 || !p.hasRevoked("lease-1") {
			t.Errorf("got %+v for the next start, and %v revoked, want the lease ended", left, p.revoked)
		}
		next.Stop(t)
		r.Finish(t)
	})
}
