package providers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// crashed returns the records of a Pool that minted for n agents, dropped the
// first, and was killed: its log ends there.
func crashed(t *testing.T, p providers.Provider, n int, change ...func(*providers.Entry)) []audit.Record {
	t.Helper()
	entry := providers.Entry{Provider: p, PerAgent: true}
	for _, c := range change {
		c(&entry)
	}
	r := newRig(t, map[string]providers.Entry{"db": entry})
	for i := range n {
		c, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, fmt.Sprintf("spiffe://a.test/%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			r.Drop(t.Context(), c.ID())
			synctest.Wait()
		}
	}
	if err := r.Log.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.WithoutCancel(t.Context())) }) // its records come too late
	return r.Orphans(t)
}

func TestWhatACrashLeftIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, lasting(time.Hour), 4)
		if len(left) != 3 {
			t.Fatalf("got %d orphans, want the 3 that were not revoked", len(left))
		}
		p := lasting(time.Hour)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, Digest: "changed since"}})
		if n := r.Adopt(t.Context(), left); n != 3 {
			t.Errorf("got %d adopted, want 3", n)
		}
		synctest.Wait()
		if p.hasRevoked("lease-1") || !p.hasRevoked("lease-2") || !p.hasRevoked("lease-3") || !p.hasRevoked("lease-4") || r.Owed() != 0 {
			t.Errorf("got %v revoked and %d owed, want the three", p.revoked, r.Owed())
		}
		for _, record := range r.Records(t) {
			want := left[slices.IndexFunc(left, func(r audit.Record) bool { return r.Credential == record.Credential })]
			if record.Event != "revoke" || record.Provider != "db" || record.Agent != want.Agent || record.Lease != want.Lease || record.Fingerprint != want.Fingerprint {
				t.Errorf("got the record %+v, want the revocation of %+v", record, want)
			}
		}
		if again := r.Orphans(t); len(again) != 0 {
			t.Errorf("got %d orphans after that, want none", len(again))
		}
		r.Stop(t)
	})
}

func TestWhatACrashLeftIsTriedUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, lasting(time.Hour), 3)
		p := lasting(time.Hour)
		var down atomic.Bool
		var tries atomic.Int64
		down.Store(true)
		p.onRevoke = func(_ context.Context, h providers.Held) error {
			if h.Lease == "lease-3" {
				tries.Add(1)
			}
			if h.Lease == "lease-2" && down.Load() || h.Lease == "lease-3" {
				return fault.New("revoke", fault.Unavailable, "down")
			}
			return nil
		}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p}})
		r.Adopt(t.Context(), left)
		pass(time.Minute)
		if n := r.Owed(); n != 2 || !strings.Contains(r.Logs.String(), "left leases behind") || !strings.Contains(r.Logs.String(), "lease not revoked") {
			t.Errorf("while the system is down: got %d owed, want two, and it in the log output", n)
		}
		down.Store(false)
		pass(20 * time.Minute)
		if !p.hasRevoked("lease-2") || r.Owed() != 1 {
			t.Errorf("after it came back: got %d owed, want the other", r.Owed())
		}
		pass(time.Hour)
		if got := tries.Load(); r.Owed() != 0 || got < 9 || got > 50 {
			t.Errorf("past the end of lease-3: got %d owed and %d tries, want none, and tries ever more rare", r.Owed(), got)
		}
		r.Stop(t)
	})
}

func TestWhatEndedByItselfIsNoOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, lasting(time.Hour), 2, func(e *providers.Entry) { e.MaxAge = time.Minute })
		p := lasting(time.Hour)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p}})
		pass(30 * time.Minute) // the broker would not use it any more, and its system takes it
		if n := r.Adopt(t.Context(), left); n != 1 {
			t.Errorf("before its system's end: got %d adopted, want 1", n)
		}
		synctest.Wait()
		pass(30 * time.Minute)
		if n := r.Adopt(t.Context(), left); n != 0 {
			t.Errorf("after its system's end: got %d adopted, want none", n)
		}
		r.Stop(t)
	})
}

func TestWhatNoProviderCanEndIsOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, lasting(time.Hour), 2)
		for name, entries := range map[string]map[string]providers.Entry{
			"none of the name": {"other": {Provider: lasting(time.Hour)}},
			"can't revoke":     {"db": {Provider: plain{lasting(time.Hour)}}},
		} {
			r := newRig(t, entries)
			n := r.Adopt(t.Context(), left)
			if got := r.Events(t); n != 0 || got != "revoke_failed" || r.Owed() != 1 || r.Records(t)[0].Lease != "lease-2" {
				t.Errorf("%s: got %d adopted, events %q and %d owed, want one revoke_failed with the lease", name, n, got, r.Owed())
			}
			if again := r.Pool.Left(); len(again) != 1 || again[0].Lease != "lease-2" {
				t.Errorf("%s: got %v left for the next pool, want the lease", name, again)
			}
			_ = r.Close(t.Context())
			r.Finish(t)
		}
	})
}

// A lease that is held for long is on record again, so that a start need not
// read the whole log to find it.
func TestWhatIsHeldForLongIsOnRecordAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(12 * time.Hour)
		r := one(t, p)
		defer r.Stop(t)
		first, _ := lease(t, r)
		pass(7*time.Hour + time.Second)
		if got := r.Events(t); strings.Count(got, "held") < 5 {
			t.Errorf("events: got %q, want the lease again each hour", got)
		}
		left := r.Orphans(t)
		if len(left) != 1 || left[0].Event != "orphan" || left[0].Credential != first.ID() || left[0].Lease != "lease-1" || left[0].SystemEnd.IsZero() {
			t.Errorf("got %+v left, want the lease by its last record", left)
		}
	})
}

// bonded is a scripted provider that mints under a login.
type bonded struct {
	*scripted
	report func(context.Context, string, time.Time) error

	log       func(bonded *bonded, ctx context.Context) error // before each mint
	loggedOut []string
	refuse    error
}

func (b *bonded) ReportLogins(report func(context.Context, string, time.Time) error) {
	b.report = report
}

func (b *bonded) Logout(_ context.Context, handle string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse == nil {
		b.loggedOut = append(b.loggedOut, handle)
	}
	return b.refuse
}

func (b *bonded) Mint(ctx context.Context, req providers.Request) (providers.Credential, error) {
	if err := b.log(b, ctx); err != nil {
		return providers.Credential{}, err
	}
	return b.scripted.Mint(ctx, req)
}

// loggingIn is a provider that logs in before each mint, as login-1, login-2, …
func loggingIn() *bonded {
	var n atomic.Int64
	return &bonded{scripted: lasting(time.Hour), log: func(b *bonded, ctx context.Context) error {
		return b.report(ctx, fmt.Sprintf("login-%d", n.Add(1)), time.Now().Add(2*time.Hour))
	}}
}

func TestALoginIsOnRecordBeforeItIsUsedAndEndsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loggingIn()
		r := newRig(t, map[string]providers.Entry{"db": {Provider: b, PerAgent: true}})
		for _, id := range []string{"spiffe://a.test/1", "spiffe://a.test/2"} {
			r.Must(t, providertest.Agent(t, id))
		}
		r.Stop(t)
		if got := r.History(t); got != "login mint login mint revoke revoke logout logout" {
			t.Errorf("events: got %q", got)
		}
		if !slices.Contains(b.loggedOut, "login-1") || !slices.Contains(b.loggedOut, "login-2") {
			t.Errorf("got %v logged out, want both", b.loggedOut)
		}
		if first := r.Records(t)[0]; first.Lease != "login-1" || first.Provider != "db" || first.SystemEnd.IsZero() || first.Credential == "" {
			t.Errorf("got the record %+v of a login", first)
		}
	})
}

func TestALoginThatCannotBeRecordedIsRefused(t *testing.T) {
	b := loggingIn()
	r := one(t, b)
	if err := r.Log.Close(); err != nil {
		t.Fatal(err)
	}
	r.Refused(t, providers.Request{}, fault.Unavailable)
	if mints, _ := b.count(); mints != 0 {
		t.Errorf("got %d mints under a login that is not on record", mints)
	}
	_ = r.Close(t.Context())
}

func TestALoginWithALaterEndIsOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loggingIn()
		r := one(t, b)
		lease(t, r)
		if err := b.report(t.Context(), "login-1", time.Now().Add(5*time.Hour)); err != nil {
			t.Fatal(err)
		}
		left := slices.DeleteFunc(r.Orphans(t), func(r audit.Record) bool { return r.Event != "orphan_login" })
		if len(left) != 1 || time.Until(left[0].SystemEnd) != 5*time.Hour {
			t.Errorf("got %+v, want one login with its later end", left)
		}
		r.Stop(t)
	})
}

// A login ends only when the credentials under it had their turn.
func TestTheLoginsOfACrashWaitForItsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, loggingIn(), 10)
		b := loggingIn()
		b.onRevoke = func(context.Context, providers.Held) error {
			<-time.After(time.Second)
			if n, _ := b.ended(); n != 0 {
				t.Errorf("got %d logins ended while a lease under them is being revoked", n)
			}
			return nil
		}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: b}})
		defer r.Stop(t)
		if n := r.Adopt(t.Context(), left); n != 19 || r.Owed() < 19 {
			t.Errorf("got %d adopted and %d owed, want nine leases and ten logins", n, r.Owed())
		}
		pass(time.Minute)
		if logins, leases := b.ended(); logins != 10 || leases != 9 || r.Owed() != 0 {
			t.Errorf("got %d logins and %d leases ended, and %d owed, want all", logins, leases, r.Owed())
		}
	})
}

// A login waits for no lease of another system.
func TestTheLoginsOfACrashWaitForNoOtherSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, hanging := loggingIn(), lasting(time.Hour)
		left := crashed(t, loggingIn(), 10)
		other := left[slices.IndexFunc(left, func(r audit.Record) bool { return r.Event == "orphan" })]
		other.Provider = "other"
		hanging.onRevoke = func(ctx context.Context, _ providers.Held) error {
			<-ctx.Done()
			return fault.New("revoke", fault.Unavailable, "hangs")
		}
		r := newRig(t, map[string]providers.Entry{"db": {Provider: b}, "other": {Provider: hanging}})
		r.Adopt(t.Context(), append([]audit.Record{other}, left...))
		synctest.Wait()
		if logins, leases := b.ended(); logins != 10 || leases != 9 {
			t.Errorf("got %d logins and %d leases ended, want all while another system hangs", logins, leases)
		}
		_ = r.Close(t.Context())
		r.Finish(t)
	})
}

func (b *bonded) ended() (logins, leases int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.loggedOut), len(b.revoked)
}

// What was minted and not recorded ends with its login.
func TestTheLoginsOfACrashAreEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := crashed(t, loggingIn(), 2)
		b := loggingIn()
		b.refuse = errors.New(canary)
		r := newRig(t, map[string]providers.Entry{"db": {Provider: b}})
		if n := r.Adopt(t.Context(), left); n != 3 {
			t.Errorf("got %d adopted, want two logins and a lease", n)
		}
		pass(5 * time.Second)
		if got := r.History(t); strings.Count(got, "logout_failed") != 2 || r.Owed() != 2 {
			t.Errorf("events: got %q and %d owed, want two logouts that failed", got, r.Owed())
		}
		if again := r.Orphans(t); len(again) != 2 || again[0].Event != "orphan_login" {
			t.Errorf("got %+v left for the next start, want the logins", again)
		}
		b.mu.Lock()
		b.refuse = nil
		b.mu.Unlock()
		pass(time.Minute)
		if got := strings.Join(b.loggedOut, " "); !strings.Contains(got, "login-1") || !strings.Contains(got, "login-2") || r.Owed() != 0 {
			t.Errorf("got %q logged out and %d owed, want both", got, r.Owed())
		}
		r.Stop(t)
	})
}
