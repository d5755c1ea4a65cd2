package x509svid_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/x509svid"
)

// issuer is a certificate with its key.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate; by nil signs itself. All have the one name, as the
// tiers of a SPIRE with one ca_subject do.
func issue(t *testing.T, curve elliptic.Curve, by *issuer, leaf bool) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"SPIRE"}}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org"}},
	}
	if leaf {
		c.IsCA, c.KeyUsage, c.URIs[0].Path = false, x509.KeyUsageDigitalSignature, "/agent/one"
	}
	parent := &issuer{c, key}
	if by != nil {
		parent = by
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

// roots is one authority of example.org.
type roots struct{ *x509.Certificate }

func (r roots) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	if td.Name() != "example.org" {
		return nil, errors.New("no such trust domain")
	}
	return x509bundle.FromX509Authorities(td, []*x509.Certificate{r.Certificate}), nil
}

func (r roots) TrustDomains() []spiffeid.TrustDomain {
	return []spiffeid.TrustDomain{spiffeid.RequireTrustDomainFromString("example.org")}
}

// A stranger's certificates can have any name and any key; only keys that an
// authority certified are tried. Tiers may come in any order.
func TestNoKeyOfAStrangerIsTried(t *testing.T) {
	root := issue(t, elliptic.P256(), nil, false)
	upper := issue(t, elliptic.P256(), root, false)
	lower := issue(t, elliptic.P256(), upper, false)
	leaf := issue(t, elliptic.P256(), lower, true)
	a, err := x509svid.Open(x509svid.Config{}, roots{root.cert})
	if err != nil {
		t.Fatal(err)
	}
	good := []*x509.Certificate{leaf.cert, lower.cert, upper.cert}
	strange := issue(t, elliptic.P521(), nil, false)
	below := issue(t, elliptic.P521(), strange, false)
	for name, chain := range map[string][]*x509.Certificate{
		"in order":            good,
		"out of order":        {leaf.cert, upper.cert, lower.cert},
		"with a stranger's":   {leaf.cert, strange.cert, lower.cert, below.cert, upper.cert},
		"with the root":       {leaf.cert, lower.cert, upper.cert, root.cert},
		"with one sent twice": {leaf.cert, lower.cert, upper.cert, lower.cert},
	} {
		if id, err := a.Attest(t.Context(), peer(chain)); err != nil || id.Subject() != "spiffe://example.org/agent/one" {
			t.Errorf("%s: got %q, %v", name, id.Subject(), err)
		}
		for _, c := range a.Anchored(chain) {
			if c == strange.cert || c == below.cert {
				t.Errorf("%s: a stranger's key is tried", name)
			}
		}
	}
	forged := issue(t, elliptic.P256(), below, true)
	for name, chain := range map[string][]*x509.Certificate{
		"a stranger's":     {forged.cert, below.cert, strange.cert},
		"beside true ones": {forged.cert, below.cert, strange.cert, lower.cert, upper.cert},
		"without a tier":   {leaf.cert, lower.cert},
	} {
		if id, err := a.Attest(t.Context(), peer(chain)); err == nil || !id.IsZero() {
			t.Errorf("%s: got %q, want a refusal", name, id.Subject())
		}
		if tried := a.Anchored(chain); slices.Contains(tried, below.cert) || slices.Contains(tried, strange.cert) {
			t.Errorf("%s: a stranger's key is tried", name)
		}
	}
}
