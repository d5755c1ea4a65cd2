//go:build e2e

package oauth_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// A server of another origin knows the client by each way that the two have in common.
func TestClientAtHydra(t *testing.T) {
	t.Parallel()
	const audience = "https://mcp.example.org/"
	h, key := testenv.Hydra(t), newKey(t)
	for _, c := range []testenv.HydraClient{
		{ID: "by-basic", Secret: canary, AuthMethod: "client_secret_basic"},
		{ID: "by-post", Secret: canary, AuthMethod: "client_secret_post"},
		{ID: "by-key", AuthMethod: "private_key_jwt", SigningAlg: "ES256", JWKS: json.RawMessage(keySet(key))},
	} {
		c.GrantTypes, c.Scope, c.Audience = []string{"client_credentials"}, "read write", []string{audience}
		h.Register(t, c)
	}
	base := oauth.Config{Issuer: providertest.URL(t, h.Issuer), Scopes: []string{"read"}, Audience: audience}
	withKey := func(c *oauth.Config) {
		c.AuthStyle, c.ClientID, c.Key, c.KeyID, c.AssertionAudience = "private_key_jwt", "by-key", key.ref, "broker", h.TokenURL
	}
	for name, change := range map[string]func(*oauth.Config){
		"basic": func(c *oauth.Config) { c.ClientID, c.ClientSecret = "by-basic", providertest.Ref(t, canary) },
		"post": func(c *oauth.Config) {
			c.AuthStyle, c.ClientID, c.ClientSecret = "post", "by-post", providertest.Ref(t, canary)
		},
		"private_key_jwt": withKey,
	} {
		t.Run(name, func(t *testing.T) {
			c := base
			change(&c)
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			for range 2 { // an assertion that came twice would be refused
				leased, _ := r.Must(t, providers.Request{})
				token := r.Reveal(t, leased).Token()
				var got struct {
					Audience []string `json:"aud"`
					Scope    []string `json:"scp"`
					Client   string   `json:"client_id"`
				}
				decodeSegment(t, strings.Split(token, ".")[1], &got)
				if got.Client != c.ClientID || !slices.Equal(got.Audience, []string{audience}) || !slices.Equal(got.Scope, []string{"read"}) || !h.Active(t, token) {
					t.Errorf("got %+v, want a live token of %s for %s to read", got, c.ClientID, audience)
				}
				if life := time.Until(leased.NotAfter()); life < 30*time.Second || life > time.Minute {
					t.Errorf("got a life of %s, want the minute of the server", life)
				}
				r.Drop(t.Context(), "db")
				await(t, func() bool { return !h.Active(t, token) }) // revoked behind the call
			}
			r.Stop(t)
		})
	}
	for name, change := range map[string]func(*oauth.Config){
		"wrong secret": func(c *oauth.Config) { c.ClientID, c.ClientSecret = "by-basic", providertest.Ref(t, canary+"x") },
		"wrong way": func(c *oauth.Config) {
			c.AuthStyle, c.ClientID, c.ClientSecret = "post", "by-basic", providertest.Ref(t, canary)
		},
		"another key":      func(c *oauth.Config) { withKey(c); c.Key = newKey(t).ref },
		"the issuer":       func(c *oauth.Config) { withKey(c); c.AssertionAudience = "" }, // its rule is the token endpoint's URL
		"another audience": func(c *oauth.Config) { withKey(c); c.AssertionAudience = "https://other.example.org" },
	} {
		c := base
		change(&c)
		leased, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, leased, err, canary)
		if fault.KindOf(err) != fault.Internal || !strings.Contains(fmt.Sprint(err), "invalid_client") {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}
