package oauth_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mintmark/internal/fault"
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
			if tt.change == nil || tt.events != "mint_failed" {
				c.RevocationURL = providertest.URL(t, u.String())
			}
			if tt.change != nil {
				tt.change(&c)
			}
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			r.Refused(t, providers.Request{}, fault.Internal)
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

// What the identity provider issued in place of an assertion is good there.
func TestWhatIsNoAssertionIsRevokedAtItsIdentityProvider(t *testing.T) {
	for said, status := range map[string]int{"got another: it is revoked": 200, "got another: it is not revoked, and ends by itself": 503} {
		var issuer string
		var mu sync.Mutex
		var revoked []string
		idp := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/token":
				ok(`{"access_token":"`+canary+`","token_type":"Bearer","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`)(w, r)
			case "/revoke":
				mu.Lock()
				defer mu.Unlock()
				revoked = append(revoked, r.FormValue("token"))
				w.WriteHeader(status)
			default:
				ok(`{"issuer":"`+issuer+`","token_endpoint":"`+issuer+`/token","revocation_endpoint":"`+issuer+`/revoke"}`)(w, r)
			}
		})
		issuer = strings.TrimSuffix(idp.TokenURL.String(), "/token")
		c := serve(t, ok(bearer))
		c.IDJAG = &oauth.IDJAG{
			IDP:     oauth.IDP{Issuer: providertest.URL(t, issuer), ClientID: "at-the-idp", AuthStyle: "none"},
			Subject: oauth.Source{Token: providertest.Ref(t, "id-token")},
		}
		r := providertest.One(t, open(t, c, providers.Env{}), canary)
		r.Refused(t, providers.Request{}, fault.Internal)
		r.Stop(t)
		mu.Lock()
		if len(revoked) != 1 || revoked[0] != canary {
			t.Errorf("status %d: got %d tokens revoked, want the one", status, len(revoked))
		}
		mu.Unlock()
		if got := r.Records(t)[0].Reason; !strings.Contains(got, said) {
			t.Errorf("status %d: got the reason %q, want %q", status, got, said)
		}
	}
}
