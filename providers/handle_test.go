package providers_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// tooLong are handles that no record has whole.
func tooLong() []string { return []string{strings.Repeat("h", 1025), "h\xff"} }

// What the next start could not have revoked, since no record has its handle whole, is
// revoked at once and used by nobody.
func TestAHandleThatNoRecordHoldsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, handle := range tooLong() {
			p := byHandle(handle)
			r := one(t, p)
			if c, _, err := r.Lease(t.Context(), "db", providers.Request{}); !c.IsZero() || fault.KindOf(err) != fault.Internal {
				t.Errorf("%.10q: got %v, %v, want it refused", handle, c, err)
			}
			synctest.Wait()
			if !p.hasRevoked(handle) || r.Owed() != 0 {
				t.Errorf("%.10q: got it owed, want it revoked by all of its handle", handle)
			}
			r.Stop(t)
		}
	})
}

// The longest that a record holds is revoked by all of it after a crash.
func TestTheLongestHandleIsRevokedAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, handle := range []string{strings.Repeat("h", 1024), strings.Repeat("é\n\"", 256)} {
			p := byHandle(handle)
			before := one(t, p)
			lease(t, before)
			left := before.Orphans(t)
			next := one(t, p)
			if n := next.Adopt(t.Context(), left); n != 1 {
				t.Errorf("%.10q: got %d adopted, want one", handle, n)
			}
			synctest.Wait()
			if !p.hasRevoked(handle) {
				t.Errorf("%.10q: got it revoked by something else", handle)
			}
			next.Stop(t)
			before.Stop(t)
		}
	})
}

// A lease that is prolonged under another handle is not, and has a successor.
func TestARenewalUnderAnotherHandleIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, handle := range append(tooLong(), "lease-another") {
			p := prolonging(time.Hour)
			p.renew = func(context.Context, int, providers.Held) (providers.Terms, error) {
				return providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: handle}, nil
			}
			r := one(t, p)
			lease(t, r)
			pass(45 * time.Minute)
			if got := r.Events(t); got != "mint held renew_failed mint revoke" || !p.hasRevoked("lease-1") {
				t.Errorf("%.10q: events: got %q, want another in its place", handle, got)
			}
			for _, record := range r.Records(t) {
				if record.Lease != "lease-1" && record.Lease != "lease-2" {
					t.Errorf("%.10q: got a record of the handle %.20q", handle, record.Lease)
				}
			}
			r.Stop(t)
		}
	})
}

// Nor is a login used under one, since the next start could not end it.
func TestALoginWhoseHandleNoRecordHoldsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, handle := range tooLong() {
			b := &bonded{scripted: lasting(time.Hour), log: func(b *bonded, ctx context.Context) error {
				return b.report(ctx, handle, time.Now().Add(time.Hour))
			}}
			r := one(t, b)
			if c, _, err := r.Lease(t.Context(), "db", providers.Request{}); !c.IsZero() || err == nil {
				t.Errorf("%.10q: got %v, %v, want it refused", handle, c, err)
			}
			if mints, _ := b.count(); mints != 0 || len(r.Orphans(t)) != 0 {
				t.Errorf("%.10q: got %d mints and %d orphans, want none", handle, mints, len(r.Orphans(t)))
			}
			r.Stop(t)
		}
	})
}

// byHandle is a provider whose system knows what it made by handle.
func byHandle(handle string) *scripted {
	return &scripted{mint: func(context.Context, int, providers.Request) (providers.Credential, error) {
		return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)},
			providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: handle}), nil
	}}
}
