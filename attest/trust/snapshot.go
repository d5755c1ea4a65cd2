package trust

import (
	"maps"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// sources is the last word of each source.
type sources struct {
	files map[spiffeid.TrustDomain]*spiffebundle.Bundle
	x509  *x509bundle.Set // the Workload API's
	jwt   *jwtbundle.Set
	svid  *x509svid.SVID
}

// snapshot is what readers see: immutable, swapped whole.
type snapshot struct {
	generation uint64
	x509       map[spiffeid.TrustDomain]*x509bundle.Bundle
	jwt        map[spiffeid.TrustDomain]*jwtbundle.Bundle
	svid       *x509svid.SVID
}

// update changes the sources and publishes what follows from them.
func (t *Trust) update(change func(*sources)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.sources)
	previous, next := t.current.Load(), t.sources.merge()
	next.generation = previous.generation
	if !next.sameBundles(previous) {
		next.generation++
	}
	t.current.Store(next)
}

// merge joins the sources. A trust domain that has a file is believed from
// that file alone, whatever the Workload API says of it.
func (s *sources) merge() *snapshot {
	next := &snapshot{
		x509: map[spiffeid.TrustDomain]*x509bundle.Bundle{},
		jwt:  map[spiffeid.TrustDomain]*jwtbundle.Bundle{},
		svid: s.svid,
	}
	if s.x509 != nil {
		for _, b := range s.x509.Bundles() {
			next.x509[b.TrustDomain()] = b
		}
	}
	if s.jwt != nil {
		for _, b := range s.jwt.Bundles() {
			next.jwt[b.TrustDomain()] = b
		}
	}
	for td, b := range s.files {
		next.x509[td], next.jwt[td] = b.X509Bundle(), b.JWTBundle()
	}
	return next
}

func (s *snapshot) sameBundles(other *snapshot) bool {
	return maps.EqualFunc(s.x509, other.x509, (*x509bundle.Bundle).Equal) &&
		maps.EqualFunc(s.jwt, other.jwt, (*jwtbundle.Bundle).Equal)
}
