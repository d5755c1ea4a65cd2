package jwtsvid

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
)

// explain says what is wrong with a token that was refused with cause, in
// words for the caller's developer. It reads the claims without a signature,
// and decides nothing by them: the token is refused already, and its sender
// knows what is in it.
func (a *Attestor) explain(token string, cause error, now time.Time) error {
	header, claims, ok := read(token)
	if !ok {
		return fmt.Errorf("bearer token: expected a JWT-SVID, got something else: %s", reason(cause))
	}
	id, err := spiffeid.FromString(claims.Subject)
	if err != nil {
		return fmt.Errorf("sub: expected a SPIFFE ID, got %s: %w", quote(claims.Subject), err)
	}
	bundle, err := a.bundles.GetJWTBundleForTrustDomain(id.TrustDomain())
	if err != nil {
		return fmt.Errorf("sub: expected a SPIFFE ID in trust domain %s, got %s", attest.ListTrustDomains(a.bundles), quote(id.TrustDomain().Name()))
	}
	if !bundle.HasJWTAuthority(header.KeyID) {
		return fmt.Errorf("kid: expected a key of trust domain %s, got %s: was the token signed before its keys changed?", id.TrustDomain(), quote(header.KeyID))
	}
	switch {
	case strings.Contains(cause.Error(), "cryptographic"):
		return fmt.Errorf("signature: expected one by key %s of trust domain %s, got another", quote(header.KeyID), id.TrustDomain())
	case claims.Expiry == nil:
		return fmt.Errorf("exp: expected a time, got none")
	case !now.Before(claims.Expiry.Time()):
		return expired(claims.Expiry.Time(), now)
	case !claims.Audience.Contains(a.audience):
		return a.wrongAudience(claims.Audience)
	}
	return fmt.Errorf("bearer token: %s", reason(cause))
}

// read decodes a token without verifying it.
func read(token string) (jose.Header, jwt.Claims, bool) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512,
	})
	if err != nil {
		return jose.Header{}, jwt.Claims{}, false
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return jose.Header{}, jwt.Claims{}, false
	}
	return parsed.Headers[0], claims, true
}

func reason(cause error) string { return strings.TrimPrefix(cause.Error(), "jwtsvid: ") }

// quote shows a claim, cut short: it is as long as its sender likes.
func quote(s string) string {
	const longest = 128
	if len(s) > longest {
		return fmt.Sprintf("%q and %d bytes more", s[:longest], len(s)-longest)
	}
	return fmt.Sprintf("%q", s)
}

func (a *Attestor) wrongAudience(got []string) error {
	return fmt.Errorf("aud: expected exactly %q, got %s", a.audience, quote(strings.Join(got, ", ")))
}

func expired(exp, now time.Time) error {
	return fmt.Errorf("exp: expected a time after now, got %s: expired %s ago", stamp(exp), now.Sub(exp).Round(time.Second))
}

func future(claim string, t, now time.Time) error {
	return fmt.Errorf("%s: expected a time that has come, got %s: in %s", claim, stamp(t), t.Sub(now).Round(time.Second))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
