package injector

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

// fixed is a provider of one credential.
type fixed providers.Credential

func (f fixed) Mint(context.Context, providers.Request) (providers.Credential, error) {
	return providers.Credential(f), nil
}

func signingKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// toOne dials one address, whatever is asked for.
type toOne struct{ address string }

func (o *toOne) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, o.address)
}

// secretsFrom returns the Secrets of texts, which are their name.
func secretsFrom(texts ...string) *Secrets {
	parts := make([][]byte, len(texts))
	for i, text := range texts {
		parts[i] = []byte(text)
	}
	s := secretsOfParts(parts...)
	s.Named(strings.Join(texts, " and "))
	return s
}

// server answers the same to everything, and counts its connections.
type server struct{ connections atomic.Int64 }

// ServeHTTP implements http.Handler.
func (*server) ServeHTTP(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }

func (s *server) connState(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.connections.Add(1)
	}
}

// serving returns two upstreams that h is: by HTTP/1, and by HTTP/2.
func serving(t *testing.T, h http.Handler) (all [2]*Upstream) {
	t.Helper()
	plain, secure := httptest.NewUnstartedServer(h), httptest.NewUnstartedServer(h)
	secure.EnableHTTP2 = true
	for _, s := range []*httptest.Server{plain, secure} {
		if counts, ok := h.(interface {
			connState(net.Conn, http.ConnState)
		}); ok {
			s.Config.ConnState = counts.connState
		}
	}
	plain.Start()
	secure.StartTLS()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, s := range []*httptest.Server{plain, secure} {
		address, err := url.Parse(s.URL + "/x")
		if err != nil {
			t.Fatal(err)
		}
		u, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: address}, CA: bundle.Path(ca), Timeout: bundle.Duration{Duration: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			u.Close()
			s.Close()
		})
		all[i] = u
	}
	return all
}
