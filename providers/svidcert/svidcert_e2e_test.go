//go:build e2e

package svidcert_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"mintmark/attest/trust"
	"mintmark/broker/bundle"
	"mintmark/internal/testenv"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

const brokerID = "spiffe://example.org/mintmark"

// upstream is a TLS server that lets in the broker alone, by SPIRE's bundle, and
// says who called.
func upstream(t *testing.T, spire *testenv.SPIREDomain) *httptest.Server {
	t.Helper()
	id := spiffeid.RequireFromString(brokerID)
	authorities, err := spiffebundle.Parse(id.TrustDomain(), spire.Bundle(t))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].URIs[0].String())
	}))
	s.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert,
		VerifyPeerCertificate: tlsconfig.VerifyPeerCertificate(authorities, tlsconfig.AuthorizeID(id)),
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// call asks s with a certificate and returns whom s saw.
func call(ctx context.Context, t *testing.T, s *httptest.Server, certificate tls.Certificate) (string, error) {
	t.Helper()
	base := s.Client().Transport.(*http.Transport).Clone()
	base.TLSClientConfig.Certificates = []tls.Certificate{certificate}
	defer base.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: base}).Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	seen, err := io.ReadAll(answer.Body)
	return string(seen), err
}

func TestTheOwnSVIDOfTheRealSPIRE(t *testing.T) {
	t.Parallel()
	spire := testenv.SPIRE(t, testenv.SPIREOptions{X509TTL: 40 * time.Second})
	spire.Register(t, brokerID)
	id := spiffeid.RequireFromString(brokerID)
	self, err := trust.Open(t.Context(), bundle.Trust{WorkloadAPI: spire.Addr}, id.TrustDomain(), trust.Options{Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = self.Close() })
	s := upstream(t, spire)

	entry := providers.Entry{Provider: open(t, providers.Env{Self: self}), MaxAge: 2 * time.Second}
	r := providertest.New(t, map[string]providers.Entry{"db": entry}, nil)
	defer r.Stop(t)
	use := func() string {
		t.Helper()
		leased, _ := r.Must(t, providers.Request{})
		opened := r.Reveal(t, leased)
		if seen, err := call(t.Context(), t, s, tls.Certificate{Certificate: opened.Chain(), PrivateKey: opened.Key()}); err != nil || seen != brokerID {
			t.Fatalf("call: got %q, %v, want %s", seen, err, brokerID)
		}
		return leased.Fingerprint()
	}
	first := use()
	awaitAnother(t, first, use)

	stranger, err := trustdomain.New("example.org", trustdomain.Options{}).X509SVID(id, trustdomain.X509Request{})
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := call(t.Context(), t, s, tls.Certificate{Certificate: [][]byte{stranger.Certificates[0].Raw}, PrivateKey: stranger.PrivateKey}); err == nil {
		t.Errorf("a stranger of the same name: got in as %q, want it refused", seen)
	}
}

// awaitAnother returns when use gives another certificate than first: SPIRE
// replaces one when half of its life is over.
func awaitAnother(t *testing.T, first string, use func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for use() == first {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("rotation: got the same certificate for two minutes, want the next one")
		}
	}
}
