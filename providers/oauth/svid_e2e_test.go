//go:build e2e

package oauth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/trust"
	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// realSelf is the broker's own identity by a real SPIRE, and keeps what it gave out.
type realSelf struct {
	providers.IdentitySource

	mu     sync.Mutex
	tokens []string            // one after the other, without repetition
	shown  map[string]struct{} // thumbprints
}

func newRealSelf(t *testing.T, spire *testenv.SPIREDomain) *realSelf {
	t.Helper()
	id := spiffeid.RequireFromString(brokerID)
	self, err := trust.Open(t.Context(), bundle.Trust{WorkloadAPI: spire.Addr}, id.TrustDomain(), trust.Options{Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = self.Close() })
	return &realSelf{IdentitySource: self, shown: map[string]struct{}{}}
}

// JWTSVID returns SPIRE's.
func (s *realSelf) JWTSVID(ctx context.Context, audience string) (string, error) {
	svid, err := s.IdentitySource.JWTSVID(ctx, audience)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.tokens); err == nil && (n == 0 || s.tokens[n-1] != svid) {
		s.tokens = append(s.tokens, svid)
	}
	return svid, err
}

// X509SVID returns SPIRE's.
func (s *realSelf) X509SVID(ctx context.Context) ([][]byte, crypto.Signer, error) {
	chain, key, err := s.IdentitySource.X509SVID(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.shown[thumbprint(chain[0])] = struct{}{}
	}
	return chain, key, err
}

func (s *realSelf) gave() (tokens []string, certificates int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens, len(s.shown)
}

func (s *realSelf) hasShown(thumbprint string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.shown[thumbprint]
	return ok
}

// The broker's own X.509-SVID is its client certificate, as it is then
// (draft-ietf-oauth-spiffe-client-auth, by RFC 8705): through a rotation each is
// taken, and the token is bound to it.
func TestOwnX509SVIDAtTheRealServer(t *testing.T) {
	t.Parallel()
	spire := testenv.SPIRE(t, testenv.SPIREOptions{X509TTL: 40 * time.Second})
	spire.Register(t, brokerID)
	self := newRealSelf(t, spire)
	authorities, err := spiffebundle.Parse(spiffeid.RequireTrustDomainFromString(spire.TrustDomain), spire.Bundle(t))
	if err != nil {
		t.Fatal(err)
	}
	var roots bytes.Buffer
	for _, root := range authorities.X509Authorities() {
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}); err != nil {
			t.Fatal(err)
		}
	}
	s := testenv.OAuth(t, testenv.OAuthOptions{MTLS: true, ClientRoots: roots.String(), Clients: clientsOfCertificates(t)})
	c := found(t, s)
	c.AuthStyle, c.ClientID, c.ClientSecret, c.CA = "mtls", brokerID, bundle.Ref{}, bundle.Path(s.MTLS.CA)
	c.CertificateBound = true
	p := open(t, c, providers.Env{Self: self})
	r := providertest.One(t, p)
	bound := map[string]bool{}
	awaitFor(t, 3*time.Minute, func() bool {
		r.Drop(t.Context(), "db")
		leased, _ := r.Must(t, providers.Request{})
		opened := r.Reveal(t, leased)
		got := claimsOf(t, opened.Token())
		if leaf, err := x509.ParseCertificate(opened.Chain()[0]); err != nil || leased.NotAfter().After(leaf.NotAfter) || thumbprint(leaf.Raw) != got.Bound.Certificate {
			t.Fatalf("got a lease until %s with %v, want it to end with the certificate it is bound to", leased.NotAfter(), leaf)
		}
		if got.Client != brokerID || !self.hasShown(got.Bound.Certificate) {
			t.Fatalf("got a token for %+v, want one of %s bound to its SVID", got, brokerID)
		}
		bound[got.Bound.Certificate] = true
		return len(bound) == 2
	})
	_ = r.Close(t.Context()) // this server does not revoke JWTs
	r.Finish(t)

	c.ClientID = "by-dns" // of another name than the SVID's
	_, err = open(t, c, providers.Env{Self: self}).Mint(t.Context(), providers.Request{})
	if fault.KindOf(err) != fault.Internal || s.Refusal(t) != "certificate subject value does not match the registered one" {
		t.Errorf("another client: got %v and refusal %q, want it refused", err, s.Refusal(t))
	}
}

