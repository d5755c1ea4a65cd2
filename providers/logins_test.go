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

// What Close leaves of a system that hangs are its logins too: the Pool that comes after
// ends them, once it had their leases revoked.
func TestTheLoginsThatCloseLeavesAreEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging := loggingIn()
		hanging.onRevoke = func(ctx context.Context, _ providers.Held) error {
			<-ctx.Done()
			return fault.New("revoke", fault.Unavailable, "hangs")
		}
		r := one(t, hanging)
		lease(t, r)
		if err := r.Close(t.Context()); err == nil {
			t.Error("got no error from Close, want one of the lease that is left")
		}
		b := loggingIn()
		next := one(t, b)
		if n := next.Adopt(t.Context(), r.Left()); n != 2 {
			t.Errorf("got %d adopted, want a lease and a login", n)
		}
		synctest.Wait()
		if !b.hasRevoked("lease-1") || !slices.Equal(b.loggedOut, []string{"login-1"}) || next.History(t) != "revoke logout" {
			t.Errorf("got %v revoked, %v logged out and %q, want both, the login last", b.revoked, b.loggedOut, next.History(t))
		}
		next.Stop(t)
		r.Finish(t)
	})
}
