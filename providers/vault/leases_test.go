package vault_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

func user(name string, seconds int) string {
	return fmt.Sprintf(`{"lease_id":"database/creds/ro/%s","lease_duration":%d,"renewable":true,"data":{"username":"%s","password":"%s-pw"}}`, name, seconds, name, canary)
}

func TestARenewableLeaseIsWhatVaultSaysIsOne(t *testing.T) {
	for _, renewable := range []bool{true, false} {
		d := newDouble(t)
		d.on("auth/jwt/login", answer(200, `{"auth":{"client_token":"t","lease_duration":3600}}`))
		d.on("database/creds/ro", answer(200, strings.Replace(user("u", 600), `"renewable":true`, fmt.Sprintf(`"renewable":%t`, renewable), 1)))
		p := open(t, database(t, d), providers.Env{Self: &self{}})
		c, err := p.Mint(t.Context(), providers.Request{})
		if err != nil || c.Renewable(p) != renewable || !c.Revocable(p) {
			t.Errorf("renewable %t: got %t, and revocable %t, %v", renewable, c.Renewable(p), c.Revocable(p), err)
		}
	}
}

func TestDatabaseUserEndsWithItsLeaseOrItsToken(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		token, lease int
		elapsed      time.Duration // between login and the mint that is looked at
		want         time.Duration // after that mint
		logins       int
	}{
		"by its lease":                       {3600, 600, 0, 10 * time.Minute, 1},
		"by its token":                       {900, 3600, 0, 15 * time.Minute, 1},
		"by what is left of its token":       {900, 3600, 9 * time.Minute, 6 * time.Minute, 1},
		"login again with a third left":      {900, 3600, 10 * time.Minute, 15 * time.Minute, 2},
		"login again with an expired token":  {900, 3600, time.Hour, 15 * time.Minute, 2},
		"a token without end bounds nothing": {0, 3600, time.Hour, time.Hour, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			now := start
			d := newDouble(t)
			d.on("auth/jwt/login", answer(200, fmt.Sprintf(`{"auth":{"client_token":"t","lease_duration":%d}}`, tt.token)))
			d.on("database/creds/ro", answer(200, user("u", tt.lease)))
			p := open(t, database(t, d), providers.Env{Self: &self{}, Clock: func() time.Time { return now }})
			if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
				t.Fatal(err)
			}
			now = now.Add(tt.elapsed)
			c, err := p.Mint(t.Context(), providers.Request{})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.NotAfter().Sub(now); got != tt.want {
				t.Errorf("end: got %v after the mint, want %v", got, tt.want)
			}
			if got := d.count("PUT auth/jwt/login"); got != tt.logins {
				t.Errorf("got %d logins, want %d", got, tt.logins)
			}
			if c.Kind() != providers.Password || c.Lease() != "database/creds/ro/u" || !slices.Equal(c.Scopes(), []string{"database/creds/ro"}) {
				t.Errorf("got kind %s, lease %q, scopes %v", c.Kind(), c.Lease(), c.Scopes())
			}
		})
	}
}

func TestUnusableDatabaseUserIsRefused(t *testing.T) {
	for name, body := range map[string]string{
		"no lease":    `{"lease_duration":60,"data":{"username":"u","password":"` + canary + `"}}`,
		"no duration": `{"lease_id":"l","lease_duration":0,"data":{"username":"u","password":"` + canary + `"}}`,
		"no password": `{"lease_id":"l","lease_duration":60,"data":{"username":"u"}}`,
		"no username": `{"lease_id":"l","lease_duration":60,"data":{"password":"` + canary + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("auth/jwt/login", answer(200, `{"auth":{"client_token":"t","lease_duration":900}}`))
			d.on("database/creds/ro", answer(200, body))
			d.on("sys/leases/revoke", answer(204, ""))
			r := providertest.One(t, open(t, database(t, d), providers.Env{Self: &self{}}), canary)
			r.Refused(t, providers.Request{}, fault.Internal)
			r.Stop(t)
			if got := d.count("PUT sys/leases/revoke"); (got == 1) != (name != "no lease") {
				t.Errorf("got %d revocations of the user that was made, want one only where it has a lease", got)
			}
		})
	}
}

func TestRevokeNamesTheLeaseInTheBody(t *testing.T) {
	d := newDouble(t)
	d.on("auth/jwt/login", answer(200, `{"auth":{"client_token":"t","lease_duration":900}}`))
	d.on("database/creds/ro", answer(200, strings.Replace(user("u", 600), "database/creds/ro/u", "../../evil", 1)))
	var body map[string]any
	d.on("sys/leases/revoke", func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("read body: %v", err)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	r := providertest.One(t, open(t, database(t, d), providers.Env{Self: &self{}}), canary)
	r.Must(t, providers.Request{})
	r.Stop(t)
	if body["lease_id"] != "../../evil" || body["sync"] != true {
		t.Errorf("revocation: got body %v, want the lease, in the body, and sync", body)
	}
	if got := r.Events(t); got != "mint revoke" {
		t.Errorf("events: got %q, want mint revoke", got)
	}
}
