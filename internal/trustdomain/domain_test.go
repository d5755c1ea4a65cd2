package trustdomain_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"mintmark/internal/trustdomain"
)

func Example() {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	token, err := domain.JWTSVID(domain.ID("agent", "one"), trustdomain.JWTRequest{Audience: []string{"mintmark"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	svid, err := jwtsvid.ParseAndValidate(token, domain.Bundle(), []string{"mintmark"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(svid.ID)
	// Output: spiffe://example.org/agent/one
}

func TestX509SVIDVerifiesOnlyUnderItsOwnDomain(t *testing.T) {
	domain, stranger := newDomain(), newDomain()
	for _, r := range []trustdomain.X509Request{{}, {IntermediateLifetime: time.Minute}, {Hosts: []string{"localhost", "127.0.0.1"}}} {
		svid := issueX509(t, domain, r)
		if id, _, err := x509svid.Verify(svid.Certificates, domain.Bundle()); err != nil || id != svid.ID {
			t.Errorf("Verify(%+v): got %v, %v, want %v", r, id, err, svid.ID)
		}
		if _, _, err := x509svid.Verify(svid.Certificates, stranger.Bundle()); err == nil {
			t.Errorf("Verify(%+v) under a stranger of the same name: got no error", r)
		}
	}
}

func TestX509SVIDsThatMustBeRefused(t *testing.T) {
	domain := newDomain()
	for name, r := range map[string]trustdomain.X509Request{
		"expired":              {Lifetime: -time.Second},
		"future":               {NotBefore: time.Minute},
		"expired intermediate": {IntermediateLifetime: -time.Second},
		"CA":                   {Alter: func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }},
	} {
		svid := issueX509(t, domain, r)
		if _, _, err := x509svid.Verify(svid.Certificates, domain.Bundle()); err == nil {
			t.Errorf("Verify of the %s SVID: got no error", name)
		}
	}
}

func TestTLSCertificateServes(t *testing.T) {
	domain := newDomain()
	svid := issueX509(t, domain, trustdomain.X509Request{Hosts: []string{"127.0.0.1"}, IntermediateLifetime: time.Hour})
	server := httptest.NewUnstartedServer(domain.Handler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{trustdomain.TLSCertificate(svid)}}
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	for _, ca := range domain.Bundle().X509Authorities() {
		roots.AddCert(ca)
	}
	conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(conn.ConnectionState().PeerCertificates); got != 2 {
		t.Errorf("served chain: got %d certificates, want 2", got)
	}
	_ = conn.Close()
}

func TestJWTSVIDsThatMustBeRefused(t *testing.T) {
	domain, stranger := newDomain(), newDomain()
	ok := trustdomain.JWTRequest{Audience: []string{"a"}}
	if _, err := jwtsvid.ParseAndValidate(issueJWT(t, domain, ok), domain.Bundle(), ok.Audience); err != nil {
		t.Fatalf("the ordinary one: %v", err)
	}
	for name, r := range map[string]trustdomain.JWTRequest{
		"expired":       {Audience: ok.Audience, Lifetime: -2 * time.Minute},
		"wrong aud":     {Audience: []string{"b"}},
		"unknown kid":   {Audience: ok.Audience, KeyID: "nobody"},
		"other type":    {Audience: ok.Audience, Type: "at+jwt"},
		"no exp":        {Audience: ok.Audience, Claims: map[string]any{"exp": nil}},
		"not SPIFFE":    {Audience: ok.Audience, Claims: map[string]any{"sub": "alice"}},
		"other subject": {Audience: ok.Audience, Claims: map[string]any{"sub": "spiffe://elsewhere.org/a"}},
	} {
		if _, err := jwtsvid.ParseAndValidate(issueJWT(t, domain, r), domain.Bundle(), ok.Audience); err == nil {
			t.Errorf("the %s JWT-SVID: got no error", name)
		}
	}
	if _, err := jwtsvid.ParseAndValidate(issueJWT(t, stranger, ok), domain.Bundle(), ok.Audience); err == nil {
		t.Error("a stranger's JWT-SVID: got no error")
	}
}

func TestMarshalBundleRoundTrips(t *testing.T) {
	domain := newDomain()
	content, err := domain.MarshalBundle()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := spiffebundle.Parse(domain.TrustDomain(), content)
	if err != nil {
		t.Fatal(err)
	}
	if !parsed.Equal(domain.Bundle()) {
		t.Error("parsed bundle differs from the domain's")
	}
}

func TestRotate(t *testing.T) {
	domain := newDomain()
	old := issueX509(t, domain, trustdomain.X509Request{})
	domain.Rotate(trustdomain.KeepOld)
	if _, _, err := x509svid.Verify(old.Certificates, domain.Bundle()); err != nil {
		t.Errorf("after KeepOld: %v", err)
	}
	domain.Rotate(trustdomain.DropOld)
	if _, _, err := x509svid.Verify(old.Certificates, domain.Bundle()); err == nil {
		t.Error("after DropOld: the old SVID still verifies")
	}
}

func TestHandlerServesKeysThatVerify(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{Issuer: "https://issuer.example"})
	token := issueJWT(t, domain, trustdomain.JWTRequest{Audience: []string{"a"}})
	var discovery struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	get(t, domain, "/.well-known/openid-configuration", &discovery)
	if discovery.Issuer != "https://issuer.example" || discovery.JWKSURI != "https://issuer.example/keys" {
		t.Errorf("discovery: got %+v", discovery)
	}
	var keys jose.JSONWebKeySet
	get(t, domain, "/keys", &keys)
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := signed.Verify(keys)
	if err != nil {
		t.Fatalf("verify with the served keys: %v", err)
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Issuer != "https://issuer.example" {
		t.Errorf("iss: got %q, %v", claims.Issuer, err)
	}
}

func get(t *testing.T, domain *trustdomain.Domain, path string, into any) {
	t.Helper()
	w := httptest.NewRecorder()
	domain.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	if err := json.NewDecoder(w.Body).Decode(into); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
}

func newDomain() *trustdomain.Domain {
	return trustdomain.New("example.org", trustdomain.Options{})
}

func issueX509(t *testing.T, domain *trustdomain.Domain, r trustdomain.X509Request) *x509svid.SVID {
	t.Helper()
	svid, err := domain.X509SVID(domain.ID("agent"), r)
	if err != nil {
		t.Fatal(err)
	}
	return svid
}

func issueJWT(t *testing.T, domain *trustdomain.Domain, r trustdomain.JWTRequest) string {
	t.Helper()
	token, err := domain.JWTSVID(domain.ID("agent"), r)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
