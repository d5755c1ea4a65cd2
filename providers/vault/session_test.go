package vault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// inTurn answers with each handler once, and with the last from then on.
func inTurn(handlers ...http.HandlerFunc) http.HandlerFunc {
	next := 0
	return func(w http.ResponseWriter, r *http.Request) {
		h := handlers[min(next, len(handlers)-1)]
		next++
		h(w, r)
	}
}

func loginFor(value string, seconds int, renewable bool) http.HandlerFunc {
	return answer(200, fmt.Sprintf(`{"auth":{"client_token":"%s","lease_duration":%d,"renewable":%t}}`, value, seconds, renewable))
}

func TestNodeThatLagsBehindIsAskedAgainButNotForever(t *testing.T) {
	lagging := answer(412, `{"errors":["required index state not present `+canary+`"]}`)
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		asked   int
		hint    string
	}{
		"for a moment": {inTurn(lagging, lagging, answer(200, user("u", 600))), 3, ""},
		"for long":     {lagging, 4, "this node of vault lags behind the others"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("auth/jwt/login", loginFor("t", 3600, false))
			d.on("database/creds/ro", tt.handler)
			_, err := open(t, database(t, d), providers.Env{Self: &self{}}).Mint(t.Context(), providers.Request{})
			if fault.HintOf(err) != tt.hint || (err != nil && fault.KindOf(err) != fault.Unavailable) {
				t.Errorf("got %v, want hint %q", err, tt.hint)
			}
			if got := d.count("GET database/creds/ro"); got != tt.asked {
				t.Errorf("got %d reads, want %d", got, tt.asked)
			}
		})
	}
}

func TestVaultSaysWhenToAskAgain(t *testing.T) {
	const limited = "vault limits how often the broker may ask"
	for name, tt := range map[string]struct {
		status int
		after  string
		wait   time.Duration
		hint   string
	}{
		"limited":         {429, "30", 30 * time.Second, limited},
		"maintenance":     {503, "30", 30 * time.Second, "vault is not ready"},
		"for very long":   {429, "86400", 24 * time.Hour, limited}, // the Pool has its own bound
		"without saying":  {429, "", 0, limited},
		"says a date":     {429, "Wed, 21 Oct 2065 07:28:00 GMT", 0, limited},
		"says a lot":      {429, "99999999999999999999", 0, limited},
		"before any time": {429, "-5", 0, limited},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			busy := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", tt.after)
				answer(tt.status, `{"errors":["`+canary+`"]}`)(w, r)
			}
			d.on("auth/jwt/login", inTurn(busy, loginFor("t", 0, false)))
			d.on("database/creds/ro", busy)
			p := open(t, database(t, d), providers.Env{Self: &self{}})
			for _, what := range []string{"login", "mint"} {
				_, err := p.Mint(t.Context(), providers.Request{})
				wait, _ := errors.AsType[providers.RetryAfter](err)
				if fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) != tt.hint || time.Duration(wait) != tt.wait {
					t.Errorf("%s: got %v, want hint %q and a wait of %v", what, err, tt.hint, tt.wait)
				}
				if strings.Contains(err.Error(), canary) {
					t.Errorf("%s: got %v, want an error that quotes nothing", what, err)
				}
			}
			if got := d.count("GET database/creds/ro"); got != 1 {
				t.Errorf("got %d reads, want one: the Pool decides when to try again", got)
			}
		})
	}
}

func TestTokenIsRenewedWhileThatHelps(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := newDouble(t)
	d.on("auth/jwt/login", inTurn(loginFor("first", 900, true), loginFor("second", 900, true), answer(500, `{"errors":["`+canary+`"]}`)))
	d.on("auth/token/renew-self", inTurn(loginFor("", 900, true), loginFor("", 100, true), answer(500, "")))
	d.on("database/creds/ro", answer(200, user("u", 7200)))
	p := open(t, database(t, d), providers.Env{Self: &self{}, Clock: func() time.Time { return now }})
	for i, want := range []struct {
		token string
		life  time.Duration
	}{{"first", 15 * time.Minute}, {"first", 15 * time.Minute}, {"second", 15 * time.Minute}, {"second", 4 * time.Minute}} {
		c, err := p.Mint(t.Context(), providers.Request{})
		if err != nil {
			t.Fatalf("mint %d: %v", i, err)
		}
		if got := d.header.Get("X-Vault-Token"); got != want.token {
			t.Errorf("mint %d: got token %q, want %q", i, got, want.token)
		}
		if got := c.NotAfter().Sub(now); got != want.life {
			t.Errorf("mint %d: got an end after %v, want that of the token, %v", i, got, want.life)
		}
		now = now.Add(11 * time.Minute)
	}
	if got := d.count("PUT auth/token/renew-self first"); got != 2 {
		t.Errorf("got %d renewals of the first token, want 2", got)
	}
	if got := d.count("PUT auth/token/revoke"); got != 0 {
		t.Errorf("got %d revocations of a token, want none: its leases would end", got)
	}
	if _, err := p.Mint(t.Context(), providers.Request{}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("mint after the token's end: got %v, want an outage", err)
	}
}

