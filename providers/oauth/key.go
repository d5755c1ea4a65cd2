package oauth

import (
	"crypto/rand"
	"time"

	"mintmark/broker/bundle"
	"mintmark/providers/internal/jwtkey"
)

// assertionLife is how long an assertion is good that the broker signs: it is used
// at once.
const assertionLife = time.Minute

// statement is what an assertion says.
type statement struct{ issuer, subject, audience, keyID string }

// sign returns s as a JWT that the key of ref signed at now, and that is used once.
func sign(ref bundle.Ref, s statement, now time.Time) (string, error) {
	key, err := jwtkey.Read(ref)
	if err != nil {
		return "", err
	}
	claims := map[string]any{
		"iss": s.issuer,
		"sub": s.subject,
		"aud": s.audience, // one, and as text: a list could be meant for others too
		"iat": now.Unix(),
		"exp": now.Add(assertionLife).Unix(),
		"jti": rand.Text(),
	}
	if s.keyID == "" { // a server that knows one key of the client by another name finds it
		return key.SignUnnamed(claims)
	}
	return key.Sign(s.keyID, claims)
}
