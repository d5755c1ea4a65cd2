package x509svid_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/attest/x509svid"
	"mintmark/internal/trustdomain"
)

// bundles believes the given domains.
type bundles []*trustdomain.Domain

func (b bundles) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	for _, d := range b {
		if d.TrustDomain() == td {
			return d.Bundle().X509Bundle(), nil
		}
	}
	return nil, errors.New("no such trust domain")
}

func (b bundles) TrustDomains() []spiffeid.TrustDomain {
	var all []spiffeid.TrustDomain
	for _, d := range b {
		all = append(all, d.TrustDomain())
	}
	return all
}

func open(t testing.TB, b bundles) *x509svid.Attestor {
	t.Helper()
	a, err := x509svid.Open(x509svid.Config{}, b)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func certs(t testing.TB, d *trustdomain.Domain, r trustdomain.X509Request) []*x509.Certificate {
	t.Helper()
	svid, err := d.X509SVID(d.ID("agent", "one"), r)
	if err != nil {
		t.Fatal(err)
	}
	return svid.Certificates
}

func peer(certs []*x509.Certificate) attest.Evidence {
	return attest.Evidence{TLS: &tls.ConnectionState{PeerCertificates: certs}}
}

func TestAttest(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	domain := trustdomain.New("example.org", trustdomain.Options{Clock: func() time.Time { return now }})
	a := open(t, bundles{domain})
	a.Clock = func() time.Time { return now }
	for name, tt := range map[string]struct {
		request trustdomain.X509Request
		life    time.Duration
	}{
		"leaf ends first":         {trustdomain.X509Request{Lifetime: time.Minute}, time.Minute},
		"leaf ends first, chain":  {trustdomain.X509Request{Lifetime: time.Minute, IntermediateLifetime: time.Hour}, time.Minute},
		"intermediate ends first": {trustdomain.X509Request{Lifetime: time.Hour, IntermediateLifetime: time.Minute}, time.Minute},
	} {
		chain := certs(t, domain, tt.request)
		id, err := a.Attest(t.Context(), peer(chain))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		digest := attest.DigestChain(chain)
		if id.Subject() != "spiffe://example.org/agent/one" || id.Attestor() != "x509-svid" || id.Evidence() != hex.EncodeToString(digest[:]) {
			t.Errorf("%s: got %s by %s with %s", name, id.Subject(), id.Attestor(), id.Evidence())
		}
		if got := id.Expires().Sub(now); got != tt.life {
			t.Errorf("%s: expires in %s, want %s", name, got, tt.life)
		}
	}
}

func TestNoEvidence(t *testing.T) {
	a := open(t, bundles{})
	for name, e := range map[string]attest.Evidence{"plaintext": {}, "no certificate": peer(nil)} {
		if id, err := a.Attest(t.Context(), e); !errors.Is(err, attest.ErrNoEvidence) || !id.IsZero() {
			t.Errorf("%s: got %v, %v, want ErrNoEvidence", name, id, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	options := trustdomain.Options{Clock: func() time.Time { return now }}
	domain, stranger := trustdomain.New("example.org", options), trustdomain.New("example.org", options)
	unknown := trustdomain.New("unknown.example", options)
	a := open(t, bundles{domain})
	a.Clock = options.Clock
	alter := func(f func(*x509.Certificate)) trustdomain.X509Request { return trustdomain.X509Request{Alter: f} }
	for name, tt := range map[string]struct {
		by      *trustdomain.Domain
		request trustdomain.X509Request
		want    string
	}{
		"expired":              {domain, trustdomain.X509Request{Lifetime: -time.Minute}, "expired 1m0s ago"},
		"of the future":        {domain, trustdomain.X509Request{NotBefore: 10 * time.Minute}, "begins in 10m0s"},
		"expired intermediate": {domain, trustdomain.X509Request{IntermediateLifetime: -time.Minute}, "client certificate: "},
		"stranger's authority": {stranger, trustdomain.X509Request{}, "expected a chain to an authority of trust domain example.org"},
		"other trust domain":   {unknown, trustdomain.X509Request{}, `expected a SPIFFE ID in trust domain example.org, got "unknown.example"`},
		"no SPIFFE ID":         {domain, alter(func(c *x509.Certificate) { c.URIs = nil }), "expected one SPIFFE ID as URI SAN"},
		"two URIs":             {domain, alter(func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }), "expected one SPIFFE ID as URI SAN"},
		"no SPIFFE scheme":     {domain, alter(func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "example.org", Path: "/a"}} }), "expected one SPIFFE ID as URI SAN"},
		"the domain's own ID":  {domain, alter(func(c *x509.Certificate) { c.URIs = []*url.URL{domain.TrustDomain().ID().URL()} }), "expected the SPIFFE ID of a workload"},
		"a CA":                 {domain, alter(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), "CA flag"},
		"signs certificates":   {domain, alter(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), "KeyCertSign"},
		"no digitalSignature":  {domain, alter(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), "digitalSignature"},
		"not for clients":      {domain, alter(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "clientAuth"},
	} {
		id, err := a.Attest(t.Context(), peer(certs(t, tt.by, tt.request)))
		if err == nil || !id.IsZero() || errors.Is(err, attest.ErrNoEvidence) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %q, %v, want an error with %q", name, id.Subject(), err, tt.want)
		}
	}
}

