package vault_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// A token that Vault has dropped is replaced once, and a right that is missing
// costs one login a minute and no more.
func TestLogsInAgainWhenTheTokenIsDropped(t *testing.T) {
	d := newDouble(t)
	logins := 0
	d.on("auth/jwt/login", func(w http.ResponseWriter, r *http.Request) {
		logins++
		answer(200, fmt.Sprintf(`{"auth":{"client_token":"%s-%d","lease_duration":3600}}`, canary, logins))(w, r)
	})
	good := canary + "-1"
	d.on("database/creds/ro", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != good {
			answer(403, `{"errors":["permission denied"]}`)(w, r)
			return
		}
		answer(200, user("u1", 1800))(w, r)
	})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := open(t, database(t, d), providers.Env{Self: &self{}, Clock: func() time.Time { return now }})
	mint := func() error {
		_, err := p.Mint(t.Context(), providers.Request{})
		return err
	}
	if err := mint(); err != nil || logins != 1 {
		t.Fatalf("first mint: got %v after %d logins, want one login", err, logins)
	}
	if err := mint(); err != nil || logins != 1 {
		t.Fatalf("second mint: got %v after %d logins, want the token kept", err, logins)
	}
	good = canary + "-2"
	if err := mint(); err != nil || logins != 2 {
		t.Fatalf("mint after the token was dropped: got %v after %d logins, want a new login", err, logins)
	}
	good = "none"
	now = now.Add(time.Minute)
	asked := d.count("GET database/creds/ro")
	if err := mint(); fault.KindOf(err) != fault.Internal || logins != 3 {
		t.Fatalf("mint without the right: got %v after %d logins, want the refusal after one new login", err, logins)
	}
	if got := d.count("GET database/creds/ro") - asked; got != 2 {
		t.Errorf("mint without the right: got %d reads, want 2", got)
	}
	for range 5 {
		now = now.Add(10 * time.Second)
		if err := mint(); fault.KindOf(err) != fault.Internal || logins != 3 {
			t.Fatalf("mint without the right, once more: got %v after %d logins, want the refusal without one", err, logins)
		}
	}
	d.on("auth/token/lookup-self", answer(403, `{"errors":["permission denied"]}`)) // dropped in that minute
	good = canary + "-4"
	if err := mint(); err != nil || logins != 4 {
		t.Fatalf("mint after the token was dropped in the same minute: got %v after %d logins, want a new login", err, logins)
	}
}

func TestConfiguredTokenIsRenewed(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := newDouble(t)
	d.on("auth/token/lookup-self", answer(200, `{"data":{"ttl":900,"renewable":true}}`))
	d.on("auth/token/renew-self", answer(200, `{"auth":{"client_token":"ignored","lease_duration":1800}}`))
	d.on("database/creds/ro", answer(200, user("u", 7200)))
	c := database(t, d)
	c.Auth = vault.Auth{Token: providertest.Ref(t, canary)}
	p := open(t, c, providers.Env{Clock: func() time.Time { return now }})
	for i, want := range []time.Duration{15 * time.Minute, 30 * time.Minute} {
		minted, err := p.Mint(t.Context(), providers.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if got := minted.NotAfter().Sub(now); got != want {
			t.Errorf("mint %d: got an end after %v, want that of the token, %v", i, got, want)
		}
		now = now.Add(11 * time.Minute)
	}
	if got := d.count("PUT auth/token/renew-self " + canary); got != 1 {
		t.Errorf("got %d renewals of the token, want 1", got)
	}
}
