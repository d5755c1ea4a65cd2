package providers

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/egress"
)

// maxAnswer bounds what an issuing system can make the broker read.
const maxAnswer = 1 << 20

var errRedirected = errors.New("the answer is a redirect, which is not followed")

// HTTPClient returns the client that a provider calls its system with: TLS 1.2
// or later against roots (nil: the system's), no proxy and nothing else from
// the environment, no redirects, none of the addresses that egress refuses, and a
// bound on time and size.
func HTTPClient(roots *x509.CertPool) *http.Client {
	return TLSClient(&tls.Config{RootCAs: roots})
}

// TLSClient is HTTPClient with more to say about TLS: a server's name, or the
// client's certificate, which is shown in a handshake alone, so that each
// exchange has its own and none shows one that has been replaced. It takes over c.
func TLSClient(c *tls.Config) *http.Client {
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: bounded{&http.Transport{
			DialContext:            (&net.Dialer{Timeout: 3 * time.Second, Control: egress.Control}).DialContext,
			TLSClientConfig:        c,
			DisableKeepAlives:      c.GetClientCertificate != nil,
			TLSHandshakeTimeout:    5 * time.Second,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConnsPerHost:    4,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		}},
	}
}

// bounded refuses redirects, which would carry the broker's own credentials to
// wherever the answer says, and cuts bodies that are too long.
type bounded struct{ next http.RoundTripper }

// RoundTrip does one exchange.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		_ = answer.Body.Close()
		return nil, errRedirected
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}

// Roots reads the PEM file that pins an issuing system's roots, or returns nil,
// for the system's, when path is empty.
func Roots(path bundle.Path) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path.String())
	if err != nil {
		return nil, unfitRoots(fmt.Errorf("read roots: expected a file of PEM certificates that the broker's user may read: %w: put it there, or name another", err))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, unfitRoots(fmt.Errorf("read roots: expected PEM certificates in %s, got none", path))
	}
	return pool, nil
}

// unfitRoots is an error of the field that every registration names its roots in.
func unfitRoots(err error) error { return &bundle.Unfit{Field: "ca", Err: err} }

// CheckEndpoint reports, as a configuration fault, an address that would carry
// the broker's credentials in the clear beyond this machine.
func CheckEndpoint(report func(field, want, got string), field string, u bundle.URL) {
	if u.URL != nil && u.Scheme != "https" && !u.Loopback() {
		report(field, "an https URL (http only for a loopback address)", u.Redacted())
	}
}
