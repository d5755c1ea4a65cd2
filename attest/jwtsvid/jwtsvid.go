// Package jwtsvid attests a workload by a JWT-SVID that it sends as bearer
// token.
package jwtsvid

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"mintmark/attest"
	"mintmark/broker/bundle"
)

// Kind is the name of this attestor in mintmark.yaml and in the record.
const Kind = "jwt-svid"

const (
	// maxToken is the longest token that is looked at, in bytes.
	maxToken = 8 << 10
	// skew is how far ahead of ours an issuer's clock may be. It never
	// lengthens a token's life.
	skew = 5 * time.Second
	// defaultLifetime is twelve times what SPIRE issues.
	defaultLifetime = time.Hour
)

// Config is the registration of this attestor.
type Config struct {
	// Audience is the broker's own name: the one "aud" that a token must be for.
	Audience string `yaml:"audience" check:"required"`
	// MaxLifetime is the longest life a token may be issued for. Default 1h.
	MaxLifetime bundle.Duration `yaml:"max_lifetime"`
}

// Scheme is the HTTP authentication scheme that tokens come under.
func (Config) Scheme() string { return "Bearer" }

// Source is where the trust bundles come from.
type Source interface {
	jwtbundle.Source
	attest.TrustDomains
}

// Attestor verifies JWT-SVIDs. It is safe for concurrent use.
type Attestor struct {
	// Clock tells the time; Open sets time.Now. Change it before the first
	// use. The library that verifies signatures looks at time.Now besides.
	Clock       func() time.Time
	audience    string
	maxLifetime time.Duration
	bundles     Source
}

// Open returns the Attestor for tokens to c.Audience that believes bundles.
func Open(c Config, bundles Source) (*Attestor, error) {
	if c.Audience == "" {
		return nil, errors.New("open jwt-svid attestor: got no audience, want the broker's own name")
	}
	a := &Attestor{Clock: time.Now, audience: c.Audience, maxLifetime: c.MaxLifetime.Duration, bundles: bundles}
	if a.maxLifetime == 0 {
		a.maxLifetime = defaultLifetime
	}
	return a, nil
}

// Accepts says what a caller can show.
func (a *Attestor) Accepts() string {
	return fmt.Sprintf("a JWT-SVID for audience %q as bearer token", a.audience)
}

// Digest returns the SHA-256 of the token.
func (a *Attestor) Digest(e attest.Evidence) (digest [sha256.Size]byte, ok bool) {
	return attest.DigestBearer(e.Header, maxToken)
}

// Attest verifies the bearer token. It demands what go-spiffe does not: a
// single audience, an expiry to the second, and a bounded life. No error
// repeats the token.
func (a *Attestor) Attest(_ context.Context, e attest.Evidence) (attest.Identity, error) {
	token, err := attest.Bearer(e.Header)
	if err != nil {
		return attest.Identity{}, err
	}
	if len(token) > maxToken {
		return attest.Identity{}, fmt.Errorf("bearer token: expected at most %d bytes, got %d", maxToken, len(token))
	}
	now := a.Clock()
	svid, err := jwtsvid.ParseAndValidate(token, a.bundles, []string{a.audience})
	if err != nil {
		return attest.Identity{}, a.explain(token, err, now)
	}
	if err := a.checkClaims(svid, now); err != nil {
		return attest.Identity{}, err
	}
	digest := attest.DigestToken(token)
	return attest.Proven(attest.Proof{
		ID:       svid.ID,
		Attestor: Kind,
		Evidence: hex.EncodeToString(digest[:]),
		Expires:  svid.Expiry,
	}), nil
}

// checkClaims judges claims whose signature is verified.
func (a *Attestor) checkClaims(svid *jwtsvid.SVID, now time.Time) error {
	issued := claimTime(svid, "iat", now)
	switch begins := claimTime(svid, "nbf", now); {
	case len(svid.Audience) != 1 || svid.Audience[0] != a.audience:
		return a.wrongAudience(svid.Audience)
	case svid.ID.Path() == "":
		return fmt.Errorf("sub: expected the SPIFFE ID of a workload, got that of the trust domain %s", svid.ID)
	case !now.Before(svid.Expiry):
		return expired(svid.Expiry, now)
	case begins.After(now.Add(skew)):
		return future("nbf", begins, now)
	case issued.After(now.Add(skew)):
		return future("iat", issued, now)
	}
	// A token without iat could be of any age; what it still has to live is bounded.
	if life := svid.Expiry.Sub(issued); life > a.maxLifetime {
		return fmt.Errorf("exp: expected a token issued for at most %s (max_lifetime), got one for %s", a.maxLifetime, life.Round(time.Second))
	}
	return nil
}

// claimTime returns a time claim, or missing. The library has refused one that
// is no number.
func claimTime(svid *jwtsvid.SVID, name string, missing time.Time) time.Time {
	seconds, ok := svid.Claims[name].(float64)
	if !ok {
		return missing
	}
	return time.Unix(int64(seconds), 0)
}
