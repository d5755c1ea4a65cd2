package injector

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/coding"
	"mintmark/internal/fault"
	"mintmark/internal/http1"
)

// Upstream sends requests to one registered server over pooled connections. It
// follows no redirect, uses no proxy and asks for no compression, in so many words; what comes
// compressed all the same is decoded, or refused: an answer that can't be read can't
// be scrubbed.
type Upstream struct {
	url       *url.URL
	blank     http.Request // what is the same in each
	agent     []string     // the User-Agent of calls that have none
	coding    []string     // the Accept-Encoding of all
	dialer    *dialer
	timeout   time.Duration
	transport *http.Transport // of calls that any connection will do for
	used      atomic.Int64    // when transport was last used, in Unix nanoseconds: a call began, or over HTTP/1 ended
	clients   clients         // of the others
	plain     *http1.Client   // instead of transport, for an http URL; else nil
	decoding  *coding.Room    // of compressed answers
}

// idleTime is how long a connection is kept that no call is on.
const idleTime = 90 * time.Second

// Recheck is asked when the call has its connection and before anything is
// written to it: what was true when the call was judged may have ended while it
// waited for one.
type Recheck func() error

func unfitRoots(err error) error { return &bundle.Unfit{Field: "ca", Err: err} }

// OpenUpstream returns the Upstream of a registration. It opens no connection. Where its
// roots can't be read, the error wraps a *bundle.Unfit.
func OpenUpstream(u bundle.Upstream) (*Upstream, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if u.CA != "" {
		pem, err := os.ReadFile(string(u.CA))
		if err != nil {
			return nil, unfitRoots(fmt.Errorf("read the upstream's roots: expected a file of PEM certificates that the broker's user may read: %w: put it there, or name another", err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, unfitRoots(fmt.Errorf("read the upstream's roots: expected PEM certificates in %s, got none", u.CA))
		}
	}
	up := &Upstream{
		url:     u.URL.URL,
		agent:   []string{"mintmark"},
		coding:  []string{"identity"},
		blank:   http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1},
		dialer:  newDialer(config),
		timeout: u.Timeout.Duration,
		clients: clients{now: time.Now},

		decoding: coding.NewRoom(mostDecoding),
	}
	up.transport = up.connections(up.dialer.secure)
	if u.URL.Scheme == "http" {
		up.plain = http1.New(http1.Options{
			Dial:    func(ctx context.Context) (net.Conn, error) { return up.dialer.plain(ctx, "tcp", addressOf(u.URL.URL)) },
			Wait:    u.Timeout.Duration,
			MaxHead: 64 << 10,
			MaxIdle: 512,
			Idle:    idleTime,
		})
	}
	return up, nil
}

// addressOf returns the host and port of an http URL.
func addressOf(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80"))
}

// connections returns a pool of connections; secure makes those that are TLS. None
// is a Clone of another: their connections over HTTP/2 would be in one pool.
func (u *Upstream) connections(secure func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:            u.dialer.plain,
		DialTLSContext:         secure,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{MaxEncoderHeaderTableSize: 1}, // room for no header
		DisableCompression:     true,
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        idleTime,
		ResponseHeaderTimeout:  u.timeout,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         16 << 10,
		WriteBufferSize:        16 << 10,
	}
}

// URL returns the registered URL with a path after its own, given decoded and
// as it is to be sent, and a query. The result is read only.
func (u *Upstream) URL(path, escaped, query string) *url.URL {
	if path == "" && query == u.url.RawQuery {
		return u.url
	}
	target := *u.url
	if path != "" {
		target.RawPath = strings.TrimSuffix(u.url.EscapedPath(), "/") + escaped
		target.Path = strings.TrimSuffix(u.url.Path, "/") + path
	}
	target.RawQuery = query
	return &target
}

// Send writes out and returns the head of the answer with its body unread. It
// asks recheck right before. Errors are fault.Unavailable when nothing was
// written and the call may be repeated, and fault.BadUpstream when the upstream
// may have it; in both cases the Hint names no address. What it keeps for the
// call ends with ctx.
func (u *Upstream) Send(ctx context.Context, out *Outgoing, recheck Recheck) (*http.Response, error) {
	transport := u.transport
	if out.certificate == nil {
		u.used.Store(time.Now().UnixNano())
	} else {
		var err error
		if transport, err = u.clients.of(out.certificate, u.showing); err != nil {
			return nil, err
		}
	}
	resp, err := u.send(ctx, transport, out, recheck)
	if err != nil || out.answered == nil {
		return resp, err
	}
	again, err := out.answered(resp)
	if err != nil || again {
		_ = resp.Body.Close()
	}
	if err != nil {
		return nil, fault.Wrap("inject", fault.Internal, "the credential could not be put on the call once more", err)
	}
	if !again {
		return resp, nil
	}
	if resp, err = u.send(ctx, transport, out, recheck); err == nil {
		_, err = out.answered(resp) // which has asked once, and only looks
	}
	return resp, err
}

