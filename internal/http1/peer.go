package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// peer is a client's connection.
type peer struct {
	server *Server
	socket net.Conn
	net    net.Conn             // socket, or TLS over it
	handed bool                 // to who serves HTTP/2
	served bool                 // a request came
	rests  atomic.Bool          // it is between two requests
	state  *tls.ConnectionState // nil: plain
	from   string               // address
	in     input
	out    []byte // of the answer, not yet written
	spare  []byte
	header http.Header  // of the answer, one after another
	blank  http.Request // with the connection's context
	cancel context.CancelFunc
	watch  watch

	read, write deadline
}

func newPeer(s *Server, nc net.Conn) *peer {
	p := &peer{server: s, socket: nc, net: nc, from: nc.RemoteAddr().String(), header: make(http.Header, 8)}
	ctx, cancel := context.WithCancel(context.Background())
	p.blank, p.cancel = *(&http.Request{}).WithContext(ctx), cancel
	p.read.set, p.write.set = nc.SetReadDeadline, nc.SetWriteDeadline
	p.in.from = reader{p}
	p.watch.open(p)
	return p
}

// deadline is one that is set when it is about to be needed: most reads and writes
// need no waiting, and it changes several times a request.
type deadline struct {
	set  func(time.Time) error
	want time.Time
	has  time.Time
}

// apply sets the deadline, unless it has been within the last second: each is seconds
// long.
func (d *deadline) apply() error {
	if d.want.Equal(d.has) || !d.want.IsZero() && !d.has.IsZero() && d.want.Sub(d.has).Abs() < time.Second {
		return nil
	}
	d.has = d.want
	return d.set(d.want)
}

// reader reads from the connection by the deadline.
type reader struct{ p *peer }

func (r reader) Read(b []byte) (int, error) {
	if err := r.p.read.apply(); err != nil {
		return 0, err
	}
	return r.p.net.Read(b)
}

// serve is a connection's life.
func (p *peer) serve() {
	defer p.server.remove(p)
	defer p.cancel()
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint,err113 // the very value, as in net/http
			p.server.logger().ErrorContext(context.Background(), "a handler panicked", slog.String("stack", string(debug.Stack())))
		}
		if !p.handed {
			_ = p.net.Close()
		}
	}()
	if p.server.TLS != nil {
		if err := p.handshake(); err != nil || p.handed {
			p.debug("handshake", err)
			return
		}
	}
	for p.next() {
	}
}

func (p *peer) debug(step string, err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		p.server.logger().DebugContext(context.Background(), "a connection ended", slog.String("step", step), slog.String("from", p.from), slog.Any("err", err))
	}
}

// handshake agrees on TLS, and hands the connection over where that said HTTP/2.
func (p *peer) handshake() error {
	if !p.server.rest(p, true) { // it may be ended
		return http.ErrServerClosed
	}
	secure := tls.Server(p.socket, p.server.TLS)
	ctx, cancel := context.WithTimeout(context.Background(), p.server.HeadTime)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		if isHTTP(err) {
			p.refuse(errNoTLS)
		}
		return err
	}
	state := secure.ConnectionState()
	p.net, p.state = secure, &state
	p.read.set, p.write.set = secure.SetReadDeadline, secure.SetWriteDeadline
	if p.server.second == nil || state.NegotiatedProtocol != "h2" {
		return nil
	}
	if p.handed = p.server.handover(ctx, secure); !p.handed {
		return errors.New("expected someone to serve HTTP/2, got none in time")
	}
	return nil
}

// isHTTP reports whether a handshake failed because it began with a request.
func isHTTP(err error) bool {
	begun, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || begun.Conn == nil {
		return false
	}
	switch string(begun.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO":
		return true
	}
	return false
}

// next serves one request, and returns whether another may follow.
func (p *peer) next() bool {
	if !p.await() {
		return false
	}
	h, err := p.in.readRequest(p.server.MaxHead)
	if err != nil {
		p.refuse(err)
		return false
	}
	x := &exchange{peer: p}
	if err := x.begin(h); err != nil {
		p.refuse(err)
		return false
	}
	x.respond()
	return x.end()
}

// await returns true when a request has begun and is to be served.
func (p *peer) await() bool {
	if p.server.ends() {
		return false
	}
	if len(p.in.buffered()) == 0 {
		if !p.server.rest(p, true) {
			return false
		}
		wait := p.server.Idle
		if !p.served { // who connects has something to say
			wait = p.server.HeadTime
		}
		p.read.want = time.Now().Add(wait)
		p.in.rest()
		err := p.in.fill(p.server.MaxHead)
		if !p.server.rest(p, false) || err != nil {
			p.debug("read", err)
			return false
		}
	}
	p.served = true
	p.read.want = time.Now().Add(p.server.HeadTime)
	return true
}
