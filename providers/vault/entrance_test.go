package vault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// A login that is refused says by which method and where, what came, and what to compare, of
// each method its own; nothing of Vault's words.
func TestLoginsOfEveryMethodSayWhatToCompare(t *testing.T) {
	for method, tt := range map[string]struct {
		auth    func(*testing.T, *double) vault.Auth
		compare string
	}{
		"kubernetes": {func(t *testing.T, _ *double) vault.Auth {
			return vault.Auth{Kubernetes: &vault.Kubernetes{Role: "mintmark", TokenFile: file(t, "service-account")}}
		}, `compare role "mintmark", and the broker's service account with the role's bound_service_account_names and _namespaces`},
		"approle": {func(t *testing.T, d *double) vault.Auth {
			c, _ := wrapped(t, d, "wrapping")
			return c.Auth
		}, `compare role_id and the secret-id with those of role "mintmark": either may be revoked`},
		"cert": {func(t *testing.T, _ *double) vault.Auth {
			certificate, key := ownCertificate(t)
			return vault.Auth{Cert: &vault.Cert{Role: "mintmark", Certificate: file(t, certificate), Key: file(t, key)}}
		}, `compare role "mintmark" (empty: any), and its certificate and allowed names with those of the certificate that the broker shows`},
	} {
		const none = "the credential provider has no such login"
		enabled := fmt.Sprintf(": is the method %[1]s enabled at auth/%[1]s (vault auth list), in this namespace, and is it Vault that answers there?", method)
		for status, said := range map[int]struct{ hint, next string }{
			http.StatusBadRequest: {"the credential provider refused the broker", ": " + tt.compare + "; is the method set up at auth/" + method + "? Vault's own log says more"},
			http.StatusForbidden:  {"the credential provider refused the broker", enabled + " If so, " + tt.compare},
			http.StatusNotFound:   {none, enabled},
		} {
			t.Run(fmt.Sprint(method, " ", status), func(t *testing.T) {
				d := newDouble(t)
				appRole(t, d, new([]string))
				d.on("auth/"+method+"/login", answer(status, `{"errors":["`+canary+`"]}`))
				c := database(t, d)
				c.Auth = tt.auth(t, d)
				if c.Auth.Cert != nil { // is shown within TLS alone
					behind, ca := overTLS(t, d)
					c.Address, c.CA = providertest.URL(t, behind), ca
				}
				r := providertest.One(t, open(t, c, providers.Env{Self: &self{}}), canary)
				defer r.Stop(t)
				if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != said.hint {
					t.Errorf("hint: got %q, want %q", hint, said.hint)
				}
				r.Names(t, fmt.Sprintf("at the login, auth/%[1]s: asked PUT %[2]s/v1/auth/%[1]s/login: vault answered with status %[3]d%[4]s", method, c.Address.String(), status, said.next))
			})
		}
	}
}

// overTLS returns where d answers over TLS, and the roots of that.
func overTLS(t *testing.T, d *double) (address string, ca bundle.Path) {
	t.Helper()
	plain, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(plain))
	t.Cleanup(secure.Close)
	return secure.URL, file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
}

// ownCertificate returns one that signed itself, and its key, in PEM.
func ownCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mintmark"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}
