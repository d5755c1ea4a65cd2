package oauth_test

import (
	"encoding/base64"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// A token that the server issued and the broker refuses is good at its server: it is on
// record with the reason, and revoked where there is an endpoint for it.
func TestRefusedTokensAreRevoked(t *testing.T) {
	bound := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"cnf":{"x5t#S256":"another"}}`)) + "." + canary
	for name, tt := range map[string]struct {
		token, rest string
		change      func(*oauth.Config)
		events      string
	}{
		"another kind of token":  {canary, `"token_type":"DPoP","expires_in":60`, nil, "mint_failed revoke"},
		"no proof of possession": {canary, `"token_type":"Bearer","expires_in":60`, func(c *oauth.Config) { c.DPoP = true }, "mint_failed revoke"},
		"no life":                {canary, `"token_type":"Bearer","expires_in":0`, nil, "mint_failed revoke"},
		"bound to another":       {bound, `"token_type":"Bearer","expires_in":60`, nil, "mint_failed revoke"},
		"no kind and no life":    {canary, `"expires_in":-1`, nil, "mint_failed revoke"},
		"a kind that is no text": {canary, `"token_type":["Bearer"],"expires_in":60`, nil, "mint_failed revoke"},
		"a life that is no text": {canary, `"token_type":"Bearer","expires_in":{"s":60}`, nil, "mint_failed revoke"},
		"an error beside it":     {canary, `"token_type":"Bearer","error":"invalid_scope"`, nil, "mint_failed revoke"},
		"more than JSON":         {canary, `"token_type":"Bearer"} {"a":1`, nil, "mint_failed revoke"},
		"one letter repeated":    {strings.Repeat("c", 100), `"token_type":"Bearer","expires_in":60`, nil, "mint_failed revoke"},
		"too long":               {strings.Repeat("c4nary-", 10_000), `"token_type":"Bearer","expires_in":60`, nil, "mint_failed revoke"},
		"a refresh token":        {canary, `"token_type":"Bearer","expires_in":60,"issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token"`, exchanging(t), "mint_failed revoke"},
		"an ID token":            {canary, `"token_type":"Bearer","expires_in":60,"issued_token_type":"urn:ietf:params:oauth:token-type:id_token"`, exchanging(t), "mint_failed revoke"},
		"a SAML assertion":       {canary, `"token_type":"Bearer","expires_in":60,"issued_token_type":"urn:ietf:params:oauth:token-type:saml2"`, exchanging(t), "mint_failed revoke"},
		"revocation is off":      {canary, `"token_type":"DPoP"`, func(c *oauth.Config) { c.NoRevocation = true }, "mint_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var revoked []string
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					ok(`{"access_token":"`+tt.token+`",`+tt.rest+`}`)(w, r)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				revoked = append(revoked, r.FormValue("token"))
			})
			u := *c.TokenURL.URL
			u.Path = "/revoke"
			c.RevocationURL = providertest.URL(t, u.String())
			if tt.change != nil {
				tt.change(&c)
			}
			r := providertest.One(t, open(t, c, providers.Env{}), tt.token)
			if leased, _, err := r.Lease(t.Context(), "db", providers.Request{}); err == nil || !leased.IsZero() {
				t.Errorf("got %v and %v, want no credential", leased, err)
			}
			r.Stop(t)
			if got := r.Events(t); got != tt.events {
				t.Errorf("events: got %q, want %q", got, tt.events)
			}
			if got := r.Records(t)[0]; got.Credential == "" || got.Fingerprint == "" || got.Reason == "" {
				t.Errorf("got the record %+v, want the token that was issued on it", got)
			}
			mu.Lock()
			defer mu.Unlock()
			if want := tt.events != "mint_failed"; want != (len(revoked) == 1 && revoked[0] == tt.token) {
				t.Errorf("got %d tokens revoked, want it to be the one: %t", len(revoked), want)
			}
		})
	}
}

// exchanging has a client trade a token for another.
func exchanging(t *testing.T) func(*oauth.Config) {
	return func(c *oauth.Config) {
		c.TokenExchange = &oauth.TokenExchange{Subject: oauth.Source{Token: providertest.Ref(t, "the-subject-token")}}
	}
}

// Servers may end a grant with a token of it.
func TestTokensOfAGrantThatGoesOnAreLeftToTheirEnd(t *testing.T) {
	for _, goesOn := range []bool{false, true} {
		c := serve(t, ok(bearer))
		c.RevocationURL = providertest.URL(t, strings.Replace(c.TokenURL.String(), "/token", "/revoke", 1))
		if goesOn {
			c.RefreshToken = &oauth.RefreshToken{Token: providertest.Ref(t, canary), State: bundle.Path(filepath.Join(t.TempDir(), "state"))}
		}
		p := open(t, c, providers.Env{})
		minted, err := p.Mint(t.Context(), providers.Request{})
		if err != nil || minted.Revocable(p) == goesOn {
			t.Errorf("got %v, %v, want it revocable: %t", minted.Revocable(p), err, !goesOn)
		}
	}
}
