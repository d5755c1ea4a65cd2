package attest

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Digester is an Attestor that can tell which piece of evidence it would
// judge, without judging it. The Chain then verifies the same evidence once,
// and asks no second attestor about a piece that the first has proven. Digest
// returns false when e holds none of its kind, or none worth keeping.
type Digester interface {
	Digest(e Evidence) (digest [sha256.Size]byte, ok bool)
}

// Describer is an Attestor that can say what it accepts, in words for the
// developer of a caller that showed nothing: "a JWT-SVID as bearer token".
type Describer interface {
	Accepts() string
}

// Bearer returns the bearer token in h, or ErrNoEvidence when there is no
// Authorization header or it is of another scheme. Two headers, an empty token
// and one with characters that no bearer token has are errors: two readers
// could take them for two callers.
func Bearer(h http.Header) (string, error) {
	if n := len(h["Authorization"]); n > 1 {
		return "", errAuthorizations(n)
	}
	token, ok := cutBearer(h)
	switch {
	case !ok:
		return "", ErrNoEvidence
	case token == "":
		return "", errors.New("authorization: expected a token after Bearer, got nothing")
	case strings.ContainsFunc(token, notInToken):
		return "", errors.New("authorization: expected one bearer token, got characters that none has")
	}
	return token, nil
}

// DigestBearer returns the SHA-256 of the bearer token in h, and false where
// there is none or it is longer than longest. It does not look at the token's
// characters: a digest that is known belongs to a token that was.
func DigestBearer(h http.Header, longest int) (digest [sha256.Size]byte, ok bool) {
	token, ok := cutBearer(h)
	if !ok || token == "" || len(token) > longest {
		return digest, false
	}
	return DigestToken(token), true
}

// cutBearer returns what follows the scheme of a single Authorization header,
// and false when there is no such header or its scheme is another.
func cutBearer(h http.Header) (token string, ok bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	return strings.TrimLeft(token, " "), strings.EqualFold(scheme, "Bearer")
}

func errAuthorizations(n int) error {
	return fmt.Errorf("authorization: expected one header, got %d", n)
}

// notInToken reports whether r is outside the b64token of RFC 6750.
func notInToken(r rune) bool {
	alphanumeric := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !alphanumeric && !strings.ContainsRune("-._~+/=", r)
}

// DigestToken returns the SHA-256 of a bearer token.
func DigestToken(token string) [sha256.Size]byte {
	var room [2 << 10]byte // on the stack, and enough for most
	return sha256.Sum256(append(room[:0], token...))
}

// DigestChain returns the SHA-256 of the DER of all of a peer's certificates,
// leaf first.
func DigestChain(certs []*x509.Certificate) [sha256.Size]byte {
	if len(certs) == 1 {
		return sha256.Sum256(certs[0].Raw)
	}
	h := sha256.New()
	for _, c := range certs {
		h.Write(c.Raw)
	}
	var digest [sha256.Size]byte
	h.Sum(digest[:0])
	return digest
}
