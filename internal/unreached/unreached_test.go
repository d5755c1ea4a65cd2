package unreached_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"

	"mintmark/internal/egress"
	"mintmark/internal/unreached"
)

func TestWhy(t *testing.T) {
	refused := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for name, tt := range map[string]struct {
		err  error
		want unreached.Cause
	}{
		"another":               {errors.New("reset"), unreached.Unknown},
		"a reset":               {dial(syscall.ECONNRESET), unreached.Unknown},
		"left":                  {dial(context.Canceled), unreached.Cancelled},
		"a deadline":            {context.DeadlineExceeded, unreached.TimedOut},
		"a deadline of a read":  {os.ErrDeadlineExceeded, unreached.TimedOut},
		"a resolver that hangs": {dial(&net.DNSError{IsTimeout: true}), unreached.TimedOut},
		"refused":               {dial(syscall.ECONNREFUSED), unreached.Refused},
		"no host":               {dial(syscall.EHOSTUNREACH), unreached.NoRoute},
		"no network":            {dial(syscall.ENETUNREACH), unreached.NoRoute},
		"metadata":              {dial(egress.Control("tcp", "169.254.169.254:80", nil)), unreached.Barred},
		"no such name":          {dial(&net.DNSError{IsNotFound: true}), unreached.Unresolved},
		"another name":          {refused(x509.HostnameError{Certificate: &x509.Certificate{}}), unreached.OtherName},
		"expired":               {refused(x509.CertificateInvalidError{Reason: x509.Expired}), unreached.Expired},
		"another use":           {refused(x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}), unreached.Unvouched},
		"no root":               {refused(x509.UnknownAuthorityError{}), unreached.Unvouched},
		"plain HTTP":            {http.ErrSchemeMismatch, unreached.NoTLS},
	} {
		if got := unreached.Why(fmt.Errorf("dial: %w", tt.err)); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
	if got := unreached.Why(nil); got != unreached.Unknown {
		t.Errorf("nil: got %d", got)
	}
}

// What crypto/tls says of a server is known by its form alone: these are its own errors.
func TestWhyOfTLS(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	asking := httptest.NewUnstartedServer(http.NotFoundHandler())
	asking.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
	asking.StartTLS()
	defer asking.Close()
	roots := x509.NewCertPool()
	roots.AddCert(asking.Certificate())
	for _, tt := range []struct {
		server *httptest.Server
		config *tls.Config
		want   unreached.Cause
	}{
		{plain, &tls.Config{}, unreached.NoTLS},
		{asking, &tls.Config{}, unreached.Unvouched},
		{asking, &tls.Config{RootCAs: roots}, unreached.Alert},
		{asking, &tls.Config{RootCAs: roots, ServerName: "other.example"}, unreached.OtherName},
	} {
		conn, err := (&tls.Dialer{Config: tt.config}).DialContext(t.Context(), "tcp", tt.server.Listener.Addr().String())
		if err == nil {
			conn.Close()
		}
		if got := unreached.Why(err); err == nil || got != tt.want {
			t.Errorf("got %d of %v, want %d", got, err, tt.want)
		}
	}
}
