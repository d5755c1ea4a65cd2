package providers_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

func TestWhatOnlyItsSecretEndsIsRevokedAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, s := killed(t, showing(time.Hour), 3)
		if len(left) != 3 || len(s.names()) != 3 {
			t.Fatalf("got %d orphans and %d in escrow, want three", len(left), len(s.names()))
		}
		for _, r := range left {
			if !r.Escrow || r.Lease != "" || r.SystemEnd.IsZero() || r.Fingerprint == "" {
				t.Errorf("got the orphan %+v, want what is in escrow, and its end", r)
			}
		}
		p := showing(time.Hour)
		asked, end := []providers.Held{}, p.onRevoke
		var mu sync.Mutex
		p.onRevoke = func(ctx context.Context, h providers.Held) error {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, h)
			return end(ctx, h)
		}
		r := one(t, p, s.use)
		if n := r.Adopt(t.Context(), left); n != 3 {
			t.Errorf("got %d adopted, want three", n)
		}
		synctest.Wait()
		s.checkOverwritten(t, 3)
		for _, h := range asked {
			if h.Opened.Token() != "" {
				t.Error("after its revocation: got the token, want it wiped")
			}
		}
		if !p.ended(1) || !p.ended(2) || !p.ended(3) || r.Owed() != 0 || len(s.names()) != 0 {
			t.Errorf("got %d owed, and %v in escrow still, want all revoked and erased", r.Owed(), s.names())
		}
		if got := r.Events(t); got != "revoke revoke revoke" || len(r.Orphans(t)) != 0 {
			t.Errorf("events: got %q, and %d orphans after that", got, len(r.Orphans(t)))
		}
		r.Stop(t)
	})
}

// A name may be registered for another system by the next start, which is not to be shown
// what the one before has issued.
func TestATokenIsShownToItsOwnIssuerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := showing(time.Hour)
		before.name = "https://a.test"
		left, s := killed(t, before, 1)
		for name, next := range map[string]providers.Provider{"https://b.test": &shows{name: "https://b.test"}, "": lasting(time.Hour)} {
			if p, ok := next.(*shows); ok {
				p.scripted.onRevoke = func(context.Context, providers.Held) error {
					t.Error("got the token shown to another")
					return nil
				}
			}
			r := one(t, next, s.use)
			n := r.Adopt(t.Context(), slices.Clone(left))
			synctest.Wait()
			got := r.Records(t)
			if n != 0 || len(got) != 1 || got[0].Event != "revoke_failed" || !strings.Contains(got[0].Reason, `issued by "https://a.test" and the provider is registered for "`+name+`" now`) {
				t.Errorf("%q: got %d adopted and %+v, want it refused", name, n, got)
			}
			if err := r.Close(t.Context()); r.Owed() != 1 || err == nil {
				t.Errorf("%q: got %d owed and %v from Close, want one", name, r.Owed(), err)
			}
			r.Finish(t)
		}
	})
}

func TestWhatTheEscrowHasNotIsOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			change func(*safe, *providers.PoolOptions)
			want   string
		}{
			"after a restart of the machine": {func(s *safe, o *providers.PoolOptions) { s.kept, o.Escrow = nil, s }, "not in escrow"},
			"that is off now":                {func(*safe, *providers.PoolOptions) {}, "no escrow is open"},
			"garbled": {func(s *safe, o *providers.PoolOptions) {
				for name := range s.kept {
					s.kept[name] = []byte("{\ntoken")
				}
				o.Escrow = s
			}, "can't be read"},
			"without a token": {func(s *safe, o *providers.PoolOptions) {
				for name, value := range s.kept {
					s.kept[name] = value[:len(value)-len(canary)-2]
				}
				o.Escrow = s
			}, "can't be read"},
		} {
			p := showing(time.Hour)
			left, s := killed(t, p, 1)
			r := one(t, p, func(o *providers.PoolOptions) { tt.change(s, o) })
			n := r.Adopt(t.Context(), left)
			if got := r.Records(t); n != 0 || r.Owed() != 1 || len(got) != 1 || got[0].Event != "revoke_failed" || !strings.Contains(got[0].Reason, tt.want) ||
				!strings.Contains(got[0].Reason, "it ends by itself at "+left[0].SystemEnd.UTC().Format(time.RFC3339)) {
				t.Errorf("%s: got %d adopted, %d owed and %+v, want a revoke_failed with %q and its end", name, n, r.Owed(), got, tt.want)
			}
			pass(2 * time.Hour)
			if n := r.Owed(); n != 0 {
				t.Errorf("%s: got %d owed after it has ended by itself", name, n)
			}
			r.Stop(t)
		}
	})
}