// showing returns connections that show c.
func (u *Upstream) showing(c *certificate) *http.Transport {
	return u.connections(u.dialer.showing(c))
}

// send writes out once.
func (u *Upstream) send(ctx context.Context, transport *http.Transport, out *Outgoing, recheck Recheck) (*http.Response, error) {
	if u.plain != nil {
		resp, err := u.sendPlain(ctx, out, recheck)
		return u.readable(out.Method, resp, err)
	}
	g := &guard{recheck: recheck, cancel: func(error) {}}
	g.trace.GotConn = g.got
	g.trace.WroteHeaders = func() { g.wrote.Store(true) }
	if transport == u.transport { // a call may take longer than a connection is kept after it
		g.trace.PutIdleConn = func(error) { u.used.Store(time.Now().UnixNano()) }
	}
	sending := ctx
	if u.url.Scheme == "https" { // else it is HTTP/1, where there is nothing to cancel
		sending, g.cancel = context.WithCancelCause(ctx)
	}
	stop := g.leaveAfter(u.timeout)
	// RoundTrip, and not a Client: a redirect is an answer for the agent.
	resp, err := transport.RoundTrip(u.request(httptrace.WithClientTrace(sending, &g.trace), out))
	stop()
	if err != nil {
		g.cancel(nil)
	}
	if g.refusal != nil {
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, g.refusal
	}
	if err != nil && g.late.Load() {
		return nil, unanswered(late, err)
	}
	if err != nil {
		return nil, sendError(ctx, err)
	}
	return u.readable(out.Method, resp, nil)
}

// sendPlain sends out over the client's own connection.
func (u *Upstream) sendPlain(ctx context.Context, out *Outgoing, recheck Recheck) (*http.Response, error) {
	if out.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = u.agent
	}
	// What recheck returns is a *fault.Error, which sendError leaves as it is.
	resp, err := u.plain.Send(ctx, &http1.Request{Method: out.Method, Target: out.URL.RequestURI(), Host: out.URL.Host, Header: out.Header, Body: out.Body}, recheck)
	if err != nil {
		return nil, sendError(ctx, err)
	}
	return resp, nil
}

// readable returns an answer that can be scrubbed, and refuses any other.
func (u *Upstream) readable(method string, resp *http.Response, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	if err := decode(method, resp, u.decoding); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// EndsWithAnswer reports whether nobody reads a request's body once the answer's is
// closed. net/http's transport may be writing it still.
func (u *Upstream) EndsWithAnswer() bool { return u.plain != nil }

// Close drops idle connections.
func (u *Upstream) Close() {
	u.transport.CloseIdleConnections()
	u.clients.close()
	if u.plain != nil {
		u.plain.Close()
	}
}

// request makes the net/http form of out. The transport repeats a request that
// it takes for replayable whenever a pooled connection ends under it, and each
// time the credential leaves once more: a body that can't be had again, even an
// empty one, tells it not to.
func (u *Upstream) request(ctx context.Context, out *Outgoing) *http.Request {
	r := u.blank.WithContext(ctx)
	r.Method, r.URL, r.Host, r.Header = out.Method, out.URL, out.URL.Host, out.Header
	out.Header["Accept-Encoding"] = u.coding // as http1 says by itself
	if out.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = u.agent
	}
	if len(out.Body) > 0 || bodyless(out.Method) {
		r.ContentLength = int64(len(out.Body))
		r.Body = io.NopCloser(bytes.NewReader(out.Body))
	}
	return r
}

// bodyless reports whether the transport sends no Content-Length for an empty
// body of this method.
func bodyless(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodDelete
}

func sendError(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if f, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
		return f
	}
	if ctx.Err() != nil {
		return fault.Wrap("forward", fault.Unavailable, "the call was cancelled before the upstream answered", ctx.Err())
	}
	if _, ok := errors.AsType[*dialError](err); ok {
		return notReached(err)
	}
	// From here on the upstream may have the call.
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return unanswered(late, err)
	}
	return unanswered("the upstream's answer could not be read; it may have carried the call out", err)
}
