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

// A lease that can't be replaced while it rests is kept for as long as it rests.
func TestALeaseRestsThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		p.mint = down
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		agent := providertest.Agent(t, "spiffe://a.test/a")
		first, _ := r.Must(t, agent)
		pass(40*time.Minute + time.Second) // its successor is being made
		r.Rest("db", agent)
		pass(20 * time.Second)
		if c, cached, err := r.Lease(t.Context(), "db", agent); err != nil || !cached || c.ID() != first.ID() || !r.Valid(c) {
			t.Errorf("got %v (cached %t, error %v), want what rests, and is good still", c, cached, err)
		}
		r.Rest("db", agent)
		pass(time.Minute)
		if r.Valid(first) || !p.hasRevoked(first.Lease()) {
			t.Error("unused: want it revoked")
		}
	})
}
