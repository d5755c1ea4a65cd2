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
// mended where the upstream is registered: the hint says so. What else it was is on record
// alone, for it tells of the network that the broker is in.
func notReached(err error) error {
	hint, next, why := "the upstream can't be reached", "", unreached.Why(err)
	switch why {
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
	return &fault.Error{Op: "forward", Kind: fault.Unavailable, Hint: hint, Why: onRecord(why), Err: err}
}

// onRecord is what the record says of a cause that the hint does not name.
func onRecord(why unreached.Cause) string {
	switch why {
	case unreached.TimedOut:
		return "no connection was made in time"
	case unreached.Refused:
		return "it refuses connections"
	case unreached.NoRoute:
		return "no way leads to its address"
	case unreached.Barred:
		return "its address is one that is called on no account, such as that of a cloud's metadata"
	case unreached.Alert:
		return "it ended TLS with an alert, as it does when it does not take the certificate that it is shown"
	case unreached.NoTLS:
		return "it does not speak TLS"
	case unreached.Unresolved:
		return "its host name does not resolve"
	}
	return ""
}
