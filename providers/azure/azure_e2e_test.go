//go:build e2e

package azure_test

import (
	"crypto/rand"
	"encoding/json"
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
	"mintmark/providers/azure"
	"mintmark/providers/internal/providertest"
)

const graph = "https://graph.microsoft.com/.default"

// entra has oidc-provider at the path of Entra's token endpoint.
func entra(t *testing.T, s *testenv.OAuthServer) http.Handler {
	t.Helper()
	to, err := url.Parse(s.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	return http.StripPrefix("/contoso.example/oauth2/v2.0", httputil.NewSingleHostReverseProxy(to))
}

// federated is a server that knows the trust domain as one client, which proves itself
// by RFC 7523 as private_key_jwt has it: the verification is oidc-provider's own. Where
// Entra compares issuer, subject and audience with a federated credential, it wants
// issuer and subject to be the client.
func federated(t *testing.T, w providertest.Workload) (*testenv.OAuthServer, azure.Config) {
	t.Helper()
	client, err := json.Marshal([]map[string]any{{
		"client_id": w.ID().String(), "token_endpoint_auth_method": "private_key_jwt", "scope": graph,
		"jwks": map[string]any{"keys": json.RawMessage(providertest.JWKs(t, w.Domain))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := testenv.OAuth(t, testenv.OAuthOptions{Clients: string(client), Scopes: []string{graph}})
	c := config(t, entra(t, s))
	c.ClientID, c.Scope, c.Audience = w.ID().String(), graph, s.Issuer
	return s, c
}

// ofTheClient are the claims by which a JWT-SVID is an assertion of the client.
func ofTheClient(w providertest.Workload, more map[string]any) trustdomain.JWTRequest {
	claims := map[string]any{"iss": w.ID().String(), "jti": rand.Text()}
	for name, value := range more {
		claims[name] = value
	}
	return trustdomain.JWTRequest{Claims: claims}
}

func TestAssertionIsVerified(t *testing.T) {
	t.Parallel()
	w := providertest.Workload{Domain: trustdomain.New("contoso.test", trustdomain.Options{})}
	w.Request = ofTheClient(w, nil)
	s, c := federated(t, w)
	r := providertest.One(t, open(t, c, providers.Env{Self: w}))
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	if life := time.Until(leased.NotAfter()); r.Reveal(t, leased).Token() == "" || life < 50*time.Second || life > time.Minute {
		t.Errorf("got a life of %v, want a token for the server's minute", life)
	}

	expired, elsewhere := ofTheClient(w, nil), ofTheClient(w, nil)
	expired.Lifetime, elsewhere.Audience = -time.Minute, []string{"api://AzureADTokenExchange"}
	again := providertest.Workload{Domain: w.Domain, Request: ofTheClient(w, nil)}.Again(t, s.Issuer)
	if _, err := open(t, c, providers.Env{Self: again}).Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatalf("show it once: %v", err)
	}
	stranger := ofTheClient(w, nil)
	for id := range w.Domain.Bundle().JWTAuthorities() {
		stranger.KeyID = id
	}
	for name, tt := range map[string]struct {
		self providertest.Workload
		why  string
	}{
		"expired":          {providertest.Workload{Domain: w.Domain, Request: expired}, "jwt expired"},
		"another audience": {providertest.Workload{Domain: w.Domain, Request: elsewhere}, "list of audience (aud) must include"},
		"another issuer":   {providertest.Workload{Domain: w.Domain, Request: ofTheClient(w, map[string]any{"iss": "https://other.test"})}, "iss (JWT issuer) must be the client_id"},
		"another subject":  {providertest.Workload{Domain: w.Domain, Request: ofTheClient(w, map[string]any{"sub": "spiffe://contoso.test/other"})}, "client_id mismatch"},
		"shown before":     {again, "must only be used once"},
		"another key":      {providertest.Workload{Domain: trustdomain.New("contoso.test", trustdomain.Options{}), Request: stranger}, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			r := providertest.One(t, open(t, c, providers.Env{Self: tt.self}))
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the credential provider refused the broker" {
				t.Errorf("hint: got %q", hint)
			}
			if got := s.Refusal(t); !strings.Contains(got, tt.why) {
				t.Errorf("refusal: got %q, want %q", got, tt.why)
			}
		})
	}
}
