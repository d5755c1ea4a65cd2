package attest_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/attest/jwtsvid"
	"mintmark/attest/x509svid"
	"mintmark/internal/trustdomain"
)

// believed is one domain as both attestors want it, read once: the library's
// bundles clone themselves at each look.
type believed struct{ domain *trustdomain.Domain }

func (b believed) TrustDomains() []spiffeid.TrustDomain {
	return []spiffeid.TrustDomain{b.domain.TrustDomain()}
}

func (b believed) GetJWTBundleForTrustDomain(td spiffeid.TrustDomain) (*jwtbundle.Bundle, error) {
	if td != b.domain.TrustDomain() {
		return nil, errors.New("no such trust domain")
	}
	return b.domain.Bundle().JWTBundle(), nil
}

func (b believed) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	if td != b.domain.TrustDomain() {
		return nil, errors.New("no such trust domain")
	}
	return b.domain.Bundle().X509Bundle(), nil
}

// realChain is the two SPIFFE attestors, with good evidence for each.
func realChain(t testing.TB) (c *attest.Chain, jwt, x509 attest.Evidence) {
	t.Helper()
	domain := trustdomain.New("example.org", trustdomain.Options{})
	byCert, err := x509svid.Open(x509svid.Config{}, believed{domain})
	if err != nil {
		t.Fatal(err)
	}
	byToken, err := jwtsvid.Open(jwtsvid.Config{Audience: "mintmark"}, believed{domain})
	if err != nil {
		t.Fatal(err)
	}
	token, err := domain.JWTSVID(domain.ID("agent"), trustdomain.JWTRequest{Audience: []string{"mintmark"}})
	if err != nil {
		t.Fatal(err)
	}
	svid, err := domain.X509SVID(domain.ID("agent"), trustdomain.X509Request{})
	if err != nil {
		t.Fatal(err)
	}
	jwt = attest.Evidence{Header: http.Header{"Authorization": {"Bearer " + token}}}
	x509 = attest.Evidence{TLS: &tls.ConnectionState{PeerCertificates: svid.Certificates}}
	return newChain(t, attest.ChainOptions{}, byCert, byToken), jwt, x509
}

// warm attests until the answer comes from the cache, which is filled in the
// background.
func warm(t testing.TB, c *attest.Chain, e attest.Evidence) {
	t.Helper()
	first, err := c.Attest(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	for range 1_000_000 {
		id, err := c.Attest(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if id == first {
			return
		}
		first = id
	}
	t.Fatal("the evidence never reached the cache")
}

func TestRealEvidenceOfOneWorkloadAgrees(t *testing.T) {
	c, jwt, x509 := realChain(t)
	both := attest.Evidence{TLS: x509.TLS, Header: jwt.Header}
	warm(t, c, jwt)
	warm(t, c, x509)
	id, err := c.Attest(t.Context(), both)
	if err != nil || id.Attestor() != "x509-svid" {
		t.Errorf("got %q by %q, %v, want by x509-svid", id.Subject(), id.Attestor(), err)
	}
}

func TestCachedAttestAllocatesLittle(t *testing.T) {
	c, jwt, x509 := realChain(t)
	for name, e := range map[string]attest.Evidence{"jwt": jwt, "x509": x509} {
		warm(t, c, e)
		ctx := t.Context()
		allocs := testing.AllocsPerRun(1000, func() {
			if _, err := c.Attest(ctx, e); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 2 {
			t.Errorf("%s: got %v allocations a call, want at most 2", name, allocs)
		}
	}
}

func BenchmarkAttest(b *testing.B) {
	c, jwt, x509 := realChain(b)
	for name, e := range map[string]attest.Evidence{"jwt": jwt, "x509": x509} {
		warm(b, c, e)
		b.Run("cached/"+name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := b.Context()
			for b.Loop() {
				if _, err := c.Attest(ctx, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("verified/jwt", func(b *testing.B) {
		var generation uint64
		domain := trustdomain.New("example.org", trustdomain.Options{})
		byToken, err := jwtsvid.Open(jwtsvid.Config{Audience: "mintmark"}, believed{domain})
		if err != nil {
			b.Fatal(err)
		}
		uncached := newChain(b, attest.ChainOptions{Generation: func() uint64 { generation++; return generation }}, byToken)
		token, err := domain.JWTSVID(domain.ID("agent"), trustdomain.JWTRequest{Audience: []string{"mintmark"}})
		if err != nil {
			b.Fatal(err)
		}
		e := attest.Evidence{Header: http.Header{"Authorization": {"Bearer " + token}}}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := uncached.Attest(b.Context(), e); err != nil {
				b.Fatal(err)
			}
		}
	})
}
