// Package trustdomain is a SPIFFE trust domain inside the process: a CA that
// issues X.509-SVIDs and JWT-SVIDs, and a Workload API that serves them over
// the real protocol. The demo, the benchmark and the tests use it where a
// deployment has SPIRE. Its keys live in memory and die with it.
package trustdomain

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Options are the parts of a Domain that have a sensible default.
type Options struct {
	// Clock gives the time at which SVIDs are issued. Default time.Now.
	Clock func() time.Time
	// Issuer is the "iss" claim of JWT-SVIDs, for relying parties that speak
	// OpenID Connect. Default: no such claim, as SPIFFE does not need it.
	Issuer string
	// X509Lifetime and JWTLifetime are how long SVIDs live when a request does
	// not say. Defaults 1h and 5m, SPIRE's own.
	X509Lifetime time.Duration
	JWTLifetime  time.Duration
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.X509Lifetime == 0 {
		o.X509Lifetime = time.Hour
	}
	if o.JWTLifetime == 0 {
		o.JWTLifetime = 5 * time.Minute
	}
	return o
}

// Domain is one trust domain. It is safe for concurrent use.
type Domain struct {
	td      spiffeid.TrustDomain
	options Options

	mu        sync.Mutex
	current   authority
	bundle    *spiffebundle.Bundle // replaced, never changed
	federated []*Domain
	changed   chan struct{} // closed and replaced at each change
}

// authority is one generation of signing keys.
type authority struct {
	ca    *x509.Certificate
	caKey crypto.Signer
	jwt   jwtKey
}

// jwtKey signs JWT-SVIDs under its key id.
type jwtKey struct {
	id  string
	key *ecdsa.PrivateKey
}

// New makes the trust domain named td ("example.org"). Two domains of one name
// are strangers to each other: their authorities differ. New panics when td is
// no trust domain name, because that name is written in the program.
func New(td string, o Options) *Domain {
	d := &Domain{
		td:      spiffeid.RequireTrustDomainFromString(td),
		options: o.withDefaults(),
		changed: make(chan struct{}),
	}
	d.Rotate(DropOld)
	return d
}

// TrustDomain returns the domain's name.
func (d *Domain) TrustDomain() spiffeid.TrustDomain { return d.td }

// ID returns the SPIFFE ID of the workload at the given path segments:
// ID("agent", "one") is spiffe://example.org/agent/one. It panics on a segment
// that no SPIFFE ID can have.
func (d *Domain) ID(segments ...string) spiffeid.ID {
	return spiffeid.RequireFromSegments(d.td, segments...)
}

// Bundle returns the domain's own authorities. The caller may change it.
func (d *Domain) Bundle() *spiffebundle.Bundle {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bundle.Clone()
}

// MarshalBundle returns the bundle in the SPIFFE format, for a bundle file.
func (d *Domain) MarshalBundle() ([]byte, error) { return d.Bundle().Marshal() }

// Rotation says what becomes of the authorities before a rotation.
type Rotation bool

// The two kinds of rotation.
const (
	KeepOld Rotation = true  // the orderly one: what the old keys signed stays valid
	DropOld Rotation = false // the one after a compromise: it does not
)

// Rotate makes new signing keys, puts them into the bundle, and tells every
// open Workload API stream.
func (d *Domain) Rotate(r Rotation) {
	a := newAuthority(d.td, d.options.Clock())
	d.mu.Lock()
	defer d.mu.Unlock()
	next := spiffebundle.New(d.td)
	if r == KeepOld {
		next = d.bundle.Clone()
	}
	next.AddX509Authority(a.ca)
	if err := next.AddJWTAuthority(a.jwt.id, a.jwt.key.Public()); err != nil {
		panic(fmt.Sprintf("add JWT authority: %v", err)) // only an empty key id fails
	}
	d.current, d.bundle = a, next
	d.announce()
}

// Federate makes the Workload API hand out other's bundle beside d's own.
func (d *Domain) Federate(other *Domain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.federated = append(d.federated, other)
	d.announce()
}

// announce wakes every stream. The caller holds d.mu.
func (d *Domain) announce() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// bundles returns d's bundle first, then those of the domains it federates
// with, and a channel that closes when any of d's own changes.
func (d *Domain) bundles() ([]*spiffebundle.Bundle, <-chan struct{}) {
	d.mu.Lock()
	own, federated, changed := d.bundle.Clone(), slices.Clone(d.federated), d.changed
	d.mu.Unlock()
	all := []*spiffebundle.Bundle{own}
	for _, other := range federated {
		all = append(all, other.Bundle())
	}
	return all, changed
}

func (d *Domain) authority() authority {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

func newAuthority(td spiffeid.TrustDomain, now time.Time) authority {
	key := newKey()
	id := make([]byte, 16)
	_, _ = rand.Read(id) // documented never to fail
	return authority{
		ca:    selfSigned(td, key, now),
		caKey: key,
		jwt:   jwtKey{id: hex.EncodeToString(id), key: newKey()},
	}
}

// newKey panics only where the system has no randomness, and then nothing here
// is worth having.
func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(fmt.Sprintf("make P-256 key: %v", err))
	}
	return key
}
