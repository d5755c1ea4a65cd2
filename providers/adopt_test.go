package providers_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// What has ended by itself is erased from escrow, also where no provider is registered by
// its name any more, or one of another issuer.
func TestWhatHasEndedIsErasedWhoeverIsRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := showing(time.Hour)
		other.name = "https://another.test"
		for name, entries := range map[string]map[string]providers.Entry{
			"nobody":  {"other": {Provider: showing(time.Hour)}},
			"another": {"db": {Provider: other}},
		} {
			left, s := killed(t, showing(time.Hour), 1)
			pass(time.Hour)
			r := newRig(t, entries, s.use)
			if n := r.Adopt(t.Context(), left); n != 0 || len(s.names()) != 0 {
				t.Errorf("%s: got %d adopted and %v in escrow, want nothing", name, n, s.names())
			}
			r.Stop(t)
		}
	})
}

// A lease that no provider is registered for any more, and whose secret nobody can show.
func TestAnOrphanInEscrowOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, s := killed(t, showing(time.Hour), 1)
		r := newRig(t, map[string]providers.Entry{"other": {Provider: showing(time.Hour)}}, s.use)
		if n := r.Adopt(t.Context(), left); n != 0 || len(s.names()) != 1 || r.Events(t) != "revoke_failed" {
			t.Errorf("got %d adopted, %v in escrow and %q, want it kept for whoever can end it", n, s.names(), r.Events(t))
		}
		_ = r.Close(t.Context())
		r.Finish(t)
	})
}

// A Pool whose registrations are in force no longer has no lease, and mints none: not one
// that is under way either, nor for an agent that held one, nor for a fresh one. That a mint
// under way fails is remembered, and refuses calls too: so they come again when it no longer is.
func TestAPoolThatHasCeasedMintsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const changed = "what is registered has changed since the call began; call again"
		p := lasting(time.Hour)
		begun, goOn := make(chan struct{}), make(chan struct{})
		mint := p.mint
		p.mint = func(ctx context.Context, n int, req providers.Request) (providers.Credential, error) {
			if n == 2 {
				close(begun)
				<-goOn
			}
			return mint(ctx, n, req)
		}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		defer r.Stop(t)
		held, _ := r.Must(t, providertest.Agent(t, "spiffe://a.test/held"))
		refused := make(chan error, 1)
		go func() {
			_, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, "spiffe://a.test/under-way"))
			refused <- err
		}()
		<-begun
		r.Cease(t.Context())
		close(goOn)
		if err := <-refused; fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) != changed {
			t.Errorf("a mint under way: got %v, want it refused: %s", err, changed)
		}
		for range 2 {
			for _, agent := range []string{"held", "under-way", "fresh"} {
				if hint := r.Refused(t, providertest.Agent(t, "spiffe://a.test/"+agent), fault.Unavailable); hint != changed {
					t.Errorf("a call of %s: got %q, want %q", agent, hint, changed)
				}
			}
			pass(time.Hour)
		}
		if mints, revoked := p.count(); r.Valid(held) || mints != 2 || revoked != 2 {
			t.Errorf("got valid %t, %d mints and %d revoked, want both revoked and no more", r.Valid(held), mints, revoked)
		}
	})
}

// Where its system does not prolong a lease, a successor is minted of it, unless the Pool
// has ceased while the system was asked.
func TestAPoolThatHasCeasedMintsNoSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prolonging(time.Hour)
		begun, goOn := make(chan struct{}), make(chan struct{})
		p.renew = func(context.Context, int, providers.Held) (providers.Terms, error) {
			close(begun)
			<-goOn
			return providers.Terms{}, providers.ErrNotRenewable
		}
		r := one(t, p)
		defer r.Stop(t)
		lease(t, r)
		<-begun
		r.Cease(t.Context())
		close(goOn)
		synctest.Wait()
		if mints, revoked := p.count(); mints != 1 || revoked != 1 || r.Events(t) != "mint held revoke" {
			t.Errorf("got %d mints, %d revoked and events %q, want none after the first", mints, revoked, r.Events(t))
		}
	})
}

// at is a provider whose leases its system alone knows.
type at struct {
	*scripted
	issuer string
}

// Issuer implements providers.Issuing.
func (a at) Issuer() string { return a.issuer }

// A system says of what it does not know that it has ended it. Where the name is
// registered for another by then, that is not taken for the end.
func TestWhatAnotherSystemSaysToHaveEndedMayLiveOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, at{lasting(time.Hour), "https://a.test"}, 2)
		for issuer, want := range map[string]struct {
			event string
			owed  int
		}{"https://a.test": {"revoke", 0}, "https://b.test": {"revoke_failed", 1}} {
			p := lasting(time.Hour)
			r := one(t, at{p, issuer})
			if n := r.Adopt(t.Context(), slices.Clone(left)); n != 1 {
				t.Errorf("%s: got %d adopted, want one", issuer, n)
			}
			synctest.Wait()
			if _, revoked := p.count(); revoked != 1 || r.Owed() != want.owed || r.Events(t) != want.event {
				t.Errorf("%s: got %d revocations, %d owed and %q, want %d and %s", issuer, revoked, r.Owed(), r.Events(t), want.owed, want.event)
			}
			if again := r.Orphans(t); len(again) != want.owed || len(again) == 1 && again[0].Issuer != "https://a.test" {
				t.Errorf("%s: got %+v left for the next start", issuer, again)
			}
			if err := r.Close(t.Context()); (err != nil) != (want.owed > 0) {
				t.Errorf("%s: got %v from Close with %d owed", issuer, err, want.owed)
			}
			r.Finish(t)
		}
	})
}
