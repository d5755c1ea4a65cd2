// Package dpop makes the proofs by which a client shows that it holds the key a
// token is bound to (RFC 9449).
package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// The headers of RFC 9449: a request's proof, and what a server wants the next
// one to hold.
const (
	Header      = "Dpop" // as net/http spells DPoP; header names have no case
	NonceHeader = "Dpop-Nonce"
)

// Options is what a proof says beside the method and address of its request.
type Options struct {
	// TokenHash is TokenHash of the access token that goes with the proof. Leave
	// it empty where none does, as at a token endpoint.
	TokenHash string
	// Nonce is what the server gave last: see Nonces. Empty: none.
	Nonce string
	// Now is when the proof is made; zero means time.Now.
	Now time.Time
}

// claims is the payload (RFC 9449, section 4.2).
type claims struct {
	ID        string `json:"jti"`
	Method    string `json:"htm"`
	Target    string `json:"htu"`
	IssuedAt  int64  `json:"iat"`
	TokenHash string `json:"ath,omitempty"`
	Nonce     string `json:"nonce,omitempty"`
}

// Proof returns the value of the DPoP header for one request of method to target,
// signed by key: ES256, ES384 or ES512 by an ECDSA key's curve, EdDSA, or PS256.
// It is new each time, since servers take each proof once. It returns an error
// for a key of another kind and for a target that is not absolute.
func Proof(key crypto.Signer, method string, target *url.URL, o Options) (string, error) {
	alg, err := algorithm(key)
	if err != nil {
		return "", err
	}
	if target == nil || target.Scheme == "" || target.Host == "" {
		return "", fmt.Errorf("dpop: expected the absolute URL of a request, got one without scheme or host")
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	payload, err := json.Marshal(claims{ID: rand.Text(), Method: method, Target: htu(target), IssuedAt: o.Now.Unix(), TokenHash: o.TokenHash, Nonce: o.Nonce})
	if err != nil {
		return "", fmt.Errorf("dpop: write the proof: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: cryptosigner.Opaque(key)}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		return "", fmt.Errorf("dpop: use the key: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("dpop: sign the proof: %w", err)
	}
	return signed.CompactSerialize()
}

// TokenHash returns the ath of an access token (RFC 9449, section 4.2). It is not
// secret where the token is random, as tokens are.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Thumbprint returns the dpop_jkt and cnf.jkt of a key (RFC 7638, with SHA-256).
func Thumbprint(key crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("dpop: thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// algorithm returns what key signs with. It is asymmetric in any case, as RFC 9449
// demands; RS256 is left out, as FAPI 2 does.
func algorithm(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	if key == nil {
		return "", fmt.Errorf("dpop: expected a key, got none")
	}
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
		return jose.PS256, nil
	}
	return "", fmt.Errorf("dpop: expected an ECDSA key on P-256, P-384 or P-521, an Ed25519 or an RSA key, got %T", key.Public())
}

// htu returns the address of a request as a proof names it: without query and
// fragment, and in the one spelling that servers compare (RFC 3986, sections 6.2.2
// and 6.2.3).
func htu(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return origin(u) + path
}

// origin returns scheme and authority of u in the one spelling of RFC 6454,
// section 6.2.
func origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if port := u.Port(); scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return scheme + "://" + host
}
