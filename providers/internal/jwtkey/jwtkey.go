// Package jwtkey signs JSON Web Tokens with a private key that a registration
// refers to.
package jwtkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers/internal/pemkey"
)

// minRSA is the shortest RSA key that signs, in bits (RFC 7518, section 3.3).
const minRSA = 2048

// Key signs by the one algorithm that fits it: RS256 for RSA, ES256, ES384 or ES512
// for P-256, P-384 or P-521, EdDSA for Ed25519.
type Key struct {
	sign      func(payload []byte, header map[jose.HeaderKey]any) (string, error) // a closure, so that no printer finds the key
	ID        string                                                              // its thumbprint (RFC 7638, SHA-256, base64url)
	Algorithm jose.SignatureAlgorithm
}

// Read reads the key that ref names now, in PEM: PKCS #8, PKCS #1 for RSA, or SEC 1
// for EC. The error is a *fault.Error and holds nothing of what was read.
func Read(ref bundle.Ref) (Key, error) {
	text, err := ref.Resolve()
	if err == nil {
		var key Key
		if key, err = parse([]byte(text)); err == nil {
			return key, nil
		}
	}
	return Key{}, fault.Wrap("lease", fault.Internal, "the broker cannot read its own secret for the credential provider", err)
}

// Sign returns claims as a signed JWT. kid "" names the key by its ID.
func (k Key) Sign(kid string, claims any) (string, error) {
	if kid == "" {
		kid = k.ID
	}
	return k.signed(claims, map[jose.HeaderKey]any{jose.HeaderType: "JWT", "kid": kid})
}

// SignUnnamed returns claims as a signed JWT that does not say by which key.
func (k Key) SignUnnamed(claims any) (string, error) {
	return k.signed(claims, map[jose.HeaderKey]any{jose.HeaderType: "JWT"})
}

func (k Key) signed(claims any, header map[jose.HeaderKey]any) (string, error) {
	// Deterministic, so that one text stands for one set of claims.
	payload, err := json.Marshal(claims, json.Deterministic(true))
	if err == nil {
		var token string
		if token, err = k.sign(payload, header); err == nil {
			return token, nil
		}
	}
	return "", fault.Wrap("lease", fault.Internal, "the broker cannot sign for the credential provider", err)
}

func parse(text []byte) (Key, error) {
	private, rest, err := pemkey.Parse(text)
	if err != nil {
		return Key{}, err
	}
	if strings.TrimSpace(string(rest)) != "" {
		return Key{}, errors.New("parse key: got more than one PEM block, want one private key")
	}
	return newKey(private)
}

func newKey(private crypto.Signer) (Key, error) {
	var algorithm jose.SignatureAlgorithm
	switch key := private.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSA {
			return Key{}, errors.New("parse key: got an RSA key of less than 2048 bits, want a longer one")
		}
		algorithm = jose.RS256
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256():
			algorithm = jose.ES256
		case elliptic.P384():
			algorithm = jose.ES384
		case elliptic.P521():
			algorithm = jose.ES512
		default:
			return Key{}, errors.New("parse key: got an EC key of another curve, want P-256, P-384 or P-521")
		}
	case ed25519.PrivateKey:
		algorithm = jose.EdDSA
	default:
		return Key{}, errors.New("parse key: got a key that does not sign, want RSA, EC or Ed25519")
	}
	public := jose.JSONWebKey{Key: private.Public()}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return Key{}, errors.New("parse key: got a key without a thumbprint, want RSA, EC or Ed25519")
	}
	return Key{sign: signer(algorithm, private), ID: base64.RawURLEncoding.EncodeToString(thumbprint), Algorithm: algorithm}, nil
}

func signer(algorithm jose.SignatureAlgorithm, private crypto.Signer) func([]byte, map[jose.HeaderKey]any) (string, error) {
	return func(payload []byte, header map[jose.HeaderKey]any) (string, error) {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: private}, &jose.SignerOptions{ExtraHeaders: header})
		if err != nil {
			return "", err
		}
		signed, err := s.Sign(payload)
		if err != nil {
			return "", err
		}
		return signed.CompactSerialize()
	}
}
