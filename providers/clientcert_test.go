package providers_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// rotating is an identity whose X.509-SVID is another each time.
type rotating struct {
	providertest.Self

	domain *trustdomain.Domain
}

func (r rotating) X509SVID(context.Context) ([][]byte, crypto.Signer, error) {
	svid, err := r.domain.X509SVID(r.domain.ID("broker"), trustdomain.X509Request{})
	if err != nil {
		return nil, nil, err
	}
	return [][]byte{svid.Certificates[0].Raw}, svid.PrivateKey, nil
}

func TestHTTPClientAsShowsTheSVIDOfNow(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	authorities := x509.NewCertPool()
	for _, a := range domain.Bundle().X509Authorities() {
		authorities.AddCert(a)
	}
	seen := map[string]bool{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaf := r.TLS.PeerCertificates[0]
		if len(leaf.URIs) == 1 && leaf.URIs[0].String() == "spiffe://example.org/broker" {
			seen[leaf.SerialNumber.String()] = true
		}
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities, MinVersion: tls.VersionTLS13}
	s.StartTLS()
	defer s.Close()
	path := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := providers.Roots(bundle.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	client := providers.HTTPClientAs(roots, rotating{domain: domain})
	for range 3 {
		if err := get(t.Context(), t, client, s.URL); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("got %d certificates of the broker, want one for each of 3 requests", len(seen))
	}
	for name, self := range map[string]providers.IdentitySource{"none": nil, "one without a certificate": providertest.Self{}} {
		err := get(t.Context(), t, providers.HTTPClientAs(roots, self), s.URL)
		if got := fault.HintOf(providers.Unreachable("it", err)); got != "it is to be shown the broker's X.509-SVID, and the broker has none" {
			t.Errorf("identity %s: got %q, %v", name, got, err)
		}
	}
}

func TestServerThatTakesNoSuchCertificate(t *testing.T) {
	known, stranger := trustdomain.New("example.org", trustdomain.Options{}), trustdomain.New("example.org", trustdomain.Options{})
	authorities := x509.NewCertPool()
	for _, a := range known.Bundle().X509Authorities() {
		authorities.AddCert(a)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	// Before TLS 1.3 the client waits for the server's verdict, and so always sees it.
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities, MaxVersion: tls.VersionTLS12}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for name, tt := range map[string]struct {
		client *http.Client
		alert  string
	}{
		"none":      {providers.HTTPClient(roots), "tls: handshake failure"},
		"another's": {providers.HTTPClientAs(roots, rotating{domain: stranger}), "tls: unknown certificate authority"},
	} {
		f := providers.Unreachable("it", get(t.Context(), t, tt.client, s.URL))
		if f.Hint != "it ended TLS with an alert, as it does when it does not take the certificate that it is shown" || !strings.Contains(f.Error(), tt.alert) {
			t.Errorf("%s: got %q, want the alert %q", name, f, tt.alert)
		}
	}
}
