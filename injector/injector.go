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
// Inject, sent by an Upstream. Body is the very slice that was judged.
type Outgoing struct {
	Method string
	URL    *url.URL // registered scheme and host; never the agent's
	Header http.Header
	Body   []byte
}

// Scheme puts an opened credential on a request. Inject changes nothing but
// what Owns names, and leaves out as it was when it returns an error. A Scheme
// keeps no state between requests and is safe for concurrent use.
type Scheme interface {
	// Owns reports whether the scheme writes the header of a canonical name;
	// Strip removes it from what the agent sent.
	Owns(name string) bool
	Inject(out *Outgoing, c providers.Opened) error
}

// Inject opens c against the receipt of its use and puts it on out by s. It
// returns the secrets that must not come back. Without the receipt of a
// durable record it returns an error and out carries nothing.
func Inject(out *Outgoing, s Scheme, c providers.Credential, r audit.Receipt) (*Secrets, error) {
	opened, err := c.Reveal(r)
	if err != nil {
		return nil, fault.Wrap("inject", fault.Internal, "the credential was not released: its use is not on record", err)
	}
	if err := s.Inject(out, opened); err != nil {
		return nil, fault.Wrap("inject", fault.Internal, "the credential does not fit the scheme registered for this upstream", err)
	}
	return secretsOf(opened), nil
}
