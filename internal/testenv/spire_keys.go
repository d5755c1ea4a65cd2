package testenv

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Bundle returns the trust bundle as it is now, in SPIFFE's JSON format.
func (s *SPIREDomain) Bundle(t testing.TB) []byte {
	t.Helper()
	return s.admin(t, "bundle", "show", "-format", "spiffe")
}

// JWKS returns the keys that sign JWT-SVIDs now, as a key set that verifiers
// which know nothing of SPIFFE take.
func (s *SPIREDomain) JWKS(t testing.TB) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	for id, key := range s.bundle(t).JWTAuthorities() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: id, Use: "sig"})
	}
	slices.SortFunc(set.Keys, func(a, b jose.JSONWebKey) int { return strings.Compare(a.KeyID, b.KeyID) })
	out, err := json.Marshal(set)
	if err != nil {
		t.Fatalf("encode JWKS: %v", err)
	}
	return out
}

// JWTKeys returns the keys that sign JWT-SVIDs now, each in PEM.
func (s *SPIREDomain) JWTKeys(t testing.TB) []string {
	t.Helper()
	var keys []string
	for _, key := range s.bundle(t).JWTAuthorities() {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatalf("encode JWT key: %v", err)
		}
		keys = append(keys, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	}
	slices.Sort(keys)
	return keys
}

func (s *SPIREDomain) bundle(t testing.TB) *spiffebundle.Bundle {
	t.Helper()
	domain, err := spiffeid.TrustDomainFromString(s.TrustDomain)
	if err != nil {
		t.Fatalf("parse trust domain: %v", err)
	}
	bundle, err := spiffebundle.Parse(domain, s.Bundle(t))
	if err != nil {
		t.Fatalf("parse bundle: %v", err)
	}
	return bundle
}

// RotateJWTKey has the next JWT-SVIDs signed by a new key, which is in the bundle
// when it returns. Those of before stay good.
func (s *SPIREDomain) RotateJWTKey(t testing.TB) {
	t.Helper()
	var prepared struct {
		Authority struct {
			ID string `json:"authority_id"`
		} `json:"prepared_authority"`
	}
	s.adminJSON(t, &prepared, "localauthority", "jwt", "prepare")
	s.admin(t, "localauthority", "jwt", "activate", "-authorityID", prepared.Authority.ID)
}
