// Package x509svid attests a workload by the X.509-SVID of its TLS client
// certificate.
package x509svid

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"mintmark/attest"
)

// Kind is the name of this attestor in mintmark.yaml and in the record.
const Kind = "x509-svid"

// maxChain is how many certificates a client may show: a leaf, and more tiers of
// authorities than there are. Anyone can make some.
const maxChain = 6

// Config is empty: the trust bundles say all there is to say.
type Config struct{}

// Source is where the trust bundles come from.
type Source interface {
	x509bundle.Source
	attest.TrustDomains
}

// Attestor verifies client certificates. It is safe for concurrent use.
type Attestor struct {
	// Clock tells the time; Open sets time.Now. Change it before the first use.
	Clock   func() time.Time
	bundles Source
}

// Open returns the Attestor that believes bundles.
func Open(_ Config, bundles Source) (*Attestor, error) {
	return &Attestor{Clock: time.Now, bundles: bundles}, nil
}

// Accepts says what a caller can show.
func (a *Attestor) Accepts() string { return "an X.509-SVID as TLS client certificate" }

// Digest returns the SHA-256 of the client's certificates, and false where there
// are none or too many to be worth it.
func (a *Attestor) Digest(e attest.Evidence) (digest [sha256.Size]byte, ok bool) {
	if e.TLS == nil || len(e.TLS.PeerCertificates) == 0 || len(e.TLS.PeerCertificates) > maxChain {
		return digest, false
	}
	return attest.DigestChain(e.TLS.PeerCertificates), true
}

// Attest verifies the client's certificates. The identity lasts as long as
// each certificate between it and an authority. What the TLS stack made of
// them is not asked: it knows nothing of SPIFFE.
func (a *Attestor) Attest(_ context.Context, e attest.Evidence) (attest.Identity, error) {
	if e.TLS != nil && len(e.TLS.PeerCertificates) > maxChain {
		return attest.Identity{}, fmt.Errorf("client certificate: expected a chain of at most %d certificates, got %d", maxChain, len(e.TLS.PeerCertificates))
	}
	digest, ok := a.Digest(e)
	if !ok {
		return attest.Identity{}, attest.ErrNoEvidence
	}
	certs, now := a.anchored(e.TLS.PeerCertificates), a.Clock()
	id, chains, err := x509svid.Verify(certs, a.bundles, x509svid.WithTime(now))
	if err != nil {
		return attest.Identity{}, a.explain(certs[0], err, now)
	}
	if err := checkLeaf(certs[0], id); err != nil {
		return attest.Identity{}, err
	}
	return attest.Proven(attest.Proof{
		ID:       id,
		Attestor: Kind,
		Evidence: hex.EncodeToString(digest[:]),
		Expires:  expiry(chains),
	}), nil
}

// anchored returns the leaf and those of the others that an authority certified,
// by itself or through one another. A search for a chain tries every certificate
// that has the right name, and with keys that a stranger chose to be slow that
// is a third of a second of work; found from the authorities down, no key of a
// stranger's is ever tried.
func (a *Attestor) anchored(certs []*x509.Certificate) []*x509.Certificate {
	id, err := x509svid.IDFromCert(certs[0])
	if err != nil || len(certs) == 1 {
		return certs[:1]
	}
	bundle, err := a.bundles.GetX509BundleForTrustDomain(id.TrustDomain())
	if err != nil {
		return certs[:1]
	}
	issuers := bundle.X509Authorities()
	kept, rest := certs[:1:1], slices.Clone(certs[1:])
	for len(issuers) > 0 {
		var found []*x509.Certificate
		rest = slices.DeleteFunc(rest, func(c *x509.Certificate) bool {
			certified := slices.ContainsFunc(issuers, func(by *x509.Certificate) bool {
				return bytes.Equal(c.RawIssuer, by.RawSubject) && c.CheckSignatureFrom(by) == nil
			})
			if certified {
				found = append(found, c)
			}
			return certified
		})
		kept, issuers = append(kept, found...), found
	}
	return kept
}

// checkLeaf holds a leaf to what the X.509-SVID standard says and the library
// leaves to its caller.
func checkLeaf(leaf *x509.Certificate, id spiffeid.ID) error {
	switch {
	case id.Path() == "":
		return fmt.Errorf("client certificate: expected the SPIFFE ID of a workload, got that of the trust domain %s", id)
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("client certificate: expected key usage digitalSignature, got a certificate without it")
	case len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 && !forClients(leaf):
		return errors.New("client certificate: expected extended key usage clientAuth, got others alone")
	}
	return nil
}

func forClients(leaf *x509.Certificate) bool {
	return slices.ContainsFunc(leaf.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny
	})
}

// expiry returns the end of the chain that lasts longest: the first NotAfter
// in it.
func expiry(chains [][]*x509.Certificate) time.Time {
	var latest time.Time
	for _, chain := range chains {
		end := chain[0].NotAfter
		for _, c := range chain[1:] {
			if c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if end.After(latest) {
			latest = end
		}
	}
	return latest
}

// explain says what is wrong with a certificate that did not verify, in words
// for the caller's developer.
func (a *Attestor) explain(leaf *x509.Certificate, err error, now time.Time) error {
	id, idErr := x509svid.IDFromCert(leaf)
	switch {
	case idErr != nil:
		return fmt.Errorf("client certificate: expected one SPIFFE ID as URI SAN, got none that is valid: %w", idErr)
	case !a.believes(id.TrustDomain()):
		return fmt.Errorf("client certificate: expected a SPIFFE ID in trust domain %s, got %q", attest.ListTrustDomains(a.bundles), id.TrustDomain())
	case now.After(leaf.NotAfter):
		return fmt.Errorf("client certificate: expected one that is valid now, got one that expired %s ago (%s)", since(now, leaf.NotAfter), stamp(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("client certificate: expected one that is valid now, got one that begins in %s (%s)", since(leaf.NotBefore, now), stamp(leaf.NotBefore))
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return fmt.Errorf("client certificate: expected a chain to an authority of trust domain %s, got one that leads to none", id.TrustDomain())
	}
	return fmt.Errorf("client certificate: %s", strings.TrimPrefix(err.Error(), "x509svid: "))
}

func (a *Attestor) believes(td spiffeid.TrustDomain) bool {
	_, err := a.bundles.GetX509BundleForTrustDomain(td)
	return err == nil
}

func since(now, then time.Time) time.Duration { return now.Sub(then).Round(time.Second) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
