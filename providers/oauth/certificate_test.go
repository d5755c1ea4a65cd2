package oauth_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// ownCertificate is the broker's own identity: an X.509-SVID.
type ownCertificate struct {
	self
	chain [][]byte
}

// X509SVID returns it.
func (o ownCertificate) X509SVID(context.Context) ([][]byte, crypto.Signer, error) {
	return o.chain, o.key, nil
}

func TestCertificateOfTheClient(t *testing.T) {
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.key.Public(), key.key)
	if err != nil {
		t.Fatal(err)
	}
	var shown [][]byte
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, c := range r.TLS.PeerCertificates {
			shown = append(shown, c.Raw)
		}
		if err := r.ParseForm(); err != nil || r.PostForm.Get("client_id") != "mintmark" || r.PostForm.Has("client_secret") || r.Header.Get("Authorization") != "" {
			t.Errorf("got %v, %v, want client_id alone", r.PostForm, err)
		}
		ok(bearer)(w, r)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	folder := t.TempDir()
	write := func(name string, block *pem.Block) bundle.Path {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		return bundle.Path(path)
	}
	c := oauth.Config{
		TokenURL: providertest.URL(t, server.URL+"/token"), ClientID: "mintmark", AuthStyle: "mtls",
		CA: write("ca.pem", &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	own := c
	fromFile := c
	fromFile.Certificate, fromFile.Key = write("client.pem", &pem.Block{Type: "CERTIFICATE", Bytes: der}), key.ref
	for name, tt := range map[string]struct {
		config oauth.Config
		env    providers.Env
	}{
		"of files":        {fromFile, providers.Env{}},
		"the own X.509":   {own, providers.Env{Self: ownCertificate{self{key: key.key}, [][]byte{der}}}},
		"the own, absent": {own, providers.Env{Self: self{key: key.key}}},
	} {
		shown = nil
		_, err := open(t, tt.config, tt.env).Mint(t.Context(), providers.Request{})
		if name == "the own, absent" {
			if fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s: got %v, want no token without a certificate", name, err)
			}
			continue
		}
		if err != nil || len(shown) != 1 || string(shown[0]) != string(der) {
			t.Errorf("%s: got %d certificates, %v, want the client's", name, len(shown), err)
		}
	}
}

// A certificate or key that cannot be used is named as that, without a request.
func TestCertificateThatCannotBeShown(t *testing.T) {
	one, other := newIssuer(t).issue(t, "mintmark"), newIssuer(t).issue(t, "mintmark")
	pemOf := func(label string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	keyOf := func(i *issued) string {
		der, err := x509.MarshalPKCS8PrivateKey(i.key)
		if err != nil {
			t.Fatal(err)
		}
		return pemOf("PRIVATE KEY", der)
	}
	const pair = "expected a PEM chain in certificate, and in key the PEM private key of its first one"
	for name, tt := range map[string]struct{ chain, key, want string }{
		"no certificate":          {canary, keyOf(one), pair},
		"no key":                  {pemOf("CERTIFICATE", one.der), canary, pair},
		"a key of strange type":   {pemOf("CERTIFICATE", one.der), pemOf(canary, []byte(canary)), pair},
		"the key of another":      {pemOf("CERTIFICATE", one.der), keyOf(other), pair},
		"the two, the wrong way":  {keyOf(one), pemOf("CERTIFICATE", one.der), pair},
		"a certificate, but none": {"", keyOf(one), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("got a request, want none") })
			c.TokenURL = providertest.URL(t, strings.Replace(c.TokenURL.String(), "http:", "https:", 1))
			path := filepath.Join(t.TempDir(), "client.pem")
			if tt.chain != "" {
				if err := os.WriteFile(path, []byte(tt.chain), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c.AuthStyle, c.ClientSecret, c.Certificate, c.Key = "mtls", bundle.Ref{}, bundle.Path(path), providertest.Ref(t, strings.TrimSpace(tt.key))
			leased, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
			providertest.CheckAnswer(t, leased, err, canary)
			if err == nil || fault.HintOf(err) != "the broker cannot use its own certificate for the credential provider" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// What ends TLS before the server knows nothing of OAuth. Its refusal too says which
// certificate it was shown.
func TestRefusalOfACertificateBeforeTheServer(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>400 The SSL certificate error "+canary, http.StatusBadRequest)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	own := newIssuer(t).issue(t, "mintmark")
	c := oauth.Config{TokenURL: providertest.URL(t, server.URL+"/token"), ClientID: "mintmark", AuthStyle: "mtls", CA: bundle.Path(ca)}
	leased, err := open(t, c, providers.Env{Self: ownCertificate{self{key: own.key}, [][]byte{own.der}}}).Mint(t.Context(), providers.Request{})
	providertest.CheckAnswer(t, leased, err, canary)
	sum := sha256.Sum256(own.der)
	if want := "status 400 and no error code that OAuth knows; it was shown the certificate with x5t#S256 " + base64.RawURLEncoding.EncodeToString(sum[:]); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
