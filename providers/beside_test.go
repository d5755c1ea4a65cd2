package providers_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// renaming is a provider whose system gives another handle as it prolongs, for ttl and after a
// while.
func renaming(handle string, ttl, after time.Duration) *renewing {
	return &renewing{scripted: lasting(time.Hour), renew: func(context.Context, int, providers.Held) (providers.Terms, error) {
		<-time.After(after)
		return providers.Terms{NotAfter: time.Now().Add(ttl), Lease: handle}, nil
	}}
}

// What a system gave as it prolonged a credential ends with it, also where it is not in force.
func TestAHandleThatARenewalGaveEndsWithItsLease(t *testing.T) {
	for name, tt := range map[string]struct {
		p   *renewing
		do  func(t *testing.T, r *providertest.Rig, c providers.Credential) // once it was asked
		old bool                                                            // the first handle is ended too
	}{
		"in force": {renaming("new", 2*time.Hour, 0), func(t *testing.T, r *providertest.Rig, c providers.Credential) { r.Drop(t.Context(), c.ID()) }, false},
		"no later": {renaming("new", time.Minute, 0), nil, true},
		"not on record": {renaming("new", 2*time.Hour, time.Second), func(t *testing.T, r *providertest.Rig, c providers.Credential) {
			if err := r.Log.Close(); err != nil {
				t.Error(err)
			}
			pass(time.Minute)
			r.Drop(t.Context(), c.ID())
		}, true},
		"too late": {renaming("new", 2*time.Hour, time.Minute), nil, true},
		"after its end": {renaming("new", 2*time.Hour, 5*time.Second), func(t *testing.T, r *providertest.Rig, c providers.Credential) {
			r.Drop(t.Context(), c.ID())
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := one(t, tt.p)
				c, _ := lease(t, r)
				pass(40*time.Minute + time.Millisecond)
				if tt.do != nil {
					tt.do(t, r, c)
				}
				pass(90 * time.Second)
				tt.p.mu.Lock()
				revoked := " " + strings.Join(tt.p.revoked, " ") + " "
				tt.p.mu.Unlock()
				if strings.Count(revoked, " new ") != 1 || strings.Contains(revoked, " lease-1 ") != tt.old {
					t.Errorf("got %q revoked, want the handle that the renewal gave, and the first: %t", revoked, tt.old)
				}
				_ = r.Close(t.Context())
				r.Finish(t)
			})
		})
	}
}

// What has ended is not asked for again while the other handle is tried.
func TestOfTwoHandlesTheOneThatEndedIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, stuck := range []string{"new", "lease-1"} {
			p := renaming("new", time.Minute, 0)
			var down atomic.Bool
			down.Store(true)
			p.onRevoke = func(_ context.Context, h providers.Held) error {
				if h.Lease == stuck && down.Load() {
					return fault.New("revoke", fault.Unavailable, "down")
				}
				return nil
			}
			r := one(t, p)
			lease(t, r)
			pass(42 * time.Minute)
			if r.Owed() != 1 || p.hasRevoked(stuck) || len(p.revoked) != 1 {
				t.Errorf("%s: got %v revoked and %d owed, want the other", stuck, p.revoked, r.Owed())
			}
			down.Store(false)
			pass(10 * time.Minute)
			if r.Owed() != 0 || !p.hasRevoked(stuck) || len(p.revoked) != 2 {
				t.Errorf("%s: got %v revoked and %d owed, want each once", stuck, p.revoked, r.Owed())
			}
			_ = r.Close(t.Context())
			r.Finish(t)
		}
	})
}
