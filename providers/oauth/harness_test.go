package oauth_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"

	"mintmark/broker/bundle"
	"mintmark/providers/internal/providertest"
)

const (
	brokerID = "spiffe://example.org/mintmark"
	shopID   = "spiffe://example.org/agent/shop"
)

// keyPair is a key, where it is and what the server knows of it.
type keyPair struct {
	key    *ecdsa.PrivateKey
	ref    bundle.Ref
	public string
}

func newKey(t *testing.T) keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal([]jose.JSONWebKey{{Key: key.Public(), KeyID: "broker", Algorithm: "ES256", Use: "sig"}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return keyPair{key: key, ref: providertest.Ref(t, text), public: string(public)}
}

// self is the broker's own identity: JWT-SVIDs signed by a key.
type self struct {
	providertest.NoX509SVID
	key    crypto.Signer
	issuer string // a SPIRE's if ""
}

// JWTSVID returns one with an id, as servers that keep to RFC 7523 like it.
func (s self) JWTSVID(_ context.Context, audience string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: cryptosigner.Opaque(s.key)}, nil)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: cmp.Or(s.issuer, "https://spire.example.org"), Subject: brokerID, Audience: jwt.Audience{audience},
		Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute)), ID: rand.Text(),
	}).Serialize()
}
