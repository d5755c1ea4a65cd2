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

// A lease that is due, and can't be replaced while its system is away, is not taken from
// the sessions that go on when one of them ends; unused, it goes as any.
func TestARestedLeaseThatIsDueServesOn(t *testing.T) {
	for name, at := range map[string]time.Duration{"due for long": 45 * time.Minute, "due in a second": 40*time.Minute - time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
					if n > 1 {
						return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
					}
					return token(n, time.Hour), nil
				}}
				r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
				defer r.Stop(t)
				agent := providertest.Agent(t, "spiffe://a.test/a")
				first, _ := r.Must(t, agent)
				pass(at)
				r.Rest("db", agent)
				for range 3 {
					pass(20 * time.Second)
					if c, cached := r.Must(t, agent); !cached || c.ID() != first.ID() || !r.Valid(c) {
						t.Errorf("got %v (cached %t), want what is good still", c, cached)
					}
				}
				r.Rest("db", agent)
				pass(time.Minute)
				if r.Valid(first) || !p.hasRevoked(first.Lease()) {
					t.Error("unused: want it revoked")
				}
			})
		})
	}
}

// What is being minted meanwhile rests too, be it the first or a successor.
func TestWhatIsMintedAsASessionEndsRests(t *testing.T) {
	for name, before := range map[string]time.Duration{"the first": 0, "a successor": 40*time.Minute + 3*time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
					<-time.After(3 * time.Second)
					return token(n, time.Hour), nil
				}}
				r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
				defer r.Stop(t)
				agent := providertest.Agent(t, "spiffe://a.test/a")
				go func() { _, _, _ = r.Lease(t.Context(), "db", agent) }()
				pass(before + time.Second)
				r.Rest("db", agent)
				pass(4 * time.Second)
				if _, kept := r.Kept(); kept == 0 {
					t.Error("got none, want it kept for as long as it rests")
				}
				pass(time.Minute)
				if mints, revoked := p.count(); revoked != mints {
					t.Errorf("unused: got %d of %d revoked", revoked, mints)
				}
			})
		})
	}
}

// leaving are the two ways to say that an agent may need its credential no longer.
func leaving() map[string]func(*providers.Pool, string, providers.Request) {
	return map[string]func(*providers.Pool, string, providers.Request){"rest": (*providers.Pool).Rest, "give up": (*providers.Pool).GiveUp}
}

func TestWhatAgentsShareStays(t *testing.T) {
	for way, leave := range leaving() {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := one(t, lasting(time.Hour))
				defer r.Stop(t)
				c, _ := lease(t, r)
				leave(r.Pool, "db", providertest.Agent(t, "spiffe://a.test/a"))
				leave(r.Pool, "none", providertest.Agent(t, "spiffe://a.test/a"))
				pass(time.Minute)
				if again, cached := lease(t, r); !cached || again.ID() != c.ID() || r.PerAgent("db") || r.PerAgent("none") {
					t.Error("got another credential, want the shared one")
				}
			})
		})
	}
}

// An agent that ends sessions without pause has its credential kept where it rests, and
// no more minted than a few at once and one each ten seconds where it is given up.
func TestTheEndsOfManySessionsCauseFewMints(t *testing.T) {
	for way, want := range map[string]struct{ least, most int }{"rest": {1, 1}, "give up": {60, 60 + 8 + 1}} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := lasting(time.Hour)
				r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
				defer r.Stop(t)
				agent, leave := providertest.Agent(t, "spiffe://a.test/a"), leaving()[way]
				for range 600 {
					r.Must(t, agent)
					leave(r.Pool, "db", agent)
					pass(time.Second)
				}
				if mints, _ := p.count(); mints < want.least || mints > want.most {
					t.Errorf("got %d mints for 600 ends in ten minutes, want %d to %d", mints, want.least, want.most)
				}
				pass(time.Minute)
				if mints, revoked := p.count(); revoked != mints {
					t.Errorf("got %d of %d revoked, want also what rested", revoked, mints)
				}
			})
		})
	}
}
