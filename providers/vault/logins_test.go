package vault_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"mintmark/providers"
)

func loginWith(accessor string) http.HandlerFunc {
	return answer(200, fmt.Sprintf(`{"auth":{"client_token":"t-%[1]s","accessor":"%[1]s","lease_duration":900,"renewable":true}}`, accessor))
}

func TestLaterEndOfALoginIsReported(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := start
	d := newDouble(t)
	d.on("auth/jwt/login", inTurn(loginWith("a1"), loginWith("a2")))
	d.on("auth/token/renew-self", loginWith("ignored"))
	d.on("auth/token/revoke-self", answer(204, ""))
	d.on("database/creds/ro", answer(200, user("u", 600)))
	p := open(t, database(t, d), providers.Env{Self: &self{}, Clock: func() time.Time { return now }})
	var reports []string
	var broken error
	p.(providers.LoginBound).ReportLogins(func(_ context.Context, handle string, end time.Time) error {
		reports = append(reports, fmt.Sprint(handle, " ", end.Sub(start)))
		return broken
	})
	mint := func() providers.Credential {
		t.Helper()
		c, err := p.Mint(t.Context(), providers.Request{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	mint()
	now = now.Add(11 * time.Minute)
	c := mint()
	if want := []string{"a1 15m0s", "a1 26m0s"}; !slices.Equal(reports, want) {
		t.Errorf("got reports %q, want %q", reports, want)
	}

	// What cannot be put on record is not used: not the new login, nor the later end.
	broken = errors.New("disk full")
	now = now.Add(11 * time.Minute)
	if got := mint().NotAfter(); !got.Equal(start.Add(26 * time.Minute)) {
		t.Errorf("got an end after %v, want that of the token as it is on record, 26m", got.Sub(start))
	}
	if got := d.count("PUT auth/token/revoke-self t-a2"); got != 1 {
		t.Errorf("got %d revocations of the token that is on no record, want 1", got)
	}

	// A lease does not outlive the login that made it, whoever has logged in since.
	broken = nil
	if err := p.(providers.LoginBound).Logout(t.Context(), "a1"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.(providers.Renewer).Renew(t.Context(), providers.Held{Lease: c.Lease()}); err == nil || d.count("PUT sys/leases/renew") != 0 {
		t.Errorf("renewal after the logout: got %v, want it refused", err)
	}
}

// A token that Vault has dropped needs no logout. One that may not end itself lives on.
func TestLogoutThatIsRefused(t *testing.T) {
	for refusal, ended := range map[string]bool{
		`permission denied`: true, // of OpenBao, and of older Vaults
		`2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n`: true,
		`1 error occurred:\n\t* permission denied\n\n`:                     false,
	} {
		d := newDouble(t)
		d.on("auth/jwt/login", loginWith("a1"))
		d.on("auth/token/revoke-self", answer(403, `{"errors":["`+refusal+`"]}`))
		d.on("database/creds/ro", answer(200, user("u", 600)))
		p := open(t, database(t, d), providers.Env{Self: &self{}})
		p.(providers.LoginBound).ReportLogins(func(context.Context, string, time.Time) error { return nil })
		if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
			t.Fatal(err)
		}
		if err := p.(providers.LoginBound).Logout(t.Context(), "a1"); (err == nil) != ended {
			t.Errorf("%s: got %v, want it ended: %t", refusal, err, ended)
		}
	}
}