// trustBundle keeps the trust bundle of SPIRE where the server looks for it.
func trustBundle(t *testing.T, spire *testenv.SPIREDomain) (path string, refresh func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "bundle.json")
	refresh = func() {
		t.Helper()
		if err := os.WriteFile(path, spire.Bundle(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refresh()
	return path, refresh
}

// withSVID is a registration of a client that shows the broker's JWT-SVID.
func withSVID(t *testing.T, s *testenv.OAuthServer) oauth.Config {
	t.Helper()
	c := found(t, s)
	c.AuthStyle, c.ClientID, c.ClientSecret, c.NoRevocation = "jwt_svid", "", bundle.Ref{}, true
	return c
}

// The broker's own JWT-SVID is its client assertion
// (draft-ietf-oauth-spiffe-client-auth): through a rotation of the SVID and of the
// key that signs it.
func TestOwnJWTSVIDAtTheRealServer(t *testing.T) {
	t.Parallel()
	spire := testenv.SPIRE(t, testenv.SPIREOptions{JWTTTL: 20 * time.Second})
	spire.Register(t, brokerID)
	path, refresh := trustBundle(t, spire)
	s := testenv.OAuth(t, testenv.OAuthOptions{SVIDClient: brokerID, TrustBundle: path})
	for _, id := range []string{"", brokerID} {
		self := newRealSelf(t, spire)
		c := withSVID(t, s)
		c.ClientID = id
		r := providertest.One(t, open(t, c, providers.Env{Self: self}))
		mint := func() {
			t.Helper()
			r.Drop(t.Context(), "db")
			leased, _ := r.Must(t, providers.Request{})
			if got := claimsOf(t, r.Reveal(t, leased).Token()); got.Client != brokerID || got.Audience != s.Resource || got.Scope != "read" {
				t.Fatalf("client_id %q: got a token for %+v, want one of %s for %s to read", id, got, brokerID, s.Resource)
			}
		}
		awaitFor(t, 2*time.Minute, func() bool {
			mint()
			tokens, _ := self.gave()
			return len(tokens) >= 2
		})
		spire.RotateJWTKey(t)
		refresh()
		first, _ := self.gave()
		awaitFor(t, 2*time.Minute, func() bool {
			mint()
			tokens, _ := self.gave()
			return keyID(t, tokens[len(tokens)-1]) != keyID(t, first[len(first)-1])
		})
		tokens, _ := self.gave()
		r.Hide(tokens...)
		r.Stop(t)
	}
}

// keyID returns which key signed a JWT.
func keyID(t *testing.T, token string) string {
	t.Helper()
	var header struct {
		KeyID string `json:"kid"`
	}
	decodeSegment(t, strings.Split(token, ".")[0], &header)
	if header.KeyID == "" {
		t.Fatal("JWT-SVID: got no kid")
	}
	return header.KeyID
}

// stale is an identity that shows the same JWT-SVID for ever.
type stale struct {
	providertest.NoX509SVID
	svid string
}

// JWTSVID returns it, whatever the audience.
func (s stale) JWTSVID(context.Context, string) (string, error) { return s.svid, nil }

func TestJWTSVIDThatTheRealServerRefuses(t *testing.T) {
	t.Parallel()
	spire := testenv.SPIRE(t, testenv.SPIREOptions{JWTTTL: 10 * time.Second})
	spire.Register(t, brokerID)
	path, _ := trustBundle(t, spire)
	self := newRealSelf(t, spire)
	s := testenv.OAuth(t, testenv.OAuthOptions{SVIDClient: brokerID, TrustBundle: path})
	refused := func(name string, c oauth.Config, source providers.IdentitySource, svid, why string) {
		t.Helper()
		leased, err := open(t, c, providers.Env{Self: source}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, leased, err, svid)
		if text := fmt.Sprint(err); !strings.Contains(text, "invalid_client") || !strings.Contains(s.Refusal(t), why) {
			t.Errorf("%s: got %v and refusal %q, want it refused: %s", name, err, s.Refusal(t), why)
		}
	}
	svidFor := func(audience string) string {
		t.Helper()
		svid, err := self.IdentitySource.JWTSVID(t.Context(), audience)
		if err != nil {
			t.Fatal(err)
		}
		return svid
	}

	c := withSVID(t, s)
	c.AssertionAudience = "https://other.example.org"
	refused("another's", c, self, svidFor(c.AssertionAudience), `unexpected "aud" claim value`)
	c = withSVID(t, s)
	c.ClientID = s.ClientID
	refused("another client", c, self, svidFor(s.Issuer), "sub is no client, or another than client_id")

	old := svidFor(s.Issuer)
	c = withSVID(t, s)
	p := open(t, c, providers.Env{Self: stale{svid: old}})
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatalf("before its end: got %v", err)
	}
	awaitFor(t, time.Minute, func() bool {
		_, err := p.Mint(t.Context(), providers.Request{})
		return err != nil
	})
	refused("expired", c, stale{svid: old}, old, `"exp" claim timestamp check failed`)
}
