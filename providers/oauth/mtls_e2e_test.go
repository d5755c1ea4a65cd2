//go:build e2e

package oauth_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// clientsOfCertificates are registered by a name in a certificate, which roots issue,
// or by the certificates themselves.
func clientsOfCertificates(t *testing.T, pinned ...*issued) string {
	t.Helper()
	type key struct {
		KTY string   `json:"kty"`
		CRV string   `json:"crv"`
		X   string   `json:"x"`
		Y   string   `json:"y"`
		X5C []string `json:"x5c"`
	}
	var keys []key
	for _, one := range pinned {
		point, err := one.key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key{"EC", "P-256", base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:]), []string{base64.StdEncoding.EncodeToString(one.der)}})
	}
	bound := func(more map[string]any) map[string]any {
		more["tls_client_certificate_bound_access_tokens"] = true
		return more
	}
	text, err := json.Marshal([]map[string]any{
		{"client_id": "unbound", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "mintmark.example.org"},
		bound(map[string]any{"client_id": "by-dns", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "mintmark.example.org"}),
		bound(map[string]any{"client_id": "by-subject", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=mintmark,O=Example"}),
		bound(map[string]any{"client_id": brokerID, "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_uri": brokerID}),
		bound(map[string]any{"client_id": "by-itself", "token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": map[string]any{"keys": keys}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// onDisk is a certificate and its key where a platform puts and replaces them.
type onDisk struct{ folder string }

func (d onDisk) put(t *testing.T, c *issued) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"client.pem": {Type: "CERTIFICATE", Bytes: c.der}, "client.key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(d.folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// byCertificate is a registration of a client that shows what is on the disk.
func byCertificate(t *testing.T, s *testenv.OAuthServer, id string, d onDisk) oauth.Config {
	t.Helper()
	c := found(t, s)
	c.AuthStyle, c.ClientID, c.ClientSecret, c.CA, c.NoRevocation = "mtls", id, bundle.Ref{}, bundle.Path(s.MTLS.CA), true
	c.CertificateBound = true
	c.Certificate, c.Key = bundle.Path(filepath.Join(d.folder, "client.pem")), providertest.Parse[bundle.Ref](t, "file:"+filepath.Join(d.folder, "client.key"))
	return c
}

func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Each way to be known by a certificate (RFC 8705, section 2): the token is bound to
// what was shown, one that was replaced is not shown again, and another's is refused.
func TestClientThatShowsACertificateToTheRealServer(t *testing.T) {
	t.Parallel()
	roots := newIssuer(t)
	first, second, stranger := roots.issue(t, "mintmark"), roots.issue(t, "mintmark"), roots.issue(t, "other")
	pinned, next, unknown := newIssuer(t).issue(t, "mintmark"), newIssuer(t).issue(t, "mintmark"), newIssuer(t).issue(t, "mintmark")
	s := testenv.OAuth(t, testenv.OAuthOptions{MTLS: true, ClientRoots: roots.pem(), Clients: clientsOfCertificates(t, pinned, next)})
	for id, tt := range map[string]struct {
		now, next *issued
		refused   map[string]*issued // by why
	}{
		"by-dns": {first, second, map[string]*issued{
			"certificate subject value does not match the registered one": stranger, "client certificate was not verified": unknown,
		}},
		"by-subject": {first, second, map[string]*issued{
			"certificate subject value does not match the registered one": stranger, "client certificate was not verified": unknown,
		}},
		"by-itself": {pinned, next, map[string]*issued{"unregistered client certificate provided": unknown}},
	} {
		t.Run(id, func(t *testing.T) {
			d := onDisk{t.TempDir()}
			p := open(t, byCertificate(t, s, id, d), providers.Env{})
			r := providertest.One(t, p)
			for _, shown := range []*issued{tt.now, tt.next} {
				d.put(t, shown)
				r.Drop(t.Context(), "db")
				leased, _ := r.Must(t, providers.Request{})
				opened := r.Reveal(t, leased)
				got := claimsOf(t, opened.Token())
				if len(opened.Chain()) != 1 || !bytes.Equal(opened.Chain()[0], shown.der) || !shown.key.Equal(opened.Key()) {
					t.Error("got another certificate or key with the token than was shown for it")
				}
				if got.Client != id || got.Audience != s.Resource || got.Bound.Certificate != thumbprint(shown.der) {
					t.Errorf("got a token for %+v, want one of %s for %s, bound to %s", got, id, s.Resource, thumbprint(shown.der))
				}
			}
			r.Stop(t)
			for why, shown := range tt.refused {
				d.put(t, shown)
				wantRefused(t, p, shown, s, why)
			}
		})
	}
}

// wantRefused demands that the server does not take what p shows, and an error that
// says what that was.
func wantRefused(t *testing.T, p providers.Provider, shown *issued, s *testenv.OAuthServer, why string) {
	t.Helper()
	leased, err := p.Mint(t.Context(), providers.Request{})
	providertest.CheckAnswer(t, leased, err, "PRIVATE KEY")
	if fault.KindOf(err) != fault.Internal || fault.HintOf(err) != "the credential provider refused the broker" || s.Refusal(t) != why {
		t.Errorf("got %v and refusal %q, want the certificate to be refused: %s", err, s.Refusal(t), why)
	}
	if text := fmt.Sprint(err); !strings.Contains(text, "invalid_client") || !strings.Contains(text, thumbprint(shown.der)) {
		t.Errorf("got %v, want which certificate was shown: %s", err, thumbprint(shown.der))
	}
}

// What the server binds tokens to is what was registered, or no token is given out.
func TestBondThatIsNotTheRegisteredOne(t *testing.T) {
	t.Parallel()
	roots := newIssuer(t)
	s := testenv.OAuth(t, testenv.OAuthOptions{MTLS: true, ClientRoots: roots.pem(), Clients: clientsOfCertificates(t)})
	d := onDisk{t.TempDir()}
	d.put(t, roots.issue(t, "mintmark"))
	for id, tt := range map[string]struct {
		bound bool
		want  string
	}{
		"by-dns":  {false, "upstreams refuse it without: set certificate_bound"},
		"unbound": {true, "got another or none"},
	} {
		c := byCertificate(t, s, id, d)
		c.CertificateBound = tt.bound
		leased, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, leased, err, "")
		if fault.KindOf(err) != fault.Internal || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: got %v, want %s", id, err, tt.want)
		}
		c.CertificateBound = !tt.bound
		if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
			t.Errorf("%s, as it is: got %v", id, err)
		}
	}
}

// A resource that the server is itself takes the token with the certificate that it
// is bound to (RFC 8705, section 3), and with no other.
func TestBoundTokenIsOfNoUseWithoutItsCertificate(t *testing.T) {
	t.Parallel()
	roots := newIssuer(t)
	own, stranger := roots.issue(t, "mintmark"), roots.issue(t, "mintmark")
	s := testenv.OAuth(t, testenv.OAuthOptions{MTLS: true, ClientRoots: roots.pem(), Clients: clientsOfCertificates(t)})
	d := onDisk{t.TempDir()}
	d.put(t, own)
	c := byCertificate(t, s, "by-dns", d)
	c.Resource, c.Scopes = "", []string{"openid"}
	c.RefreshToken = &oauth.RefreshToken{Token: providertest.Ref(t, s.UserTokenOf(t, "by-dns")), State: bundle.Path(filepath.Join(t.TempDir(), "state"))}
	r := providertest.One(t, open(t, c, providers.Env{}))
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	token := r.Reveal(t, leased).Token()
	for name, tt := range map[string]struct {
		url   string
		shown *issued
		want  int
	}{
		"its certificate":      {s.MTLS.UserinfoURL, own, http.StatusOK},
		"another's":            {s.MTLS.UserinfoURL, stranger, http.StatusUnauthorized},
		"none":                 {s.MTLS.UserinfoURL, nil, http.StatusUnauthorized},
		"none, and not by TLS": {s.UserinfoURL(), nil, http.StatusUnauthorized},
	} {
		if got := useToken(t, s, tt.url, token, tt.shown); got != tt.want {
			t.Errorf("%s: got status %d, want %d", name, got, tt.want)
		}
	}
}

// useToken calls a resource with token on a connection that shows a certificate.
func useToken(t *testing.T, s *testenv.OAuthServer, url, token string, shown *issued) int {
	t.Helper()
	ca, err := os.ReadFile(s.MTLS.CA)
	if err != nil {
		t.Fatal(err)
	}
	settings := &tls.Config{RootCAs: x509.NewCertPool()}
	settings.RootCAs.AppendCertsFromPEM(ca)
	if shown != nil {
		settings.Certificates = []tls.Certificate{{Certificate: [][]byte{shown.der}, PrivateKey: shown.key}}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: settings, DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
