package providers_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// One pool takes the place of another where the registrations change, and its system
// repeats a token until its end. What the new one has is not ended with the old one.
func TestATokenThatAnotherPoolHasTooLivesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		var siblings providers.Siblings
		p := showing(time.Hour)
		p.token = func(int) string { return canary }
		share := func(o *providers.PoolOptions) { o.Siblings = &siblings }
		before, after := one(t, p, s.use, share), one(t, p, s.use, share)
		lease(t, before)
		c, _ := lease(t, after)
		before.Stop(t)
		if !after.Valid(c) || p.ended(1) || len(s.names()) != 1 {
			t.Errorf("after the end of one: got valid %t, revoked %t and %v in escrow, want the other's", after.Valid(c), p.ended(1), s.names())
		}
		if n := siblings.Count(); n != 1 {
			t.Errorf("after the end of one: got %d siblings, want the other", n)
		}
		after.Stop(t)
		if !p.ended(1) || len(s.names()) != 0 {
			t.Errorf("after the end of both: got revoked %t and %v in escrow", p.ended(1), s.names())
		}
	})
}

// giving is a provider whose system gives out one token again and again, each time under
// the next of the handles.
func giving(handles ...string) *scripted {
	return &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
		return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)},
			providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: handles[n-1]}), nil
	}}
}

// under is giving of a system that makes another token each time.
func under(handles ...string) *scripted {
	return &scripted{mint: func(_ context.Context, n int, _ providers.Request) (providers.Credential, error) {
		return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(fmt.Sprintf("%s-%d", canary, n))},
			providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: handles[n-1]}), nil
	}}
}

// What a system gives out under one handle to two agents ends with the last lease of it.
// What differs in the handle, or is of another provider, is not the same.
func TestTheLastLeaseEndsWhatIsGivenOutTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			a, b    *scripted
			handles [2]string
			same    bool
		}{
			"one handle":    {giving("h", "h"), nil, [2]string{"h", "h"}, true},
			"two tokens":    {under("h", "h"), nil, [2]string{"h", "h"}, true},
			"two handles":   {giving("h-1", "h-2"), nil, [2]string{"h-1", "h-2"}, false},
			"two providers": {giving("h"), giving("h"), [2]string{"h", "h"}, false},
		} {
			second := "a"
			entries := map[string]providers.Entry{"a": {Provider: tt.a, PerAgent: true}}
			if tt.b == nil {
				tt.b = tt.a
			} else {
				second, entries["b"] = "b", providers.Entry{Provider: tt.b, PerAgent: true}
			}
			r := newRig(t, entries)
			x, _, errX := r.Lease(t.Context(), "a", providertest.Agent(t, "spiffe://a.test/1"))
			y, _, errY := r.Lease(t.Context(), second, providertest.Agent(t, "spiffe://a.test/2"))
			if errX != nil || errY != nil {
				t.Errorf("%s: %v, %v", name, errX, errY)
			}
			r.Drop(t.Context(), x.ID())
			synctest.Wait()
			if revoked := tt.a.hasRevoked(tt.handles[0]); revoked == tt.same || !r.Valid(y) {
				t.Errorf("%s: after the end of one: got it revoked %t, and the other valid %t", name, revoked, r.Valid(y))
			}
			r.Drop(t.Context(), y.ID())
			synctest.Wait()
			if !tt.b.hasRevoked(tt.handles[1]) {
				t.Errorf("%s: after the end of both: got it not revoked", name)
			}
			r.Stop(t)
		}
	})
}

// A token that its system did not end at first may be given out again before the next
// round: it is not ended then.
func TestATokenThatIsGivenOutAgainIsNotRevokedByALaterRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		p := showing(time.Hour)
		p.token = func(int) string { return canary }
		p.down.Store(true)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}}, s.use)
		defer r.Stop(t)
		r.Drop(t.Context(), must(t, r, providertest.Agent(t, "spiffe://a.test/1")).ID())
		pass(5 * time.Second)
		if r.Owed() != 1 {
			t.Errorf("got %d owed, want the token", r.Owed())
		}
		again := must(t, r, providertest.Agent(t, "spiffe://a.test/2"))
		p.down.Store(false)
		pass(20 * time.Minute)
		if p.ended(1) || !r.Valid(again) || r.Owed() != 0 || len(s.names()) != 1 {
			t.Errorf("given out again: got revoked %t, valid %t, %d owed and %v in escrow, want it left", p.ended(1), r.Valid(again), r.Owed(), s.names())
		}
		r.Drop(t.Context(), again.ID())
		synctest.Wait()
		if !p.ended(1) || len(s.names()) != 0 {
			t.Errorf("after its last lease: got revoked %t and %v in escrow", p.ended(1), s.names())
		}
	})
}

// What is over for one that has it, by what the system said to that one, is kept for the
// other.
func TestATokenOfTwoEndsStaysInEscrowToTheLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		brief, p := showing(time.Minute), showing(time.Hour)
		brief.token, p.token = func(int) string { return canary }, func(int) string { return canary }
		mint := p.mint
		p.mint = func(ctx context.Context, n int, req providers.Request) (providers.Credential, error) {
			switch n {
			case 1:
				return brief.mint(ctx, n, req)
			case 2:
				return mint(ctx, n, req)
			}
			return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
		}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}}, s.use)
		a := must(t, r, providertest.Agent(t, "spiffe://a.test/1"))
		b := must(t, r, providertest.Agent(t, "spiffe://a.test/2"))
		pass(65 * time.Second)
		if r.Valid(a) || !r.Valid(b) || p.ended(1) || len(s.names()) != 1 {
			t.Errorf("got valid %t and %t, revoked %t and %v in escrow, want that of the later end", r.Valid(a), r.Valid(b), p.ended(1), s.names())
		}
		r.Stop(t)
		if !p.ended(1) || len(s.names()) != 0 {
			t.Errorf("after both: got revoked %t and %v in escrow", p.ended(1), s.names())
		}
	})
}

// Nor is it erased with what a process before left of it, and is over.
func TestAnOrphanThatIsOverLeavesATokenInEscrowThatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, p := showing(time.Minute), showing(time.Hour)
		before.token, p.token = func(int) string { return canary }, func(int) string { return canary }
		left, s := killed(t, before, 1)
		pass(time.Minute)
		r := one(t, p, s.use)
		lease(t, r)
		if n := r.Adopt(t.Context(), left); n != 0 || len(s.names()) != 1 {
			t.Errorf("got %d adopted and %v in escrow, want what is held", n, s.names())
		}
		r.Stop(t)
	})
}
