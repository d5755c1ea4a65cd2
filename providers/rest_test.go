package providers_test

import (
	"testing"
	"testing/synctest"
	"time"

	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

func TestARestedLeaseIsRevokedUnlessItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		agent := providertest.Agent(t, "spiffe://a.test/a")
		other := providertest.Agent(t, "spiffe://a.test/b")
		first, _ := r.Must(t, agent)
		r.Must(t, other)

		r.Rest("db", agent)
		pass(20 * time.Second)
		if c, cached := r.Must(t, agent); !cached || c.ID() != first.ID() {
			t.Error("used while it rests: got another credential")
		}
		pass(39 * time.Minute)
		if c, cached := r.Must(t, agent); !cached || c.ID() != first.ID() {
			t.Errorf("used, so it goes on: got another credential, want no replacement before its time")
		}
		pass(time.Minute)
		successor, cached := r.Must(t, agent)
		if !cached || successor.ID() == first.ID() {
			t.Error("at its time: want it replaced as any")
		}

		r.Rest("db", agent)
		pass(time.Minute)
		if r.Valid(successor) || !p.hasRevoked(successor.Lease()) {
			t.Errorf("unused: got it held (%v revoked), want it revoked", p.revoked)
		}
		if _, cached := r.Must(t, other); !cached {
			t.Error("another agent: its lease is gone")
		}
	})
}

func TestASharedLeaseDoesNotRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		r := one(t, p)
		defer r.Stop(t)
		c, _ := lease(t, r)
		r.Rest("db", providertest.Agent(t, "spiffe://a.test/a"))
		r.Rest("none", providertest.Agent(t, "spiffe://a.test/a"))
		pass(time.Minute)
		if again, cached := lease(t, r); !cached || again.ID() != c.ID() {
			t.Error("got another credential, want the shared one")
		}
	})
}

// An agent that ends sessions without pause has its credential kept, not minted
// anew for each.
func TestRestingCausesNoMints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		agent := providertest.Agent(t, "spiffe://a.test/a")
		for range 600 {
			r.Must(t, agent)
			r.Rest("db", agent)
			pass(time.Second)
		}
		if mints, _ := p.count(); mints != 1 {
			t.Errorf("got %d mints for 600 sessions in ten minutes, want one", mints)
		}
	})
}
