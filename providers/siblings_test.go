package providers_test

import (
	"testing"
	"testing/synctest"
	"time"

	"mintmark/providers"
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
		after.Stop(t)
		if !p.ended(1) || len(s.names()) != 0 {
			t.Errorf("after the end of both: got revoked %t and %v in escrow", p.ended(1), s.names())
		}
	})
}
