// Package unreached tells why there is no connection to a server: a closed list, since the
// text of such an error can quote what the server sent.
package unreached

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"syscall"

	"mintmark/internal/egress"
)

// Cause is why there is no connection.
type Cause uint8

// The causes. Unknown is everything else.
const (
	Unknown    Cause = iota
	Cancelled        // it was no longer waited for
	TimedOut         // nothing came in time
	Refused          // nobody listens at the port
	NoRoute          // no way leads to the address
	Barred           // egress.Control refused the address
	Alert            // the server ended TLS with an alert
	NoTLS            // what came is not TLS
	Unresolved       // the name has no address
	OtherName        // the certificate is for another name
	Expired          // the certificate has expired, or is not valid yet
	Unvouched        // no root vouches for the certificate, or it is unfit in another way
)

// Why returns the cause of an error of net, crypto/tls or net/http.
func Why(err error) Cause {
	var timeout net.Error
	var alert *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return NoRoute
	case errors.Is(err, egress.ErrRefused):
		return Barred
	case errors.As(err, &alert) && alert.Op == "remote error": // so crypto/tls calls an alert that came
		return Alert
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, new(tls.RecordHeaderError)):
		return NoTLS
	case errors.As(err, new(*net.DNSError)):
		return Unresolved
	case errors.As(err, &certificate):
		return unvouched(certificate.Err)
	}
	return Unknown
}

// unvouched returns what is wrong with a certificate.
func unvouched(err error) Cause {
	if errors.As(err, new(x509.HostnameError)) {
		return OtherName
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return Expired
	}
	return Unvouched
}
