package injector

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"mintmark/internal/egress"
)

// dialer makes the connections to an upstream, to no address that is no upstream's.
type dialer struct {
	net net.Dialer
	tls *tls.Config
}

// dialTime bounds the making of a connection, with TLS.
const dialTime = 5 * time.Second

func newDialer(config *tls.Config) *dialer {
	return &dialer{net: net.Dialer{Timeout: dialTime, KeepAlive: 30 * time.Second, Control: egress.Control}, tls: config}
}

func (d *dialer) plain(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}

func (d *dialer) secure(ctx context.Context, network, addr string) (net.Conn, error) {
	if leave, ok := ctx.Value(ahead{}).(context.CancelFunc); ok {
		leave()
	}
	conn, err := (&tls.Dialer{NetDialer: &d.net, Config: d.tls}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}

// dialError is the failure to make a connection: nothing was written.
type dialError struct{ err error }

func (e *dialError) Error() string { return "dial: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }
