package providers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"mintmark/internal/egress"
	"mintmark/internal/fault"
)

// Unreachable explains an exchange with an issuing system that gave no answer.
// It names the cause in its own words, because the text of a transport error
// can quote what the system sent. The operator reads also what was asked, and what
// to look at next.
func Unreachable(system string, err error) *fault.Error {
	s := silenceOf(err)
	f := fault.Wrap("lease", fault.Unavailable, system+" "+s.reason, s.told())
	sent, ok := errors.AsType[*url.Error](err)
	if !ok {
		return f
	}
	named, _ := errors.AsType[*fault.Error](Asked(sent.Op, sent.URL, f))
	return named
}

// silence is why there was no answer.
type silence struct {
	reason string // for an agent too
	cause  error  // may be nil
	next   string // what the operator looks at; "" where the reason says it
}

func (s silence) told() error {
	switch {
	case s.next == "":
		return s.cause
	case s.cause == nil:
		return errors.New(s.next)
	}
	return fmt.Errorf("%w; %s", s.cause, s.next)
}

// unresolved is for the operator, and nil for a name that is none of a host.
func unresolved(name string) error {
	plain := strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
	if name == "" || len(name) > 253 || !plain {
		return nil
	}
	return fmt.Errorf("no address of %q", name)
}

func silenceOf(err error) silence {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	var tooLong *http.MaxBytesError
	var alert *net.OpError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.Is(err, context.Canceled):
		return silence{"was no longer waited for", context.Canceled, ""}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return silence{"did not answer in time", context.DeadlineExceeded, "does a firewall let the broker there? it uses no proxy"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return silence{"refuses connections", syscall.ECONNREFUSED, "does it run, and listen at this port?"}
	case errors.Is(err, egress.ErrRefused):
		return silence{"has an address that is called on no account, such as that of a cloud's metadata", egress.ErrRefused, ""}
	case errors.Is(err, errRedirected):
		return silence{"answered with a redirect, which is not followed", errRedirected, "register where it leads to"}
	case errors.Is(err, errNoSVID):
		return silence{"is to be shown the broker's X.509-SVID, and the broker has none", errNoSVID, ""}
	case errors.As(err, &alert) && alert.Op == "remote error": // its text is one of TLS's own
		return silence{"ended TLS with an alert, as it does when it does not take the certificate that it is shown", alert.Err, ""}
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &noTLS):
		return silence{"does not speak TLS at its https address: is it an http one?", nil, ""}
	case errors.As(err, &tooLong):
		return silence{fmt.Sprintf("answered with more than %d bytes", tooLong.Limit), nil, "is it this system that answers there?"}
	case errors.As(err, &dns):
		return silence{"has a host name that does not resolve", unresolved(dns.Name), "compare the name, and ask this machine's resolver for it"}
	case errors.As(err, &certificate):
		return unvouched(certificate)
	}
	return silence{"gave no usable answer", nil, "there was none, or none that can be read: is it this system that listens there?"}
}

// unvouched says what is wrong with a certificate, in words of our own.
func unvouched(c *tls.CertificateVerificationError) silence {
	if errors.As(c.Err, new(x509.HostnameError)) {
		return silence{"shows a certificate for another name", nil, "compare the host in its address, or server_name where there is one, with the names in the certificate"}
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](c.Err); ok && invalid.Reason == x509.Expired {
		return silence{"shows a certificate that has expired or is not valid yet", nil, "renew it there, and compare the clocks"}
	}
	return silence{"shows a certificate that the configured roots do not vouch for", nil, "compare ca, the PEM file of its roots"}
}
