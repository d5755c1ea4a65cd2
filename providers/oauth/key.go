package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"

	"mintmark/broker/bundle"
)

// assertionLife is how long an assertion is good that the broker signs: it is used
// at once.
const assertionLife = time.Minute

// readKey reads a PEM private key: PKCS 8, or the older forms of RSA and ECDSA
// keys. No error repeats what was read.
func readKey(ref bundle.Ref) (crypto.Signer, error) {
	text, err := ref.Resolve()
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("read %s: expected a PEM private key, got no PEM block", ref)
	}
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
		func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
	} {
		if key, err := parse(block.Bytes); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				return signer, nil
			}
		}
	}
	return nil, fmt.Errorf("read %s: expected a PEM private key that is not encrypted, got a block that holds none", ref)
}

// algorithm returns what key signs with: by its curve, EdDSA, or RS256, which is
// what servers know best.
func algorithm(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			return jose.ES256, nil
		case elliptic.P384():
			return jose.ES384, nil
		case elliptic.P521():
			return jose.ES512, nil
		}
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	case *rsa.PublicKey:
		if public.N.BitLen() < 2048 {
			return "", errors.New("sign: expected an RSA key of 2048 bits or more, got a shorter one")
		}
		return jose.RS256, nil
	}
	return "", fmt.Errorf("sign: expected an ECDSA key on P-256, P-384 or P-521, an Ed25519 or an RSA key, got %T", key.Public())
}

// statement is what an assertion says.
type statement struct{ issuer, subject, audience, keyID string }

// sign returns s as a JWT that key signed at now, and that is used once.
func sign(key crypto.Signer, s statement, now time.Time) (string, error) {
	alg, err := algorithm(key)
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if s.keyID != "" {
		options = options.WithHeader(jose.HeaderKey("kid"), s.keyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: cryptosigner.Opaque(key)}, options)
	if err != nil {
		return "", fmt.Errorf("sign: use the key: %w", err)
	}
	return jwt.Signed(signer).Claims(map[string]any{
		"iss": s.issuer,
		"sub": s.subject,
		"aud": s.audience, // one, and as text: a list could be meant for others too
		"iat": now.Unix(),
		"exp": now.Add(assertionLife).Unix(),
		"jti": rand.Text(),
	}).Serialize()
}
