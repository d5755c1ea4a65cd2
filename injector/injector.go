// Package injector takes from a call whatever could carry the agent's own
// authority, puts the leased credential in its place, sends the call to the
// registered upstream and takes the credential out of the answer.
package injector

import (
	"net/http"
	"net/url"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// Outgoing is a request on its way to an upstream: made by Strip, completed by
// Inject, sent by an Upstream. Body is the very slice that was judged; only the
// schemes body and sigv4 (streaming) add to it, and say so.
type Outgoing struct {
	Method string
	URL    *url.URL // registered scheme and host; never the agent's
	Header http.Header
	Body   []byte

	// certificate is what the connection must show; nil: any connection will do.
	certificate *certificate
	// answered looks at the head of each answer, and returns whether it changed the
	// request so that it is to be sent once more; nil: no scheme wants to know.
	answered func(*http.Response) (again bool, err error)
}

// Place is a part of a request where names carry values.
type Place uint8

// The places. A name in a header is canonical, one in a query or a body decoded.
const (
	InHeader Place = iota
	InQuery
	InBody
)

// Scheme puts an opened credential on a request. Inject changes nothing but
// what Owns names, and leaves out as it was when it returns an error. A Scheme
// keeps nothing of a request, and is safe for concurrent use.
type Scheme interface {
	// Owns reports whether the scheme writes what has this name there. Strip and
	// StripQuery remove it from what the agent sent; a body that has it is refused.
	Owns(where Place, name string) bool
	Inject(out *Outgoing, c providers.Opened) error
}

// HeaderKeeper is a Scheme with which an agent may send headers that are taken from it
// otherwise.
type HeaderKeeper interface {
	// Keeps reports whether a header of this name goes on as it came.
	Keeps(name string) bool
}

// Admitter is a Scheme that not every request of an agent suits. Admit is asked
// before the use of the credential is recorded. Its error is a *fault.Error for the
// agent.
type Admitter interface {
	Admit(header http.Header, body []byte) error
}

// Admit returns why s can't serve a request of these headers and body, or nil.
func Admit(s Scheme, header http.Header, body []byte) error {
	if a, ok := s.(Admitter); ok {
		return a.Admit(header, body)
	}
	return nil
}

// Inject opens c against the receipt of its use and puts it on out by s. It
// returns the secrets that must not come back. Without the receipt of a
// durable record it returns an error and out carries nothing. With the error that the
// credential has ended out may carry a part of it, and is not to be sent.
func Inject(out *Outgoing, s Scheme, c providers.Credential, r audit.Receipt) (*Secrets, error) {
	opened, err := c.Reveal(r)
	if err != nil {
		return nil, fault.Wrap("inject", fault.Internal, "the credential was not released: its use is not on record", err)
	}
	if err := s.Inject(out, opened); err != nil {
		return nil, fault.Wrap("inject", fault.Internal, "the credential does not fit the scheme registered for this upstream", err)
	}
	if out.certificate != nil {
		out.certificate.lease = c
	}
	secrets := secretsOf(opened)
	if c.Wiped() { // while this read it: a part of it may be gone, and not be searched for
		return nil, fault.New("inject", fault.Unavailable, "the credential ended while the call was under way; call again")
	}
	return secrets, nil
}
