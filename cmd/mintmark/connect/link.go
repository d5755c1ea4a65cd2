package connect

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"mintmark/attest/trust"
)

// link is the way to the broker: over TLS with this process's X.509-SVID, or
// through a Unix socket with a JWT-SVID. It follows no redirect and no proxy.
// It is safe for concurrent use.
type link struct {
	address  address
	identity *identity
	broker   spiffeid.ID    // zero: any of the own trust domain
	roots    *x509.CertPool // the broker's certificate is of the Web PKI; nil: it is an SVID
	audience string

	mu       sync.Mutex
	current  *http.Transport
	previous *http.Transport // before the SVID was renewed; what is under way on it goes on
	svid     *x509svid.SVID  // that current shows
}

func newLink(o Options) (*link, error) {
	l := &link{audience: o.Audience}
	var errs [5]error
	l.address, errs[0] = parseAddress(o.Broker, o.Upstream)
	errs[1] = checkWorkloadAPI(o.WorkloadAPI)
	l.broker, errs[2] = brokerID(o.BrokerID)
	l.roots, errs[3] = readCA(o.CA)
	errs[4] = checkWhom(l.address, o)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	l.identity = newIdentity(o)
	return l, nil
}

func (l *link) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range []*http.Transport{l.current, l.previous} {
		if t != nil {
			t.CloseIdleConnections()
		}
	}
	return l.identity.close()
}

// send makes one request. sent is called once it is on its way. An error is a
// *refusal, or what ended ctx.
func (l *link) send(ctx context.Context, method string, body []byte, header http.Header, sent func()) (*http.Response, error) {
	t, err := l.identity.get(ctx)
	if err != nil {
		return nil, err
	}
	transport, err := l.transport(t)
	if err != nil {
		return nil, err
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent() }})
	r, err := http.NewRequestWithContext(ctx, method, l.address.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	if l.address.socket != "" {
		token, err := t.JWTSVID(ctx, l.audience)
		if err != nil {
			return nil, refusef(http.StatusServiceUnavailable, "this program gets no token to show to the broker: %s", whyNone(err))
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, l.explain(ctx, err)
	}
	return resp, nil
}

// transport returns the one that shows the SVID that is in force. A connection
// is judged by the certificate it was opened with, so a renewed SVID needs new
// connections.
func (l *link) transport(t *trust.Trust) (*http.Transport, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.address.socket != "" {
		if l.current == nil {
			l.current = l.overSocket()
		}
		return l.current, nil
	}
	svid, err := t.GetX509SVID()
	if err != nil {
		return nil, refusef(http.StatusServiceUnavailable, "this program has no identity to show to the broker: %v", err)
	}
	if svid == l.svid {
		return l.current, nil
	}
	if l.current != nil {
		l.current.CloseIdleConnections()
	}
	l.previous, l.current, l.svid = l.current, l.overTLS(t, svid), svid
	return l.current, nil
}

func (l *link) overSocket() *http.Transport {
	t := newTransport()
	t.MaxIdleConnsPerHost = maxRunning
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "unix", l.address.socket)
	}
	return t
}

func (l *link) overTLS(t *trust.Trust, svid *x509svid.SVID) *http.Transport {
	transport := newTransport()
	transport.ForceAttemptHTTP2 = true
	// A laptop wakes up to connections that are none any more.
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
	transport.TLSClientConfig = l.tlsConfig(t, svid)
	return transport
}

func (l *link) tlsConfig(t *trust.Trust, svid *x509svid.SVID) *tls.Config {
	if l.roots != nil {
		config := tlsconfig.MTLSWebClientConfig(svid, l.roots)
		config.MinVersion = tls.VersionTLS13
		return config
	}
	authorize := tlsconfig.AuthorizeMemberOf(svid.ID.TrustDomain())
	if !l.broker.IsZero() {
		authorize = tlsconfig.AuthorizeID(l.broker)
	}
	config := tlsconfig.MTLSClientConfig(svid, t, authorize)
	config.MinVersion = tls.VersionTLS13
	verify := config.VerifyPeerCertificate
	config.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error { //nolint:gosec // G123: no session is resumed, there is no cache
		if err := verify(raw, chains); err != nil {
			return &strangerError{err}
		}
		return nil
	}
	return config
}

const dialTime = 10 * time.Second

func newTransport() *http.Transport {
	return &http.Transport{
		DisableCompression:  true,
		DialContext:         (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSHandshakeTimeout: dialTime,
		IdleConnTimeout:     90 * time.Second,
	}
}

// strangerError says that who answered is not the broker.
type strangerError struct{ err error }

// Error returns who was met, or why that is not known.
func (e *strangerError) Error() string { return e.err.Error() }

// explain says what came of a request that got no answer, and what to do.
func (l *link) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stranger := func(who error) error {
		id := "--broker-id"
		if !l.broker.IsZero() {
			id += " (" + l.broker.String() + ")"
		}
		return refusef(http.StatusBadGateway, "the server at %s is not the broker that was expected: %v; check --broker, %s and --ca", l.address, who, id)
	}
	if e, ok := errors.AsType[*strangerError](err); ok {
		return stranger(e)
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return stranger(e.Err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return stranger(errors.New("it does not speak TLS"))
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" && errors.Is(e.Err, fs.ErrPermission) {
		return refusef(http.StatusServiceUnavailable, "can't reach the broker at %s: this user may not write to the socket: let it be in the group that the socket belongs to (mode 0660), and into the socket's directory", l.address)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return refusef(http.StatusServiceUnavailable, "can't reach the broker at %s: %v; is it running, and is --broker right?", l.address, e.Err)
	}
	return refusef(http.StatusServiceUnavailable, "the connection to the broker at %s ended before the answer; whether the call was carried out is not known", l.address)
}
