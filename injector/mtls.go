package injector

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// MTLS shows a client certificate on the connection to the upstream (RFC 8446,
// section 4.4.2). Each lease has connections of its own, on which no other call
// goes.
type MTLS struct{}

// Owns reports false: nothing in a request carries the credential. What proxies
// say about client certificates in headers is stripped in any case.
func (MTLS) Owns(Place, string) bool { return false }

// Inject has the request sent on a connection of the credential's. It returns an
// error for a credential without a certificate and its key.
func (MTLS) Inject(out *Outgoing, c providers.Opened) error {
	if len(c.Chain()) == 0 || c.Key() == nil {
		return fmt.Errorf("scheme mtls: expected a credential with a certificate and its key, got none")
	}
	if c.Token() != "" {
		return fmt.Errorf("scheme mtls: expected a certificate alone, got one with a token that is bound to it; scheme bearer sends both")
	}
	shown, err := showing(out, c)
	if err != nil {
		return fmt.Errorf("scheme mtls: %w", err)
	}
	out.certificate = shown
	return nil
}

// showing returns the certificate of c for the connection of out. It returns an error
// where that is none of TLS.
func showing(out *Outgoing, c providers.Opened) (*certificate, error) {
	if out.URL.Scheme != "https" {
		return nil, fmt.Errorf("expected an https upstream, got %s", out.URL.Scheme)
	}
	return &certificate{show: func() *tls.Certificate { return &tls.Certificate{Certificate: c.Chain(), PrivateKey: c.Key()} }}, nil
}

// certificate is what a connection must show, and whose it is. It hides the key as
// a providers.Secret does.
type certificate struct {
	lease providers.Credential
	show  func() *tls.Certificate
}

// sweep is how often connections are looked through for those whose lease ended.
const sweep = time.Second

// clients are the connections that show a certificate, apart for each lease: what
// was made with one agent's certificate never carries another's call. They end
// with the lease.
type clients struct {
	mu    sync.Mutex
	held  map[string]client // by the lease's id
	timer *time.Timer       // runs while any is held
	now   func() time.Time
}

type client struct {
	lease     providers.Credential
	transport *http.Transport
}

// of returns the connections of a certificate; open makes the first.
func (k *clients) of(c *certificate, open func(*certificate) *http.Transport) (*http.Transport, error) {
	if c.lease.IsZero() {
		return nil, fault.New("forward", fault.Internal, "the client certificate belongs to no lease")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	one, ok := k.held[c.lease.ID()]
	if !ok {
		one = client{c.lease, open(c)}
		if k.held == nil {
			k.held = make(map[string]client)
		}
		k.held[c.lease.ID()] = one
		if len(k.held) == 1 {
			k.timer = time.AfterFunc(sweep, k.sweep)
		}
	}
	return one.transport, nil
}

// sweep ends the connections whose lease ended. A call under way on one goes on,
// as the answer to a call does; its connection carries no other.
func (k *clients) sweep() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, one := range k.held {
		if one.lease.Ended(k.now()) {
			one.transport.CloseIdleConnections()
			delete(k.held, id)
		}
	}
	if len(k.held) > 0 {
		k.timer.Reset(sweep)
	}
}

// close ends all that are idle.
func (k *clients) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, one := range k.held {
		one.transport.CloseIdleConnections()
		delete(k.held, id)
	}
	if k.timer != nil {
		k.timer.Stop()
	}
}

// showing returns a dialer like d whose connections show c. A server that does not
// ask for a certificate would take the call for an unproven one: it gets none.
func (d *dialer) showing(c *certificate) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		asked := false
		config := d.tls.Clone()
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return c.show(), nil
		}
		conn, err := (&tls.Dialer{NetDialer: &d.net, Config: config}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, &dialError{err}
		}
		if !asked {
			_ = conn.Close()
			return nil, fault.New("forward", fault.BadUpstream, "the upstream did not ask for the client certificate that is registered for it")
		}
		return conn, nil
	}
}
