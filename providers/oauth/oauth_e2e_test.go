//go:build e2e

package oauth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
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

func config(t *testing.T, s *testenv.OAuthServer) oauth.Config {
	return oauth.Config{
		TokenURL:     providertest.URL(t, s.TokenURL),
		ClientID:     s.ClientID,
		ClientSecret: providertest.Ref(t, s.ClientSecret),
		Scopes:       []string{"read"},
		Resource:     s.Resource,
	}
}

func TestTokenOfTheRealServer(t *testing.T) {
	t.Parallel()
	s := testenv.OAuth(t, testenv.OAuthOptions{TTL: 50 * time.Second})
	for _, style := range []string{"basic", "post"} {
		c := config(t, s)
		c.AuthStyle = style
		r := providertest.One(t, open(t, c, providers.Env{}), s.ClientSecret)
		leased, _ := r.Must(t, providers.Request{})
		claims := claimsOf(t, r.Reveal(t, leased).Token())
		if claims.Audience != s.Resource || claims.Scope != "read" || claims.Issuer != s.Issuer {
			t.Errorf("%s: got a token for %+v, want one of %s for %s to read", style, claims, s.Issuer, s.Resource)
		}
		if life := time.Until(leased.NotAfter()); life < 45*time.Second || life > 50*time.Second || !slices.Equal(leased.Scopes(), []string{"read"}) {
			t.Errorf("%s: got a life of %v and scopes %v, want 50s to read", style, life, leased.Scopes())
		}
		before := s.Requests(t)
		if again, cached := r.Must(t, providers.Request{}); !cached || again.ID() != leased.ID() || s.Requests(t) != before {
			t.Errorf("%s: second lease: got another, want the held one and no request", style)
		}
		r.Stop(t)
	}
}

type claims struct {
	Audience string `json:"aud"`
	Issuer   string `json:"iss"`
	Scope    string `json:"scope"`
	Subject  string `json:"sub"`
	Client   string `json:"client_id"`
	Actor    struct {
		Subject string `json:"sub"`
	} `json:"act"`
	Bound struct {
		Thumbprint  string `json:"jkt"`
		Certificate string `json:"x5t#S256"`
	} `json:"cnf"`
}

func claimsOf(t *testing.T, token string) (c claims) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token: got %d parts, want a JWT", len(parts))
	}
	decodeSegment(t, parts[1], &c)
	return c
}

// decodeSegment reads one part of a JWT.
func decodeSegment(t *testing.T, part string, into any) {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, into); err != nil {
		t.Fatal(err)
	}
}

func TestOutagesOfTheRealServer(t *testing.T) {
	t.Parallel()
	s := testenv.OAuth(t, testenv.OAuthOptions{})
	entry := map[string]providers.Entry{"db": {Provider: open(t, config(t, s), providers.Env{})}}
	r := providertest.New(t, entry, []string{s.ClientSecret}, func(o *providers.PoolOptions) { o.MintTimeout = 3 * time.Second })
	defer r.Stop(t)
	s.Fail(t, 500)
	if hint := r.Refused(t, providers.Request{}, fault.Unavailable); hint != "the authorization server could not issue a token" {
		t.Errorf("broken: got %q", hint)
	}
	asked := s.Requests(t)
	for range 20 {
		r.Refused(t, providers.Request{}, fault.Unavailable)
	}
	if more := s.Requests(t) - asked; more > 2 {
		t.Errorf("broken: got %d more requests by 20 calls, want the failure remembered", more)
	}
	s.Heal(t)
	recovers := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, _, err := r.Lease(ctx, "db", providers.Request{}); err == nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("recovery: not noticed within 15s")
			}
		}
	}
	recovers()

	s.Stall(t)
	r.Drop(t.Context(), "db")
	start := time.Now()
	if hint := r.Refused(t, providers.Request{}, fault.Unavailable); !strings.HasSuffix(hint, "did not answer in time") {
		t.Errorf("slow: got %q", hint)
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("slow: got an answer after %v, want one after 3s", took)
	}
	s.Heal(t)
	recovers()
	s.Stop()
	r.Drop(t.Context(), "db")
	// The first request may go over a connection whose end has not been seen yet.
	const gone = "the authorization server refuses connections"
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	hint := r.Refused(t, providers.Request{}, fault.Unavailable)
	for deadline := time.Now().Add(15 * time.Second); hint != gone && time.Now().Before(deadline); <-tick.C {
		hint = r.Refused(t, providers.Request{}, fault.Unavailable)
	}
	if hint != gone {
		t.Errorf("gone: got %q", hint)
	}
}

func TestRefusalsOfTheRealServer(t *testing.T) {
	t.Parallel()
	s := testenv.OAuth(t, testenv.OAuthOptions{})
	for name, change := range map[string]func(*oauth.Config){
		"wrong secret":     func(c *oauth.Config) { c.ClientSecret = providertest.Ref(t, canary) },
		"unknown client":   func(c *oauth.Config) { c.ClientID = "other" },
		"unknown resource": func(c *oauth.Config) { c.Resource = "https://other.example.org/" },
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t, s)
			change(&c)
			r := providertest.One(t, open(t, c, providers.Env{}), canary, s.ClientSecret)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the credential provider refused the broker" {
				t.Errorf("hint: got %q", hint)
			}
		})
	}
}
