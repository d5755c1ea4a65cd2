package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// OAuthMTLS is where an OAuthServer asks for a client certificate (RFC 8705). The
// metadata names these endpoints as mtls_endpoint_aliases.
type OAuthMTLS struct {
	TokenURL         string
	IntrospectionURL string
	UserinfoURL      string
	CA               string // path of the PEM file of its root

	port      int
	cert, key string
	roots     string
}

func newOAuthMTLS(t testing.TB, roots string) *OAuthMTLS {
	t.Helper()
	port := FreePort(t)
	base := "https://" + address(port)
	cert, key := selfSigned(t)
	m := &OAuthMTLS{
		TokenURL: base + "/token", IntrospectionURL: base + "/token/introspection", UserinfoURL: base + "/me",
		CA: filepath.Join(t.TempDir(), "ca.pem"), port: port, cert: cert, key: key, roots: roots,
	}
	write(t, m.CA, cert)
	return m
}

// environment returns what the script is told. There is none for none.
func (m *OAuthMTLS) environment() string {
	if m == nil {
		return ""
	}
	return encode(map[string]string{"port": strconv.Itoa(m.port), "cert": m.cert, "key": m.key, "roots": m.roots})
}

func encode(v map[string]string) string {
	text, _ := json.Marshal(v) // of texts: it can't fail
	return string(text)
}

// selfSigned returns a server's certificate for 127.0.0.1 and its key, in PEM.
func selfSigned(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, crypto.Signer(private).Public(), private)
	if err != nil {
		t.Fatalf("make certificate: %v", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatalf("encode key: %v", err)
	}
	return pemText("CERTIFICATE", der), pemText("PRIVATE KEY", secret)
}

func pemText(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}
