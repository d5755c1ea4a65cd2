package providers_test

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// decide appends a record of another kind: a start looks back from the newest one.
func decide(t *testing.T, r *providertest.Rig) {
	t.Helper()
	if _, err := r.Log.Append(t.Context(), &audit.Record{Kind: audit.Decision}); err != nil {
		t.Fatal(err)
	}
}

// What a crash left may wait for hours, when its system hangs: a second crash loses none
// of it, neither what waits nor what is being ended.
func TestWhatWaitsForItsRoundIsOnRecordAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, loggingIn(), 11)
		p, goOn := loggingIn(), make(chan struct{})
		p.onRevoke = func(context.Context, providers.Held) error {
			<-goOn
			return nil
		}
		for i := range left {
			left[i].SystemEnd = time.Now().Add(100 * time.Hour)
		}
		r := one(t, p)
		if n := r.Adopt(t.Context(), left); n != 21 {
			t.Errorf("got %d adopted, want ten leases and eleven logins", n)
		}
		pass(4*time.Hour + time.Second)
		decide(t, r)
		again := r.Orphans(t)
		if len(again) != 21 {
			t.Errorf("got %d orphans for a start after that, want all of them", len(again))
		}
		next := loggingIn()
		second := one(t, next) // as after a second crash
		second.Adopt(t.Context(), again)
		synctest.Wait()
		if logins, leases := next.ended(); logins != 11 || leases != 10 {
			t.Errorf("after a second crash: got %d logins and %d leases ended, want all", logins, leases)
		}
		second.Stop(t)
		close(goOn)
		synctest.Wait()
		if r.Owed() != 0 || len(r.Orphans(t)) != 0 {
			t.Errorf("got %d owed and %d orphans when the system goes on, want none", r.Owed(), len(r.Orphans(t)))
		}
		r.Stop(t)
	})
}

// So is what only its secret ends, whether a system hangs, is slower than it may be, or
// refuses.
func TestWhatIsNotEndedForHoursIsOnRecordAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 8
		for name, wait := range map[string]func(ctx context.Context, goOn chan struct{}){
			"hangs":   func(_ context.Context, goOn chan struct{}) { <-goOn },
			"is slow": func(ctx context.Context, _ chan struct{}) { <-ctx.Done() },
			"refuses": func(context.Context, chan struct{}) {},
		} {
			left, s := killed(t, showing(100*time.Hour), n)
			goOn := make(chan struct{})
			p := showing(100 * time.Hour)
			p.onRevoke = func(ctx context.Context, _ providers.Held) error {
				wait(ctx, goOn)
				return fault.New("revoke", fault.Unavailable, "down")
			}
			r := one(t, p, s.use)
			if got := r.Adopt(t.Context(), left); got != n {
				t.Errorf("%s: got %d adopted, want %d", name, got, n)
			}
			pass(4*time.Hour + time.Second)
			decide(t, r)
			next := showing(100 * time.Hour)
			second := one(t, next, (&safe{kept: maps.Clone(s.kept)}).use) // as after a second crash
			if got := second.Adopt(t.Context(), r.Orphans(t)); got != n {
				t.Errorf("%s: got %d adopted after a second crash, want %d", name, got, n)
			}
			synctest.Wait()
			for i := range n {
				if !next.ended(i + 1) {
					t.Errorf("%s: token %d lives on after a second crash", name, i+1)
				}
			}
			second.Stop(t)
			close(goOn)
			_ = r.Close(t.Context())
			r.Finish(t)
		}
	})
}

// So is what nobody can end, as no provider is registered for it, or one of another system:
// one that can may be there for a later start.
func TestWhatNobodyCanEndIsOnRecordAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, entries := range map[string]map[string]providers.Entry{
			"nobody":         {"other": {Provider: lasting(time.Hour)}},
			"another system": {"db": {Provider: at{lasting(time.Hour), "https://b.test"}}},
		} {
			left := crashed(t, at{lasting(6 * time.Hour), "https://a.test"}, 3)
			r := newRig(t, entries)
			r.Adopt(t.Context(), left)
			pass(5*time.Hour + time.Second)
			decide(t, r)
			if again := r.Orphans(t); len(again) != 2 || r.Owed() != 2 {
				t.Errorf("%s: got %d orphans for a start after that, and %d owed, want both", name, len(again), r.Owed())
			}
			pass(2 * time.Hour)
			events := len(r.Records(t))
			pass(3 * time.Hour)
			if got := len(r.Records(t)); got != events || r.Owed() != 0 {
				t.Errorf("%s: got %d records and %d owed after their end, want %d and none", name, got, r.Owed(), events)
			}
			_ = r.Close(t.Context())
			r.Finish(t)
		}
	})
}
