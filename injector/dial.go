package injector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"mintmark/internal/egress"
	"mintmark/internal/fault"
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

// unreached explains that there is no connection. A certificate that is not taken is
// mended where the upstream is registered: the record, which has the hint, says so too.
func unreached(err error) error {
	const hint = "the upstream can't be reached"
	certificate, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok {
		return fault.Wrap("forward", fault.Unavailable, hint, err)
	}
	if errors.As(certificate.Err, new(x509.HostnameError)) {
		return fault.Wrap("forward", fault.Unavailable, hint+": its certificate is for another name than its url has",
			fmt.Errorf("%w; compare the host in the upstream's url with the names in the certificate", err))
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](certificate.Err); ok && invalid.Reason == x509.Expired {
		return fault.Wrap("forward", fault.Unavailable, hint+": its certificate has expired or is not valid yet",
			fmt.Errorf("%w; have it renewed, and compare the clocks", err))
	}
	return fault.Wrap("forward", fault.Unavailable, hint+": its certificate is not vouched for by the roots that are registered for it (ca)",
		fmt.Errorf("%w; name the PEM file of its roots as ca of the upstream", err))
}
