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
)

// slowly prolongs for an hour at once, and takes a while to say so.
func slowly(life, pause time.Duration) *renewing {
	return &renewing{scripted: lasting(life), renew: func(context.Context, int, providers.Held) (providers.Terms, error) {
		end := time.Now().Add(time.Hour)
		<-time.After(pause)
		return providers.Terms{NotAfter: end}, nil
	}}
}

// A lease that ends here while its system prolongs it lives on there until it is revoked.
func TestALeaseThatEndsWhileItIsRenewedIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := slowly(20*time.Second, 8*time.Second)
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(time.Minute)
		if r.Valid(first) || !p.hasRevoked(first.Lease()) {
			t.Errorf("got events %q, want the first lease revoked, which its system has prolonged", r.Events(t))
		}
		for _, orphan := range r.Orphans(t) {
			if orphan.Credential == first.ID() {
				t.Errorf("got %+v for the next start, want its end on record after its renewal", orphan)
			}
		}
	})
}

// Nor does the next start look for one that was dropped meanwhile.
func TestTheEndOfALeaseIsOnRecordAfterItsRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := slowly(time.Hour, 5*time.Second)
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(40*time.Minute + time.Second)
		r.Drop(t.Context(), first.ID())
		pass(10 * time.Second)
		if _, revoked := p.count(); revoked != 2 || !strings.HasPrefix(r.Events(t), "mint held revoke renew ") {
			t.Errorf("got %d revocations and %q, want what was renewed revoked again", revoked, r.Events(t))
		}
		for _, orphan := range r.Orphans(t) {
			if orphan.Credential == first.ID() {
				t.Errorf("got %+v for the next start", orphan)
			}
		}
	})
}

// Nor for one that has ended, and was revoked, while its system was asked and failed.
func TestTheEndOfALeaseIsOnRecordAfterAFailedRenewal(t *testing.T) {
	for name, leave := range map[string]func(context.Context, *providers.Pool, providers.Credential){
		"it is dropped":    func(ctx context.Context, p *providers.Pool, c providers.Credential) { p.Drop(ctx, c.ID()) },
		"its time is over": func(context.Context, *providers.Pool, providers.Credential) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &renewing{scripted: lasting(20 * time.Second), renew: func(context.Context, int, providers.Held) (providers.Terms, error) {
					<-time.After(8 * time.Second)
					return providers.Terms{}, fault.New("renew", fault.Unavailable, "down")
				}}
				r := one(t, p)
				defer r.Stop(t)
				first, _ := lease(t, r)
				pass(15 * time.Second)
				leave(t.Context(), r.Pool, first)
				pass(15 * time.Second)
				if !p.hasRevoked(first.Lease()) {
					t.Errorf("got %v revoked", p.revoked)
				}
				for _, orphan := range r.Orphans(t) {
					if orphan.Credential == first.ID() {
						t.Errorf("got %+v for the next start (events %q), want its end on record last", orphan, r.Events(t))
					}
				}
			})
		})
	}
}

// A system may prolong a lease and never come to say so. Where it can't give a successor
// either, the lease is revoked once it is back, though it has ended by what it said before.
func TestWhatMayHaveBeenProlongedIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		away := func() error {
			if down.Load() {
				return fault.New("lease", fault.Unavailable, "down")
			}
			return nil
		}
		p := &renewing{scripted: lasting(time.Hour)}
		p.renew = func(context.Context, int, providers.Held) (providers.Terms, error) {
			down.Store(true)
			return providers.Terms{}, away()
		}
		mint := p.mint
		p.mint = func(ctx context.Context, n int, req providers.Request) (providers.Credential, error) {
			if err := away(); err != nil {
				return providers.Credential{}, err
			}
			return mint(ctx, n, req)
		}
		p.onRevoke = func(context.Context, providers.Held) error { return away() }
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(61 * time.Minute)
		if r.Valid(first) || r.Owed() != 1 {
			t.Errorf("past its end: got %d owed and valid %t, want it owed and not used", r.Owed(), r.Valid(first))
		}
		if left := r.Orphans(t); len(left) != 1 || !left[0].SystemEnd.After(time.Now().Add(time.Minute)) {
			t.Errorf("got %+v for the next start, want it with the end that it may have", left)
		}
		down.Store(false)
		pass(20 * time.Minute)
		if !p.hasRevoked(first.Lease()) || r.Owed() != 0 {
			t.Errorf("got %v revoked and %d owed, want the first", p.revoked, r.Owed())
		}
	})
}

// What its system refuses to prolong ends when that has said.
func TestWhatIsNotProlongedEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &renewing{scripted: lasting(time.Hour), renew: func(context.Context, int, providers.Held) (providers.Terms, error) {
			return providers.Terms{}, providers.ErrNotRenewable
		}}
		mint := p.mint
		p.mint = func(ctx context.Context, n int, req providers.Request) (providers.Credential, error) {
			if n > 1 {
				return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
			}
			return mint(ctx, n, req)
		}
		r := one(t, p)
		defer r.Stop(t)
		lease(t, r)
		pass(61 * time.Minute)
		if _, revoked := p.count(); revoked != 0 || r.Owed() != 0 {
			t.Errorf("got %d revoked and %d owed, want nothing", revoked, r.Owed())
		}
	})
}

// Whoever starts after a kill in the middle of a renewal knows of the later end, though that
// came only after the end that was known before.
func TestAKillDuringARenewalLeavesItsLaterEndOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := slowly(time.Hour, 5*time.Second)
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(40*time.Minute + time.Second) // and its renewal is under way
		left := r.OrphansAt(t, time.Now().Add(30*time.Minute))
		if len(left) != 1 || left[0].Credential != first.ID() {
			t.Errorf("got %+v for a start past the sooner end, want the lease", left)
		}
		pass(5 * time.Second) // it ends
	})
}
