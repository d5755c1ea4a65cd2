package providers_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// renewing is a scripted provider whose system can prolong.
type renewing struct {
	*scripted
	renew func(ctx context.Context, n int, h providers.Held) (providers.Terms, error)
	tries int
}

func (r *renewing) Renew(ctx context.Context, h providers.Held) (providers.Terms, error) {
	r.tries++
	return r.renew(ctx, r.tries, h)
}

// prolonging mints tokens that live for an hour and can be renewed for ttl.
func prolonging(ttl time.Duration) *renewing {
	return &renewing{scripted: lasting(time.Hour), renew: func(context.Context, int, providers.Held) (providers.Terms, error) {
		return providers.Terms{NotAfter: time.Now().Add(ttl)}, nil
	}}
}

func TestALeaseInUseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prolonging(time.Hour)
		var asked providers.Held
		given := p.renew
		p.renew = func(ctx context.Context, n int, h providers.Held) (providers.Terms, error) {
			if n == 1 {
				asked = h
			}
			return given(ctx, n, h)
		}
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		for i := range 3 {
			pass(40*time.Minute + time.Second)
			if c, cached := lease(t, r); !cached || c.ID() != first.ID() || !r.Valid(first) || time.Until(c.NotAfter()) < 59*time.Minute {
				t.Fatalf("renewal %d: got %v until %v (cached %t), want the first, for an hour more, and so for who holds it", i+1, c, c.NotAfter(), cached)
			}
		}
		if mints, revoked := p.count(); mints != 1 || revoked != 0 || asked.Lease != "lease-1" || asked.Opened.Token() != canary+"-1" {
			t.Errorf("got %d mints, %d revocations, and %q renewed, want one mint alone", mints, revoked, asked.Lease)
		}
		records := r.Records(t)
		last := records[len(records)-1]
		if got := r.Events(t); got != "mint held renew held renew held renew" || last.Credential != first.ID() || !last.NotAfter.Equal(first.NotAfter()) || last.Lease != "lease-1" || len(last.Scopes) != 1 {
			t.Errorf("events: got %q and %+v, want each renewal with the end that it gave", got, last)
		}
		pass(2 * time.Hour) // nobody uses it
		if _, revoked := p.count(); revoked != 1 || r.Valid(first) {
			t.Error("unused after its renewal: want it revoked")
		}
	})
}

func TestWhereRenewalServesNotASuccessorIsMinted(t *testing.T) {
	for name, tt := range map[string]struct {
		renew  func(context.Context, int, providers.Held) (providers.Terms, error)
		maxAge time.Duration
		events string
	}{
		"it fails": {func(context.Context, int, providers.Held) (providers.Terms, error) {
			return providers.Terms{}, fault.New("lease", fault.Unavailable, "down")
		}, 0, "mint held renew_failed mint"},
		"its system does not prolong it": {func(context.Context, int, providers.Held) (providers.Terms, error) {
			return providers.Terms{}, providers.ErrNotRenewable
		}, 0, "mint held mint"},
		"its system does not prolong it, and says so": {func(context.Context, int, providers.Held) (providers.Terms, error) {
			return providers.Terms{}, fault.Wrap("renew", fault.Internal, "of type batch", providers.ErrNotRenewable)
		}, 0, "mint held mint"},
		"it breaks its word": {func(context.Context, int, providers.Held) (providers.Terms, error) {
			return providers.Terms{}, errors.New(canary)
		}, 0, "mint held renew_failed mint"},
		"it panics": {func(context.Context, int, providers.Held) (providers.Terms, error) { panic(canary) }, 0, "mint held renew_failed mint"},
		"it hangs": {func(context.Context, int, providers.Held) (providers.Terms, error) {
			<-time.After(time.Minute)
			return providers.Terms{}, nil
		}, 0, "mint held renew_failed mint"},
		"it puts the secret into its terms": {func(context.Context, int, providers.Held) (providers.Terms, error) {
			return providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: canary + "-1"}, nil
		}, 0, "mint held renew_failed mint"},
		"the system gives no more time": {func(_ context.Context, _ int, h providers.Held) (providers.Terms, error) {
			return providers.Terms{NotAfter: time.Now().Add(20 * time.Minute)}, nil
		}, 0, "mint held mint"},
		"the system gives little time": {func(context.Context, int, providers.Held) (providers.Terms, error) {
			return providers.Terms{NotAfter: time.Now().Add(25 * time.Minute)}, nil
		}, 0, "mint held renew mint"},
		"the registration gives no more time": {func(context.Context, int, providers.Held) (providers.Terms, error) {
			panic("not to be asked")
		}, 50 * time.Minute, "mint mint"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &renewing{scripted: lasting(time.Hour), renew: tt.renew}
				r := newRig(t, map[string]providers.Entry{"db": {Provider: p, MaxAge: tt.maxAge}})
				first, _ := lease(t, r)
				pass(40*time.Minute + 12*time.Second)
				if c, cached := lease(t, r); !cached || c.ID() == first.ID() {
					t.Errorf("got %v (cached %t), want a successor, already there", c, cached)
				}
				if got := r.Events(t); !strings.HasPrefix(got, tt.events) {
					t.Errorf("events: got %q, want %q", got, tt.events)
				}
				pass(time.Minute)
				if !p.hasRevoked("lease-1") || p.hasRevoked("lease-2") || r.Valid(first) {
					t.Errorf("got %d revocations, want the old one revoked after its grace", len(p.revoked))
				}
				r.Stop(t)
			})
		})
	}
}

func TestADropReachesALeaseThatIsBeingRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prolonging(time.Hour)
		given := p.renew
		p.renew = func(ctx context.Context, n int, h providers.Held) (providers.Terms, error) {
			<-time.After(5 * time.Second)
			return given(ctx, n, h)
		}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p}})
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(40*time.Minute + time.Second)
		r.Drop(t.Context(), first.ID())
		c, _, err := r.Lease(t.Context(), "db", providers.Request{}) // waits for what is under way
		if err != nil || c.ID() == first.ID() || !r.Valid(c) || r.Valid(first) {
			t.Errorf("got %v, %v, want another credential than the one that was dropped", c, err)
		}
		if !p.hasRevoked("lease-1") {
			t.Error("the dropped lease was not revoked")
		}
	})
}

func TestARenewalThatCannotBeRecordedChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prolonging(time.Hour)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p}})
		first, _ := lease(t, r)
		end := first.NotAfter()
		if err := r.Log.Close(); err != nil {
			t.Fatal(err)
		}
		pass(41 * time.Minute)
		if !first.NotAfter().Equal(end) {
			t.Errorf("got an end at %v, want %v: a renewal that is not on record is not in force", first.NotAfter(), end)
		}
		_ = r.Close(t.Context()) // its records fail too
	})
}

// What can't be renewed is not asked again, though its successor is long in coming.
func TestWhatIsNotRenewableIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &renewing{scripted: lasting(time.Hour), renew: func(context.Context, int, providers.Held) (providers.Terms, error) {
			return providers.Terms{}, providers.ErrNotRenewable
		}}
		p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			if n == 2 || n == 3 {
				return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
			}
			return token(n, time.Hour), nil
		}
		r := one(t, p)
		defer r.Stop(t)
		lease(t, r)
		pass(41 * time.Minute)
		if got := r.Events(t); got != "mint held mint_failed mint_failed mint revoke" || p.tries != 1 {
			t.Errorf("events: got %q and %d renewals tried, want one, and no failure of it on record", got, p.tries)
		}
	})
}

// What its system said is fixed is replaced without asking.
func TestWhatIsFixedIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &renewing{scripted: lasting(time.Hour), renew: func(context.Context, int, providers.Held) (providers.Terms, error) {
			return providers.Terms{}, providers.ErrNotRenewable
		}}
		p.mint = func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
			return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)},
				providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: "lease-1", Fixed: n == 1}), nil
		}
		r := one(t, p)
		defer r.Stop(t)
		fixed, _ := lease(t, r)
		pass(41 * time.Minute)
		next, _ := lease(t, r)
		if next.ID() == fixed.ID() || p.tries != 0 || fixed.Renewable(p) || !next.Renewable(p) || next.Renewable(p.scripted) {
			t.Errorf("got %d renewals tried; renewable: %t and %t, want no, and that of the second", p.tries, fixed.Renewable(p), next.Renewable(p))
		}
	})
}
