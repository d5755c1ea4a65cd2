package injector

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"mintmark/internal/egress"
	"mintmark/internal/fault"
	"mintmark/internal/unreached"
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

// notReached explains that there is no connection. A certificate that is not taken is
// mended where the upstream is registered: the record, which has the hint, says so too.
func notReached(err error) error {
	hint, next := "the upstream can't be reached", ""
	switch unreached.Why(err) {
	case unreached.OtherName:
		hint += ": its certificate is for another name than its url has"
		next = "compare the host in the upstream's url with the names in the certificate"
	case unreached.Expired:
		hint += ": its certificate has expired or is not valid yet"
		next = "have it renewed, and compare the clocks"
	case unreached.Unvouched:
		hint += ": its certificate is not vouched for by the roots that are registered for it (ca)"
		next = "name the PEM file of its roots as ca of the upstream"
	}
	if next != "" {
		err = fmt.Errorf("%w; %s", err, next)
	}
	return fault.Wrap("forward", fault.Unavailable, hint, err)
}
