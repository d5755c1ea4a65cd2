package injector

import (
	"fmt"
	"net/http"
	"strings"

	"mintmark/internal/dpop"
	"mintmark/providers"
)

// DPoP puts a Token that is bound to a key into Authorization, and beside it the
// proof that the broker holds the key (RFC 9449, section 7). It remembers what a
// server wants the next proof to hold, and nothing of a call.
type DPoP struct{ nonces *dpop.Nonces }

// Owns reports whether name is one of the two headers.
func (DPoP) Owns(where Place, name string) bool {
	return where == InHeader && (name == authorization || name == dpop.Header)
}

// Inject writes token and proof. It returns an error for a credential without a
// token or without a key. A server that asks for a nonce (section 9) gets the call
// once more, with another proof: it has refused the first, and says so.
func (d DPoP) Inject(out *Outgoing, c providers.Opened) error {
	const behind = "DPoP "
	value, err := secretsOf(c).fill("dpop", behind+"{token}", c)
	if err != nil || c.Key() == nil || len(c.Chain()) > 0 { // a certificate's key makes no proofs
		return fmt.Errorf("scheme dpop: expected a credential with a token that is bound to a key, got none")
	}
	hash := dpop.TokenHash(value[len(behind):])
	prove := func() error {
		proof, err := dpop.Proof(c.Key(), out.Method, out.URL, dpop.Options{TokenHash: hash, Nonce: d.nonces.For(out.URL)})
		if err != nil {
			return fmt.Errorf("scheme dpop: %w", err)
		}
		return setHeader(out, dpop.Header, proof)
	}
	if err := prove(); err != nil {
		return err
	}
	if err := setHeader(out, authorization, value); err != nil {
		delete(out.Header, dpop.Header)
		return err
	}
	asked := false
	out.answered = func(answer *http.Response) (again bool, err error) {
		given := d.nonces.Keep(out.URL, answer.Header)
		if asked || !given || !asksForNonce(answer) {
			return false, nil
		}
		asked = true
		return true, prove()
	}
	return nil
}

// asksForNonce reports whether an answer refuses a proof for want of a nonce.
func asksForNonce(answer *http.Response) bool {
	if answer.StatusCode != http.StatusUnauthorized {
		return false
	}
	for _, challenge := range answer.Header["Www-Authenticate"] {
		if strings.Contains(challenge, "use_dpop_nonce") {
			return true
		}
	}
	return false
}
