package trustdomain

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// caLifetime outlives every process that embeds a Domain.
const caLifetime = 10 * 365 * 24 * time.Hour

// backdate is how far before now certificates begin, so that a peer whose
// clock is a little behind accepts them.
const backdate = 10 * time.Second

// X509Request says what an X.509-SVID is to be like. The zero value asks for an
// ordinary one; the fields exist to make the ones that must be refused too.
type X509Request struct {
	// Lifetime counts from now. A negative one makes an expired SVID. Default
	// Options.X509Lifetime.
	Lifetime time.Duration
	// NotBefore is how far from now the SVID begins; a positive one makes an
	// SVID of the future. Default a few seconds ago.
	NotBefore time.Duration
	// IntermediateLifetime puts an intermediate CA that lives this long between
	// the SVID and the authority. Default: no intermediate.
	IntermediateLifetime time.Duration
	// Hosts are DNS names and IP addresses for clients that verify by name.
	Hosts []string
	// Alter changes the certificate before it is signed, to break it.
	Alter func(*x509.Certificate)
}

// X509SVID issues an X.509-SVID for id.
func (d *Domain) X509SVID(id spiffeid.ID, r X509Request) (*x509svid.SVID, error) {
	parent := d.authority()
	var chain []*x509.Certificate
	if r.IntermediateLifetime != 0 {
		var err error
		if parent, err = intermediate(parent, d.td, d.options.Clock(), r.IntermediateLifetime); err != nil {
			return nil, err
		}
		chain = []*x509.Certificate{parent.ca}
	}
	key := newKey()
	leaf, err := sign(d.leaf(id, r), parent, key.Public())
	if err != nil {
		return nil, fmt.Errorf("issue X.509-SVID for %s: %w", id, err)
	}
	return &x509svid.SVID{ID: id, Certificates: append([]*x509.Certificate{leaf}, chain...), PrivateKey: key}, nil
}

func (d *Domain) leaf(id spiffeid.ID, r X509Request) *x509.Certificate {
	now := d.options.Clock()
	if r.Lifetime == 0 {
		r.Lifetime = d.options.X509Lifetime
	}
	if r.NotBefore == 0 {
		r.NotBefore = min(-backdate, r.Lifetime-time.Minute)
	}
	c := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"Mintmark"}},
		NotBefore:   now.Add(r.NotBefore),
		NotAfter:    now.Add(r.Lifetime),
		URIs:        []*url.URL{id.URL()},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	addHosts(c, r.Hosts)
	if r.Alter != nil {
		r.Alter(c)
	}
	return c
}

func addHosts(c *x509.Certificate, hosts []string) {
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
			continue
		}
		c.DNSNames = append(c.DNSNames, h)
	}
}

// TLSCertificate returns svid in the form that crypto/tls serves and presents.
func TLSCertificate(svid *x509svid.SVID) tls.Certificate {
	c := tls.Certificate{PrivateKey: svid.PrivateKey, Leaf: svid.Certificates[0]}
	for _, cert := range svid.Certificates {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c
}

func selfSigned(td spiffeid.TrustDomain, key crypto.Signer, now time.Time) *x509.Certificate {
	template := caTemplate(td, now, caLifetime)
	c, err := sign(template, authority{ca: template, caKey: key}, key.Public())
	if err != nil {
		panic(fmt.Sprintf("sign the authority of %s: %v", td, err)) // a constant template and a fresh key
	}
	return c
}

func intermediate(parent authority, td spiffeid.TrustDomain, now time.Time, lifetime time.Duration) (authority, error) {
	key := newKey()
	c, err := sign(caTemplate(td, now, lifetime), parent, key.Public())
	if err != nil {
		return authority{}, fmt.Errorf("sign an intermediate of %s: %w", td, err)
	}
	return authority{ca: c, caKey: key}, nil
}

func caTemplate(td spiffeid.TrustDomain, now time.Time, lifetime time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Mintmark"}, CommonName: td.Name()},
		NotBefore:             now.Add(min(-backdate, lifetime-time.Minute)),
		NotAfter:              now.Add(lifetime),
		URIs:                  []*url.URL{td.ID().URL()},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

func sign(template *x509.Certificate, parent authority, public crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent.ca, public, parent.caKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
