package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Certified returns public keys as Ceph wants an issuer to publish them: each in a
// certificate, here by a key that nobody knows. SPIRE publishes keys alone.
func Certified(t testing.TB, keys []jose.JSONWebKey) []jose.JSONWebKey {
	t.Helper()
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("certify keys: %v", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	var certified []jose.JSONWebKey
	for _, key := range keys {
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Key, authority)
		if err != nil {
			t.Fatalf("certify keys: %v", err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("certify keys: %v", err)
		}
		key.Certificates = []*x509.Certificate{certificate}
		certified = append(certified, key)
	}
	return certified
}
