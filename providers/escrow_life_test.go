package providers_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

func TestWhatEndsIsErased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		p := showing(time.Hour)
		r := one(t, p, s.use)
		held, _ := lease(t, r)
		r.Drop(t.Context(), held.ID())
		synctest.Wait()
		if !p.ended(1) || len(s.names()) != 0 {
			t.Errorf("revoked: got %v in escrow", s.names())
		}
		p.down.Store(true)
		lease(t, r)
		pass(2 * time.Hour) // it is never used again: given up, not revoked, and then over
		if got := r.Events(t); len(s.names()) != 0 || !strings.Contains(got, "revoke_failed") {
			t.Errorf("past its end: got %v in escrow, and events %q", s.names(), got)
		}
		r.Stop(t)
	})
}

// What serves to its very end has nobody to revoke it.
func TestWhatEndsByItselfIsErased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		p := showing(time.Minute)
		mint := p.mint
		p.mint = func(ctx context.Context, n int, req providers.Request) (providers.Credential, error) {
			if n > 1 {
				return providers.Credential{}, fault.New("lease", fault.Unavailable, "down")
			}
			return mint(ctx, n, req)
		}
		r := one(t, p, s.use)
		lease(t, r)
		pass(50 * time.Second)
		if len(s.names()) != 1 {
			t.Errorf("before its end: got %v in escrow", s.names())
		}
		pass(15 * time.Second)
		if len(s.names()) != 0 || p.ended(1) || !strings.HasPrefix(r.Events(t), "mint mint_failed") {
			t.Errorf("after its end: got %v in escrow, revoked %t, events %q", s.names(), p.ended(1), r.Events(t))
		}
		r.Stop(t)
	})
}

// What is held for long is on record again, and what has ended meanwhile is nobody's.
func TestWhatIsInEscrowForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		r := one(t, showing(12*time.Hour), s.use)
		lease(t, r)
		pass(7*time.Hour + time.Second)
		left := r.Orphans(t)
		if got := r.Events(t); strings.Count(got, "held") < 5 || len(left) != 1 || !left[0].Escrow {
			t.Errorf("events: got %q and %+v left, want it again each hour", got, left)
		}
		crashed := &safe{kept: maps.Clone(s.kept)}
		r.Stop(t)
		pass(12 * time.Hour)
		r = one(t, showing(time.Hour), crashed.use)
		if n := r.Adopt(t.Context(), left); n != 0 || len(crashed.names()) != 0 || r.Events(t) != "" {
			t.Errorf("past its end: got %d adopted, %v in escrow and events %q", n, crashed.names(), r.Events(t))
		}
		r.Stop(t)
	})
}

// What is prolonged is kept with its later end, or not prolonged.
func TestWhatIsProlongedIsKeptWithItsLaterEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		p := &struct {
			*shows
			providers.Renewer
		}{showing(time.Hour), prolonging(time.Hour)}
		r := one(t, p, s.use)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(40*time.Minute + time.Second)
		found := providers.Unrecorded(&s, s.names(), nil, time.Now(), quiet())
		if got := r.Events(t); got != "mint held renew" || len(found) != 1 || time.Until(found[0].SystemEnd) < 59*time.Minute || found[0].Credential != first.ID() {
			t.Errorf("events: got %q with %+v in escrow, want the later end there", got, found)
		}
		s.onKeep = func() error { return errors.New("no space left") }
		lease(t, r)
		pass(40*time.Minute + time.Second)
		if got := r.Events(t); !strings.HasPrefix(got, "mint held renew held renew_failed mint_failed") {
			t.Errorf("events: got %q, want no later end that the next start would not know of", got)
		}
		s.onKeep = nil
	})
}

// A replacement is kept as the first is.
func TestEachOfARotationIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		p := showing(time.Minute)
		r := one(t, p, s.use)
		lease(t, r)
		first := s.names()
		pass(45 * time.Second) // two thirds are over, and the grace after the swap
		if got := r.Events(t); got != "mint mint revoke" || !p.ended(1) || len(s.names()) != 1 || slices.Equal(s.names(), first) {
			t.Errorf("events: got %q with %v in escrow, was %v, want the second alone", got, s.names(), first)
		}
		r.Stop(t)
	})
}

// Of a token that a system gives out twice, one is kept, until the last lease of it ends.
func TestATokenOfTwoIsKeptOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		p := showing(time.Hour)
		p.token = func(int) string { return canary }
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}}, s.use)
		a := must(t, r, providertest.Agent(t, "spiffe://a.test/1"))
		b := must(t, r, providertest.Agent(t, "spiffe://a.test/2"))
		r.Drop(t.Context(), a.ID())
		synctest.Wait()
		if len(s.names()) != 1 || p.ended(1) || len(r.Orphans(t)) != 1 {
			t.Errorf("after the end of one: got %v in escrow, revoked %t and %d orphans, want the other's", s.names(), p.ended(1), len(r.Orphans(t)))
		}
		r.Drop(t.Context(), b.ID())
		synctest.Wait()
		if len(s.names()) != 0 || !p.ended(1) || len(r.Orphans(t)) != 0 {
			t.Errorf("after the end of both: got %v in escrow, revoked %t and %d orphans", s.names(), p.ended(1), len(r.Orphans(t)))
		}
		r.Stop(t)
	})
}

// What a process before left behind may be what this one is given: it is not erased with
// the end of the other.
func TestATokenThatTheNextProcessIsGivenTooStaysInEscrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := showing(time.Minute)
		before.token = func(int) string { return canary }
		left, s := killed(t, before, 1)
		p := showing(time.Hour)
		p.token = before.token
		r := one(t, p, s.use)
		end := p.onRevoke
		p.onRevoke = func(ctx context.Context, h providers.Held) error {
			p.onRevoke = end
			if _, _, err := r.Lease(ctx, "db", providers.Request{}); err != nil {
				t.Error(err)
			}
			<-time.After(2 * time.Minute) // past the end that the first had
			return fault.New("revoke", fault.Unavailable, "down")
		}
		r.Adopt(t.Context(), left)
		pass(3 * time.Minute)
		if got := r.Events(t); got != "mint revoke_failed" || len(s.names()) != 1 {
			t.Errorf("events: got %q with %v in escrow, want what is held", got, s.names())
		}
		r.Stop(t)
		if len(s.names()) != 0 || !p.ended(1) {
			t.Errorf("after its end: got %v in escrow, revoked %t", s.names(), p.ended(1))
		}
	})
}

// A system that does not answer keeps nobody from having another end what is left there.
func TestASystemThatHangsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging, other := showing(time.Hour), showing(time.Hour)
		hanging.onRevoke = func(ctx context.Context, _ providers.Held) error {
			<-ctx.Done()
			return fault.New("revoke", fault.Unavailable, "hangs")
		}
		r := newRig(t, map[string]providers.Entry{"a": {Provider: hanging, PerAgent: true}, "b": {Provider: other}})
		for i := range 100 {
			if _, _, err := r.Lease(t.Context(), "a", providertest.Agent(t, fmt.Sprintf("spiffe://a.test/%d", i))); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := r.Lease(t.Context(), "b", providers.Request{}); err != nil {
			t.Fatal(err)
		}
		r.Drop(t.Context(), "a")
		r.Drop(t.Context(), "b")
		synctest.Wait()
		if !other.ended(1) {
			t.Error("got it waiting for the system that hangs, want it revoked")
		}
		_ = r.Close(t.Context())
		r.Finish(t)
	})
}
