package providers_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// down mints the first and no other.
func down(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
	if n > 1 {
		<-time.After(2 * time.Second)
		return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
	}
	return token(n, time.Hour), nil
}

// A lease that its system prolongs by little, and can't replace, serves to its new end.
func TestWhatIsProlongedByLittleServesThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prolonging(25 * time.Minute) // of an hour
		p.mint = down
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(40*time.Minute - time.Second)
		for range 70 { // until 64 minutes and 59 seconds
			pass(20 * time.Second)
			if c, cached, err := r.Lease(t.Context(), "db", providers.Request{}); err != nil || !cached || c.ID() != first.ID() || !r.Valid(c) {
				t.Fatalf("got %v (cached %t, error %v) at %v of its end, want what is good still", c, cached, err, time.Until(first.NotAfter()))
			}
		}
	})
}

// A lease that can't be replaced while it rests is kept for as long as it rests, and no longer.
func TestALeaseRestsThroughAnOutage(t *testing.T) {
	for name, given := range map[string]time.Duration{"nor prolonged": 0, "and is prolonged by little": 25 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := prolonging(given)
				p.mint = down
				r := newRig(t, map[string]providers.Entry{"db": {Provider: slow(p), PerAgent: true}})
				defer r.Stop(t)
				agent := providertest.Agent(t, "spiffe://a.test/a")
				first, _ := r.Must(t, agent)
				pass(40*time.Minute + time.Second) // it is being prolonged, and then a successor made
				r.Rest("db", agent)
				pass(20 * time.Second)
				if _, kept := r.Kept(); kept != 1 || !r.Valid(first) {
					t.Error("got it given up, want it kept for as long as it rests, which is good still")
				}
				pass(time.Minute)
				if r.Valid(first) || !p.hasRevoked(first.Lease()) {
					t.Error("unused: want it revoked")
				}
			})
		})
	}
}

// slow has its system take its time to prolong.
func slow(p *renewing) *renewing {
	renew := p.renew
	p.renew = func(ctx context.Context, n int, h providers.Held) (providers.Terms, error) {
		<-time.After(2 * time.Second)
		return renew(ctx, n, h)
	}
	return p
}