// What the pool before could not revoke, and of which nothing is left to revoke it by, is
// owed until it ends by itself.
func TestWhatHasNoHandleAndIsNotKeptIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := showing(time.Hour)
		p.down.Store(true)
		r := one(t, p)
		first, _ := lease(t, r)
		if err := r.Close(t.Context()); err == nil {
			t.Error("close: got no error, want one lease that is not revoked")
		}
		left := r.Pool.Left()
		r.Finish(t)
		r = one(t, showing(time.Hour))
		n := r.Adopt(t.Context(), left)
		if got := r.Records(t); n != 0 || r.Owed() != 1 || len(got) != 1 || got[0].Event != "revoke_failed" || got[0].Credential != first.ID() || !strings.Contains(got[0].Reason, "it ends by itself at ") {
			t.Errorf("got %d adopted, %d owed and %+v, want it owed and on record", n, r.Owed(), got)
		}
		pass(2 * time.Hour)
		if n := r.Owed(); n != 0 {
			t.Errorf("got %d owed after it has ended by itself", n)
		}
		r.Stop(t)
	})
}

// What can't be kept is not used: the call is refused, and the token revoked.
func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := safe{onKeep: func() error { return errors.New("no space left") }}
		p := showing(time.Hour)
		r := one(t, p, s.use)
		defer r.Stop(t)
		if hint := refused(t, r, fault.Unavailable); !strings.Contains(hint, "after a crash") {
			t.Errorf("got %q, want to be told why", hint)
		}
		synctest.Wait()
		failed := r.Records(t)[0]
		if got := r.Events(t); got != "mint_failed revoke" || !p.ended(1) || failed.Escrow || !strings.Contains(failed.Reason, "no space left") {
			t.Errorf("events: got %q with %+v, want it revoked, and why", got, failed)
		}
	})
}

func TestItIsKeptBeforeItIsOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		r := one(t, showing(time.Hour), s.use)
		s.onKeep = func() error {
			if got := r.Events(t); got != "" {
				t.Errorf("events: got %q before it is kept", got)
			}
			return nil
		}
		lease(t, r)
		if got := r.Records(t); len(got) != 1 || !got[0].Escrow || len(s.names()) != 1 {
			t.Errorf("got %+v and %v in escrow, want it on record as kept", got, s.names())
		}
		s.onKeep = nil
		r.Stop(t)
		if len(s.names()) != 0 {
			t.Errorf("after its end: got %v in escrow", s.names())
		}
	})
}

// Only what no handle ends, something can end at all, and it is known whom to show it, is
// kept.
func TestOnlyWhatNeedsItIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, p := range map[string]providers.Provider{"with a handle": lasting(time.Hour), "that can't be revoked": plain{showing(time.Hour)}, "of nobody knows whom": nameless{showing(time.Hour), showing(time.Hour)}} {
			s := safe{onKeep: func() error { return errors.New("asked") }}
			r := one(t, p, s.use)
			lease(t, r)
			if got := r.Records(t)[0]; got.Escrow {
				t.Errorf("%s: got the record %+v", name, got)
			}
			r.Stop(t)
		}
	})
}

// What Close could not revoke is there for the next pool, in this process or another.
func TestWhatCloseCouldNotRevokeStaysInEscrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		p := showing(time.Hour)
		p.down.Store(true)
		r := one(t, p, s.use)
		lease(t, r)
		if err := r.Close(t.Context()); err == nil {
			t.Error("close: got no error, want one lease that is not revoked")
		}
		left, found := r.Pool.Left(), r.Orphans(t)
		if len(s.names()) != 1 || len(left) != 1 || !left[0].Escrow || len(found) != 1 || found[0].Credential != left[0].Credential {
			t.Fatalf("got %v in escrow, %+v left and %+v in the log, want it in each", s.names(), left, found)
		}
		r.Finish(t)
		next := showing(time.Hour)
		r = one(t, next, s.use)
		r.Adopt(t.Context(), left)
		synctest.Wait()
		if !next.ended(1) || len(s.names()) != 0 {
			t.Errorf("got %v in escrow, want it revoked by the next", s.names())
		}
		r.Stop(t)
	})
}

func TestALateTokenIsInEscrowForTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s safe
		var n notes
		p := showing(2 * time.Hour)
		p.down.Store(true)
		mint := p.mint
		p.mint = func(ctx context.Context, n int, req providers.Request) (providers.Credential, error) {
			<-time.After(5 * time.Second)
			return mint(ctx, n, req)
		}
		r := one(t, p, s.use, func(o *providers.PoolOptions) { o.Owe = n.owe })
		closing(t, r)
		r.Finish(t) // the log is closed when it comes
		pass(10 * time.Second)
		if len(n.kept) != 1 || !n.kept[0].Escrow || len(s.names()) != 1 {
			t.Fatalf("got %+v written down and %v in escrow, want the token's", n.kept, s.names())
		}
		next := showing(time.Hour)
		r = one(t, next, s.use)
		r.Adopt(t.Context(), slices.Clone(n.kept))
		synctest.Wait()
		if !next.ended(1) || len(s.names()) != 0 {
			t.Errorf("got %v in escrow, want it revoked by the next start", s.names())
		}
		r.Stop(t)
		p.down.Store(false)
		pass(3 * time.Hour)
	})
}
