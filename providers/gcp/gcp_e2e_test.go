//go:build e2e

package gcp_test

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

const (
	platform = "https://www.googleapis.com/auth/cloud-platform"
	issuer   = "https://issuer.example.test"
)

// exchange has oidc-provider at the path of Google's STS. Who asks is not said there;
// oidc-provider, which wants to know, is told that it is a client without a secret.
func exchange(t *testing.T, s *testenv.OAuthServer) http.Handler {
	t.Helper()
	to, err := url.Parse(s.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	return http.StripPrefix("/v1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Errorf("read form: %v", err)
		}
		r.PostForm.Set("client_id", "anybody")
		body := r.PostForm.Encode()
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(w, r)
	}))
}

// The exchange is a grant of the tests, in which the library jose verifies the token.
func TestSubjectTokenIsVerified(t *testing.T) {
	t.Parallel()
	with := func(d *trustdomain.Domain, change func(*trustdomain.JWTRequest)) providertest.Workload {
		w := providertest.Workload{Domain: d, Request: trustdomain.JWTRequest{Claims: map[string]any{"jti": rand.Text()}}}
		change(&w.Request)
		return w
	}
	as := func(*trustdomain.JWTRequest) {}
	domain := trustdomain.New("cloud.test", trustdomain.Options{Issuer: issuer})
	s := testenv.OAuth(t, testenv.OAuthOptions{
		Keys: providertest.JWKs(t, domain), AssertionIssuer: issuer, Scopes: []string{platform},
		Clients: `[{"client_id":"anybody","token_endpoint_auth_method":"none"}]`,
	})
	c := config(t, exchange(t, s))
	c.SubjectAudience = s.Issuer
	r := providertest.One(t, openAs(t, c, with(domain, as)))
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	if life := time.Until(leased.NotAfter()); r.Reveal(t, leased).Token() == "" || life < 50*time.Second || life > time.Minute {
		t.Errorf("got a life of %v, want a token for the server's minute", life)
	}

	again := with(domain, as).Again(t, s.Issuer)
	if _, err := openAs(t, c, again).Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatalf("show it once: %v", err)
	}
	for name, tt := range map[string]struct {
		self providertest.Workload
		why  string
	}{
		"expired":          {with(domain, func(r *trustdomain.JWTRequest) { r.Lifetime = -time.Minute }), `"exp" claim timestamp check failed`},
		"another audience": {with(domain, func(r *trustdomain.JWTRequest) { r.Audience = []string{"https:" + c.Audience} }), `unexpected "aud" claim value`},
		"another issuer":   {with(domain, func(r *trustdomain.JWTRequest) { r.Claims["iss"] = "https://other.test" }), `unexpected "iss" claim value`},
		"no subject":       {with(domain, func(r *trustdomain.JWTRequest) { r.Claims["sub"] = nil }), `missing required "sub" claim`},
		"shown before":     {again, "seen before"},
		"another key": {with(trustdomain.New("cloud.test", trustdomain.Options{Issuer: issuer}), func(r *trustdomain.JWTRequest) {
			for id := range domain.Bundle().JWTAuthorities() {
				r.KeyID = id
			}
		}), "signature verification failed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := providertest.One(t, openAs(t, c, tt.self))
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the credential provider refused the broker" {
				t.Errorf("hint: got %q", hint)
			}
			if got := r.Records(t)[0].Reason; !strings.Contains(got, "invalid_grant: the pool's provider does not take the broker's JWT-SVID") {
				t.Errorf("reason: got %q", got)
			}
			if got := s.Refusal(t); !strings.Contains(got, tt.why) {
				t.Errorf("refusal: got %q, want %q", got, tt.why)
			}
		})
	}
}
