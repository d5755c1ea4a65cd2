package providers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"mintmark/internal/egress"
	"mintmark/internal/fault"
	"mintmark/internal/unreached"
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
	var tooLong *http.MaxBytesError
	switch {
	case errors.Is(err, errRedirected):
		return silence{"answered with a redirect, which is not followed", errRedirected, "register where it leads to"}
	case errors.Is(err, errNoSVID):
		return silence{"is to be shown the broker's X.509-SVID, and the broker has none", errNoSVID, ""}
	case errors.As(err, &tooLong):
		return silence{fmt.Sprintf("answered with more than %d bytes", tooLong.Limit), nil, "is it this system that answers there?"}
	}
	return unconnected(unreached.Why(err), err)
}

// unconnected says why there was no connection. Of err it shows no more than is of our own
// making, or of a library's.
func unconnected(why unreached.Cause, err error) silence {
	switch why {
	case unreached.Cancelled:
		return silence{"was no longer waited for", context.Canceled, ""}
	case unreached.TimedOut:
		return silence{"did not answer in time", context.DeadlineExceeded, "does a firewall let the broker there? it uses no proxy"}
	case unreached.Refused:
		return silence{"refuses connections", syscall.ECONNREFUSED, "does it run, and listen at this port?"}
	case unreached.NoRoute:
		return silence{"has an address that no way leads to", nil, "compare the address, and this machine's routes"}
	case unreached.Barred:
		return silence{"has an address that is called on no account, such as that of a cloud's metadata", egress.ErrRefused, ""}
	case unreached.Alert:
		alert, _ := errors.AsType[*net.OpError](err) // its text is one of TLS's own
		return silence{"ended TLS with an alert, as it does when it does not take the certificate that it is shown", alert.Err, ""}
	case unreached.NoTLS:
		return silence{"does not speak TLS at its https address: is it an http one?", nil, ""}
	case unreached.Unresolved:
		dns, _ := errors.AsType[*net.DNSError](err)
		return silence{"has a host name that does not resolve", unresolved(dns.Name), "compare the name, and ask this machine's resolver for it"}
	}
	return uncertified(why)
}

// uncertified says what is wrong with a certificate, or that nothing is known of why.
func uncertified(why unreached.Cause) silence {
	switch why {
	case unreached.OtherName:
		return silence{"shows a certificate for another name", nil, "compare the host in its address, or server_name where there is one, with the names in the certificate"}
	case unreached.Expired:
		return silence{"shows a certificate that has expired or is not valid yet", nil, "renew it there, and compare the clocks"}
	case unreached.Unvouched:
		return silence{"shows a certificate that the configured roots do not vouch for", nil, "compare ca, the PEM file of its roots"}
	}
	return silence{"gave no usable answer", nil, "there was none, or none that can be read: is it this system that listens there?"}
}
