// Package attest turns the evidence a call arrives with into the identity of
// the workload that made it. Unknown evidence is no identity.
package attest

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// ErrNoEvidence is wrapped by an Attestor that finds nothing of its kind in
// the evidence: it has nothing to say about the call.
var ErrNoEvidence = errors.New("no evidence of this kind")

// Evidence is what a request and its connection show about the caller: never
// the body.
type Evidence struct {
	TLS    *tls.ConnectionState // nil on a plaintext listener
	Header http.Header
}

// Attestor verifies one kind of evidence. Attest returns an error wrapping
// ErrNoEvidence when e holds none of its kind; every other error says that the
// evidence proves nothing, names the claim at fault, what was expected and what came, and is safe to show to the
// caller's developer. It is safe for concurrent use, and ends with ctx: a Chain
// gives a Digester 5 s, and waits no longer for one that goes on.
type Attestor interface {
	Attest(ctx context.Context, e Evidence) (Identity, error)
}

// Proof is what an attestor established. It becomes an Identity by Proven.
type Proof struct {
	ID spiffeid.ID
	// Issuer is who vouches for the subject. "" is the trust domain of ID, as an
	// ID: both kinds of SVID of one workload have the same.
	Issuer   string
	Attestor string    // the attestor's kind: "x509-svid", "jwt-svid"
	Evidence string    // hex SHA-256 of the evidence, safe to record
	Expires  time.Time // the instant at which the evidence stops proving anything
}

// Identity is a workload whose evidence was verified. The zero Identity proves
// nothing. It is immutable and cheap to copy.
type Identity struct {
	proof *Proof
	// subject is kept beside the proof because ID.String allocates and every
	// call asks for it several times.
	subject string
}

// Proven makes an Identity. Only packages under attest/ call it, and a test in
// internal/arch holds the module to that.
func Proven(p Proof) Identity {
	if p.Issuer == "" {
		p.Issuer = p.ID.TrustDomain().IDString()
	}
	return Identity{proof: &p, subject: p.ID.String()}
}

// IsZero reports whether i proves nothing.
func (i Identity) IsZero() bool { return i.proof == nil }

// ID returns the workload's SPIFFE ID, or the zero ID.
func (i Identity) ID() spiffeid.ID {
	if i.proof == nil {
		return spiffeid.ID{}
	}
	return i.proof.ID
}

// Subject returns the SPIFFE ID as a string, or "".
func (i Identity) Subject() string { return i.subject }

// Issuer returns who vouches for the subject, or "". Two issuers may name one
// subject and mean two workloads: only issuer and subject together say who it is.
func (i Identity) Issuer() string {
	if i.proof == nil {
		return ""
	}
	return i.proof.Issuer
}

// Attestor returns the kind of attestor that proved i, or "".
func (i Identity) Attestor() string {
	if i.proof == nil {
		return ""
	}
	return i.proof.Attestor
}

// Evidence returns the hex SHA-256 of the evidence, or "".
func (i Identity) Evidence() string {
	if i.proof == nil {
		return ""
	}
	return i.proof.Evidence
}

// Expires returns when the evidence stops proving anything. The zero Identity
// has long expired.
func (i Identity) Expires() time.Time {
	if i.proof == nil {
		return time.Time{}
	}
	return i.proof.Expires
}

// ValidAt reports whether i still proves something at now.
func (i Identity) ValidAt(now time.Time) bool { return i.proof != nil && now.Before(i.proof.Expires) }

// Assumed returns the Identity that an operator names to try something out as
// this workload. It proves nothing: it is past its end, so no call is allowed by
// it, and its attestor is "operator".
func Assumed(id spiffeid.ID) Identity {
	return Identity{proof: &Proof{ID: id, Issuer: id.TrustDomain().IDString(), Attestor: "operator"}, subject: id.String()}
}
