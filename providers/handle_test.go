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

// What the next start could not have revoked, since no record has its handle whole, is
// revoked at once and used by nobody.
func TestAHandleThatNoRecordHoldsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, handle := range []string{strings.Repeat("h", 1025), "h\xff"} {
			p := &scripted{mint: func(context.Context, int, providers.Request) (providers.Credential, error) {
				return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)},
					providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: handle}), nil
			}}
			r := one(t, p)
			refused(t, r, fault.Internal)
			synctest.Wait()
			if !p.hasRevoked(handle) || r.Owed() != 0 {
				t.Errorf("%.10q: got it owed, want it revoked by all of its handle", handle)
			}
			r.Stop(t)
		}
	})
}
