package injector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// certified is a self-signed client certificate of a name.
func certified(t *testing.T, name string) providers.Material {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, body, body, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return providers.Material{Chain: [][]byte{der}, Key: providers.NewPrivateKey(key)}
}

// leases are credentials of one pool.
type leases struct {
	log  *audit.Log
	pool *providers.Pool
}

func newLeases(t *testing.T, material map[string]providers.Material) *leases {
	t.Helper()
	log, err := audit.Open(audit.Options{Directory: t.TempDir(), SigningKey: signingKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	entries := map[string]providers.Entry{}
	for name, m := range material {
		kind := providers.X509
		if !m.Token.IsZero() {
			kind = providers.Token
		}
		entries[name] = providers.Entry{Provider: fixed(providers.Seal(kind, m, providers.Terms{NotAfter: time.Now().Add(time.Hour)}))}
	}
	pool, err := providers.NewPool(entries, providers.PoolOptions{Log: log, FingerprintKey: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close(context.WithoutCancel(t.Context())) })
	return &leases{log, pool}
}

// call sends a request with the credential of a name, and returns the answer's body.
func (l *leases) call(ctx context.Context, up *Upstream, name string) (string, error) {
	return l.callBy(ctx, up, name, MTLS{})
}

func (l *leases) callBy(ctx context.Context, up *Upstream, name string, scheme Scheme) (string, error) {
	c, _, err := l.pool.Lease(ctx, name, providers.Request{})
	if err != nil {
		return "", err
	}
	receipt, err := l.log.Append(ctx, &audit.Record{Kind: audit.Decision, Allow: true, Credential: c.ID()})
	if err != nil {
		return "", err
	}
	out := &Outgoing{Method: http.MethodGet, URL: up.URL("/x", "/x", ""), Header: http.Header{}}
	if _, err := Inject(out, scheme, c, receipt); err != nil {
		return "", err
	}
	answer, err := up.Send(ctx, out, func() error { return nil })
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// asking is a server that answers with the name in the certificate it was shown,
// and knows each connection by that name and for how long it is open.
type asking struct {
	*httptest.Server
	mu   sync.Mutex
	open map[net.Conn]string // "": none was shown
}

func newAsking(t *testing.T, auth tls.ClientAuthType, http2 bool) (*asking, *Upstream) {
	t.Helper()
	a := &asking{open: map[net.Conn]string{}}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName+r.Header.Get("Authorization"))
	}))
	a.EnableHTTP2 = http2
	a.TLS = &tls.Config{ClientAuth: auth}
	a.Config.ConnState = func(c net.Conn, s http.ConnState) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if s == http.StateClosed {
			delete(a.open, c)
		} else {
			a.open[c] = ""
		}
	}
	a.StartTLS()
	t.Cleanup(a.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	up, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: target}, CA: bundle.Path(ca)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	return a, up
}

func (a *asking) connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}

func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-deadline:
			t.Fatalf("wait for %s: got none", what)
		case <-tick.C:
		}
	}
}

// Of many calls by two names at once, each arrives under its own, and each name
// uses its connections again.
func TestConnectionsOfACertificateAreItsOwn(t *testing.T) {
	for protocol, http2 := range map[string]bool{"http/1.1": false, "h2": true} {
		t.Run(protocol, func(t *testing.T) {
			server, up := newAsking(t, tls.RequireAnyClientCert, http2)
			l := newLeases(t, map[string]providers.Material{"ada": certified(t, "ada"), "bob": certified(t, "bob")})
			var all sync.WaitGroup
			for i := range 8 {
				name := []string{"ada", "bob"}[i%2]
				all.Go(func() {
					for range 25 {
						if got, err := l.call(t.Context(), up, name); got != name || err != nil {
							t.Errorf("a call of %s: arrived as %q, %v", name, got, err)
						}
					}
				})
			}
			all.Wait()
			if n := server.connections(); n < 2 || n >= 200 {
				t.Errorf("got %d connections of 200 calls, want those of each name used again", n)
			}
			up.clients.mu.Lock()
			defer up.clients.mu.Unlock()
			if len(up.clients.held) != 2 {
				t.Errorf("got connections of %d leases, want 2", len(up.clients.held))
			}
		})
	}
}

// When a lease ends its connections do, and those of the others stay.
func TestConnectionsEndWithTheLease(t *testing.T) {
	server, up := newAsking(t, tls.RequireAnyClientCert, true)
	l := newLeases(t, map[string]providers.Material{"ada": certified(t, "ada"), "bob": certified(t, "bob")})
	for _, name := range []string{"ada", "bob"} {
		if got, err := l.call(t.Context(), up, name); got != name || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if n := server.connections(); n != 2 {
		t.Fatalf("got %d connections, want 2", n)
	}
	l.pool.Drop(t.Context(), "ada")
	until(t, "the end of one connection", func() bool { return server.connections() == 1 })
	if got, err := l.call(t.Context(), up, "bob"); got != "bob" || err != nil || server.connections() != 1 {
		t.Errorf("the other: got %q, %v and %d connections, want it as before", got, err, server.connections())
	}
	// By the clock, too.
	up.clients.mu.Lock()
	up.clients.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	up.clients.mu.Unlock()
	until(t, "the end of the other", func() bool { return server.connections() == 0 })
	up.clients.mu.Lock()
	defer up.clients.mu.Unlock()
	if len(up.clients.held) != 0 {
		t.Errorf("got %d leases held, want none", len(up.clients.held))
	}
}

func TestClosingEndsTheConnectionsOfCertificates(t *testing.T) {
	server, up := newAsking(t, tls.RequireAnyClientCert, true)
	l := newLeases(t, map[string]providers.Material{"ada": certified(t, "ada")})
	if got, err := l.call(t.Context(), up, "ada"); got != "ada" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	up.Close()
	until(t, "the end of the connection", func() bool { return server.connections() == 0 })
}

// A server that asks for no certificate would serve the call as anybody's.
func TestNoCallWithoutTheCertificate(t *testing.T) {
	server, up := newAsking(t, tls.NoClientCert, true)
	served := false
	server.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })
	l := newLeases(t, map[string]providers.Material{"ada": certified(t, "ada")})
	_, err := l.call(t.Context(), up, "ada")
	if fault.KindOf(err) != fault.BadUpstream || !strings.Contains(fault.HintOf(err), "did not ask for the client certificate") || served {
		t.Errorf("got %v and served %t, want a refusal", err, served)
	}
}

func TestMTLSNeedsALease(t *testing.T) {
	_, up := newAsking(t, tls.RequireAnyClientCert, true)
	out := &Outgoing{Method: http.MethodGet, URL: up.URL("", "", ""), Header: http.Header{}}
	if err := (MTLS{}).Inject(out, opened(t, providers.X509, certified(t, "ada"))); err != nil {
		t.Fatal(err)
	}
	answer, err := up.Send(t.Context(), out, func() error { return nil })
	if err == nil {
		_ = answer.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "no lease") {
		t.Errorf("got %v, want a refusal, as nothing says when the connection must end", err)
	}
	plain := outgoing(nil) // http
	if err := (MTLS{}).Inject(plain, opened(t, providers.X509, certified(t, "ada"))); err == nil || plain.certificate != nil {
		t.Errorf("over http: got %v, want an error", err)
	}
}