func TestRenewal(t *testing.T) {
	const refused = "vault does not prolong this credential"
	minted := user("u", 600)
	tests := map[string]struct {
		minted  string
		elapsed time.Duration // between mint and renewal
		answer  http.HandlerFunc
		life    time.Duration // from the renewal on
		asked   int
		hint    string
	}{
		"its life again":           {minted, 5 * time.Minute, answer(200, `{"lease_id":"l","lease_duration":600}`), 10 * time.Minute, 1, ""},
		"what is left":             {minted, 5 * time.Minute, answer(200, `{"lease_id":"l","lease_duration":400}`), 400 * time.Second, 1, ""},
		"no longer than its token": {minted, 8 * time.Minute, answer(200, `{"lease_id":"l","lease_duration":6000}`), 22 * time.Minute, 1, ""},
		"nothing more":             {minted, 5 * time.Minute, answer(200, `{"lease_id":"l","lease_duration":300}`), 0, 1, refused},
		"no length":                {minted, 5 * time.Minute, answer(200, `{}`), 0, 1, refused},
		"no answer":                {minted, 5 * time.Minute, answer(204, ``), 0, 1, refused},
		"not this one":             {strings.Replace(minted, "true", "false", 1), 5 * time.Minute, answer(200, `{}`), 0, 0, refused},
		"of an earlier login":      {minted, 21 * time.Minute, answer(200, `{"lease_id":"l","lease_duration":6000}`), 0, 0, refused},
		"refused":                  {minted, 5 * time.Minute, answer(400, `{"errors":["`+canary+`"]}`), 0, 1, "the credential provider refused the broker"},
		"sealed":                   {minted, 5 * time.Minute, answer(503, `{"errors":["sealed"]}`), 0, 1, "vault is sealed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			d := newDouble(t)
			d.on("auth/jwt/login", inTurn(loginFor("first", 1800, false), loginFor("second", 1800, false)))
			d.on("database/creds/ro", answer(200, tt.minted))
			var body map[string]any
			d.on("sys/leases/renew", func(w http.ResponseWriter, r *http.Request) {
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Errorf("read body: %v", err)
				}
				tt.answer(w, r)
			})
			p := open(t, database(t, d), providers.Env{Self: &self{}, Clock: func() time.Time { return now }})
			c, err := p.Mint(t.Context(), providers.Request{})
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(tt.elapsed)
			terms, err := p.(providers.Renewer).Renew(t.Context(), providers.Held{Lease: c.Lease()})
			if got := d.count("PUT sys/leases/renew"); got != tt.asked {
				t.Errorf("got %d renewals, want %d", got, tt.asked)
			}
			if tt.hint != "" {
				if lasting := tt.hint == refused; errors.Is(err, providers.ErrNotRenewable) != lasting {
					t.Errorf("got %v, want one that is no failure: %t", err, lasting)
				}
				if fault.HintOf(err) != tt.hint || strings.Contains(err.Error(), canary) || terms.Lease != "" {
					t.Errorf("got %+v, %v, want hint %q", terms, err, tt.hint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := terms.NotAfter.Sub(now); got != tt.life || terms.Lease != c.Lease() || !slices.Equal(terms.Scopes, c.Scopes()) {
				t.Errorf("got %v more (%+v), want %v of the same", got, terms, tt.life)
			}
			if body["lease_id"] != c.Lease() || body["increment"] != float64(600) {
				t.Errorf("got body %v, want the lease and its life", body)
			}
		})
	}
}

func TestLeaseOfAnotherProcessIsNotRenewed(t *testing.T) {
	d := newDouble(t)
	p := open(t, database(t, d), providers.Env{Self: &self{}})
	if _, err := p.(providers.Renewer).Renew(t.Context(), providers.Held{Lease: "database/creds/ro/x"}); err == nil || len(d.asked) != 0 {
		t.Errorf("got %v after %v, want a refusal: nobody knows which token made it", err, d.asked)
	}
}

// What was made and cannot be used is ended, and the reason names the field.
func TestDynamicCredentialThatCannotBeUsed(t *testing.T) {
	for name, tt := range map[string]struct {
		revoke  http.HandlerFunc
		revoked int
	}{
		"at once":           {answer(204, ""), 1},
		"at the second try": {inTurn(answer(500, ""), answer(204, "")), 2},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("aws/creds/x", answer(200, `{"lease_id":"l","lease_duration":60,"data":{"secret":{"key":"`+canary+`"}}}`))
			d.on("sys/leases/revoke", tt.revoke)
			c := kv2(t, d)
			c.KV2, c.Dynamic = nil, &vault.Dynamic{Path: "aws/creds/x", Fields: vault.Fields{Token: "{secret.token}"}}
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			r.Refused(t, providers.Request{}, fault.Internal)
			if failed := r.Records(t)[0]; !strings.Contains(failed.Reason, `read field "secret.token": got nothing`) || failed.Lease != "l" || failed.Credential == "" {
				t.Errorf("got the record %+v, want the field, and the lease that was made", failed)
			}
			r.Stop(t)
			if got := r.Events(t); got != "mint_failed revoke" {
				t.Errorf("events: got %q, want what was made ended on record", got)
			}
			if got := d.count("PUT sys/leases/revoke"); got != tt.revoked {
				t.Errorf("got %d revocations, want %d", got, tt.revoked)
			}
		})
	}
}
