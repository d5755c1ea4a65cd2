package broker_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// unhurriedMint is a provider whose one mint takes until it is told to go on.
type unhurriedMint struct{ goOn chan struct{} }

// Mint implements providers.Provider.
func (u unhurriedMint) Mint(ctx context.Context, _ providers.Request) (providers.Credential, error) {
	select {
	case <-u.goOn:
	case <-ctx.Done():
		return providers.Credential{}, fault.Wrap("lease", fault.Unavailable, "not told to go on", ctx.Err())
	}
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret("token-canary-of-the-unhurried")}, providers.Terms{NotAfter: time.Now().Add(time.Hour)}), nil
}

type acceptingListener struct {
	net.Listener
	count *atomic.Int64
}

// Accept implements net.Listener.
func (l acceptingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.count.Add(1)
	}
	return conn, err
}

// The connection to the upstream is there before the credential is. For a call that
// policy denies there is none.
func TestTheConnectionIsMadeWhileTheCredentialIs(t *testing.T) {
	t.Parallel()
	var connections, bytes atomic.Int64
	mint := unhurriedMint{make(chan struct{})}
	w := open(t, func(s *setup) { s.Minted = map[string]providers.Provider{"unhurried": mint} })
	address := serve(t, http.HandlerFunc(answerOK), func(l net.Listener) net.Listener {
		return acceptingListener{countingListener{l, &bytes}, &connections}
	})
	w.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n  late: {kind: unhurried}\n")
	if err := w.change("mintmark.yaml", "\nupstreams:\n", fmt.Sprintf("\nupstreams:\n  late: {url: %q, credentials: [{provider: late, scheme: bearer}]}\n", "http://"+address+"/mcp")); err != nil {
		t.Fatal(err)
	}
	w.wantRefused(w.call(to("/mcp/late"), body(toolCall("refund"))), want{200, -31403, "decide", fault.Denied, "the conditions were not met", "shop", false})
	if n := connections.Load(); n != 0 {
		t.Errorf("after a call that was denied: got %d connections to the upstream, want none", n)
	}
	answers := make(chan answer, 1)
	go func() { answers <- w.do(w.call(to("/mcp/late"))) }()
	w.await("a connection to the upstream", func() bool { return connections.Load() == 1 })
	if n := bytes.Load(); n != 0 {
		t.Errorf("while the credential is minted: the upstream got %d bytes, want none", n)
	}
	close(mint.goOn)
	if got := recv(t, "the answer", answers); got.err != nil || got.status != http.StatusOK {
		t.Errorf("got %d %q, %v", got.status, got.body, got.err)
	}
}

// A connection that is to show the credential is not made without it.
func TestNoConnectionIsMadeBeforeItsCertificate(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(answerOK))
	s.Listener = acceptingListener{s.Listener, &connections}
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	w := open(t, func(s *setup) { s.Minted = map[string]providers.Provider{"certificates": certificates{t}} })
	if err := os.WriteFile(filepath.Join(w.dir, "shown.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n  certs: {kind: certificates}\n")
	if err := w.change("mintmark.yaml", "\nupstreams:\n", fmt.Sprintf("\nupstreams:\n  shown: {url: %q, ca: shown.pem, credentials: [{provider: certs, scheme: mtls}]}\n", s.URL+"/mcp")); err != nil {
		t.Fatal(err)
	}
	w.wantOK(w.call(to("/mcp/shown")), "result")
	if n := connections.Load(); n != 1 {
		t.Errorf("got %d connections to the upstream, want the one that shows the certificate", n)
	}
}
