package vault_test

import (
	"fmt"
	"testing"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// What goes on record of a server's answers has no token of the broker's own in it, nor what it
// showed to get one.
func TestNoTokenOfTheBrokersIsOnRecord(t *testing.T) {
	const svid = "svid-vault-1"
	for name, c := range map[string][2]string{
		"as the accessor":          {"a-" + canary, "database/creds/ro/1"},
		"in the handle":            {"a1", "database/creds/ro/" + canary},
		"its SVID as the accessor": {svid, "database/creds/ro/1"},
		"its SVID in the handle":   {"a1", "database/creds/ro/" + svid},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("auth/jwt/login", answer(200, fmt.Sprintf(`{"auth":{"client_token":%q,"accessor":%q,"lease_duration":900}}`, canary, c[0])))
			d.on("auth/token/revoke-self", answer(204, ""))
			d.on("database/creds/ro", answer(200, fmt.Sprintf(`{"lease_id":%q,"lease_duration":600,"data":{"username":"u","password":"p-of-the-user"}}`, c[1])))
			r := providertest.One(t, open(t, database(t, d), providers.Env{Self: &self{}}), canary, svid)
			if leased, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, botID)); err == nil || !leased.IsZero() {
				t.Errorf("got %v and %v, want it refused", leased, err)
			}
			r.Stop(t) // and looks through what was recorded
			if got := d.count("PUT auth/token/revoke-self " + canary); got == 0 {
				t.Error("the login goes on")
			}
		})
	}
}

func TestNoSecretIDIsOnRecord(t *testing.T) {
	d := newDouble(t)
	var shown []string
	appRole(t, d, &shown)
	d.on("auth/approle/login", loginWith(canary+" of w1"))
	d.on("auth/token/revoke-self", answer(204, ""))
	c, _ := wrapped(t, d, "w1")
	r := providertest.One(t, open(t, c, providers.Env{}), canary+" of w1")
	r.Refused(t, providers.Request{}, fault.Internal)
	r.Stop(t)
}
