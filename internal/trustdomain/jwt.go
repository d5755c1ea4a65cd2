package trustdomain

import (
	"fmt"
	"maps"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// JWTRequest says what a JWT-SVID is to be like. Audience is all that an
// ordinary one needs; the rest makes the ones that must be refused.
type JWTRequest struct {
	Audience []string
	// Lifetime counts from now. A negative one makes an expired SVID. Default
	// Options.JWTLifetime.
	Lifetime time.Duration
	// KeyID replaces the key's real id in the header.
	KeyID string
	// Type is the "typ" header. Default "JWT".
	Type string
	// Claims are added to the claims, or replace them; a nil value takes one away.
	Claims map[string]any
}

// JWTSVID issues a JWT-SVID for id, signed with ES256.
func (d *Domain) JWTSVID(id spiffeid.ID, r JWTRequest) (string, error) {
	signer, err := newSigner(d.authority().jwt, r)
	if err != nil {
		return "", fmt.Errorf("sign JWT-SVID for %s: %w", id, err)
	}
	token, err := jwt.Signed(signer).Claims(d.claims(id, r)).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign JWT-SVID for %s: %w", id, err)
	}
	return token, nil
}

func newSigner(k jwtKey, r JWTRequest) (jose.Signer, error) {
	if r.KeyID != "" {
		k.id = r.KeyID
	}
	if r.Type == "" {
		r.Type = "JWT"
	}
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(r.Type))
	return jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k.key, KeyID: k.id}}, options)
}

func (d *Domain) claims(id spiffeid.ID, r JWTRequest) map[string]any {
	if r.Lifetime == 0 {
		r.Lifetime = d.options.JWTLifetime
	}
	now := d.options.Clock()
	c := map[string]any{
		"sub": id.String(),
		"aud": append([]string{}, r.Audience...), // never null
		"iat": now.Add(min(0, r.Lifetime-time.Minute)).Unix(),
		"exp": now.Add(r.Lifetime).Unix(),
	}
	if d.options.Issuer != "" {
		c["iss"] = d.options.Issuer
	}
	maps.Copy(c, r.Claims)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}
