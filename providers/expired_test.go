package providers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mintmark/providers"
)

// A system's certificate that its own roots vouch for and whose time is over, or not begun,
// is said to be so, with what to do.
func TestACertificateThatHasExpiredIsSaidToBe(t *testing.T) {
	const expired = "lease: vault shows a certificate that has expired or is not valid yet: asked GET ADDRESS: renew it there, and compare the clocks"
	for name, tt := range map[string]struct {
		begins, ends time.Duration
		want         string
	}{
		"expired":       {-2 * time.Hour, -time.Hour, expired},
		"not valid yet": {time.Hour, 2 * time.Hour, expired},
		"of its time":   {-time.Hour, time.Hour, ""},
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vault"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			NotBefore: time.Now().Add(tt.begins), NotAfter: time.Now().Add(tt.ends), IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		s.StartTLS()
		defer s.Close()
		roots := x509.NewCertPool()
		roots.AddCert(leaf)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := providers.HTTPClient(roots).Do(r)
		got := ""
		if err != nil {
			got = strings.ReplaceAll(providers.Unreachable("vault", err).Error(), s.URL, "ADDRESS")
		} else {
			_ = answer.Body.Close()
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
