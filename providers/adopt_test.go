package providers_test

import (
	"testing"
	"testing/synctest"
	"time"

	"mintmark/providers"
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