func TestMissingIntermediateIsRefused(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	chain := certs(t, domain, trustdomain.X509Request{IntermediateLifetime: time.Hour})
	if id, err := open(t, bundles{domain}).Attest(t.Context(), peer(chain[:1])); err == nil {
		t.Errorf("got %q, want an error", id.Subject())
	}
}

func TestAnyExtendedKeyUsageOrNoneServes(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	for _, usage := range [][]x509.ExtKeyUsage{nil, {x509.ExtKeyUsageAny}, {x509.ExtKeyUsageClientAuth}} {
		request := trustdomain.X509Request{Alter: func(c *x509.Certificate) { c.ExtKeyUsage = usage }}
		if _, err := open(t, bundles{domain}).Attest(t.Context(), peer(certs(t, domain, request))); err != nil {
			t.Errorf("%v: %v", usage, err)
		}
	}
}

func TestTimeIsTheClocks(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	chain := certs(t, domain, trustdomain.X509Request{Lifetime: time.Minute})
	a := open(t, bundles{domain})
	for _, tt := range []struct {
		at time.Time
		ok bool
	}{{chain[0].NotAfter.Add(-1), true}, {chain[0].NotAfter.Add(time.Second), false}, {chain[0].NotBefore.Add(-time.Second), false}} {
		a.Clock = func() time.Time { return tt.at }
		if _, err := a.Attest(t.Context(), peer(chain)); (err == nil) != tt.ok {
			t.Errorf("at %s: got %v, want ok %v", tt.at, err, tt.ok)
		}
	}
}

func Example() {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	stranger := trustdomain.New("elsewhere.example", trustdomain.Options{})
	attestor, err := x509svid.Open(x509svid.Config{}, bundles{domain})
	if err != nil {
		fmt.Println(err)
		return
	}
	svid, err := stranger.X509SVID(stranger.ID("agent"), trustdomain.X509Request{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = attestor.Attest(context.Background(), attest.Evidence{TLS: &tls.ConnectionState{PeerCertificates: svid.Certificates}})
	fmt.Println(err)
	// Output: client certificate: expected a SPIFFE ID in trust domain example.org, got "elsewhere.example"
}

// FuzzAttest holds that no certificate makes the attestor panic or prove a
// workload that the domain did not certify.
func FuzzAttest(f *testing.F) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	a := open(f, bundles{domain})
	good := certs(f, domain, trustdomain.X509Request{})[0].Raw
	f.Add(good)
	f.Add(certs(f, domain, trustdomain.X509Request{Lifetime: -time.Minute})[0].Raw)
	f.Add(domain.Bundle().X509Authorities()[0].Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		id, err := a.Attest(t.Context(), peer([]*x509.Certificate{cert}))
		if id.IsZero() != (err != nil) {
			t.Fatalf("got %q with error %v", id.Subject(), err)
		}
		if err == nil && id.Subject() != "spiffe://example.org/agent/one" {
			t.Errorf("an altered certificate proves %q", id.Subject())
		}
	})
}

// Each certificate is a signature to check, and anyone can make some.
func TestALongChainIsRefusedUnread(t *testing.T) {
	d := trustdomain.New("example.org", trustdomain.Options{})
	chain := certs(t, d, trustdomain.X509Request{})
	for len(chain) < 7 {
		chain = append(chain, chain[0])
	}
	_, err := open(t, bundles{d}).Attest(t.Context(), attest.Evidence{TLS: &tls.ConnectionState{PeerCertificates: chain}})
	if err == nil || !strings.Contains(err.Error(), "expected a chain of at most 6 certificates, got 7") {
		t.Errorf("got %v, want a refusal of its length", err)
	}
}
