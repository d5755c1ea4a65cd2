package oauth

import (
	"context"
	"crypto/tls"
	"net/url"

	"golang.org/x/oauth2"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// The ways in which a client authenticates (RFC 6749, section 2.3; OpenID Connect
// Core, section 9; draft-ietf-oauth-spiffe-client-auth; RFC 8705).
const (
	styleBasic = "basic"
	stylePost  = "post"
	styleKey   = "private_key_jwt"
	styleSVID  = "jwt_svid"
	styleMTLS  = "mtls"
	styleNone  = "none"
)

// assertionTypes is what every client_assertion_type begins with.
const assertionTypes = "urn:ietf:params:oauth:client-assertion-type:"

func (a account) styleName() string {
	if a.style == "" {
		return styleBasic
	}
	return a.style
}

// login is what one request shows of the client.
type login struct {
	id, secret  string
	style       oauth2.AuthStyle
	params      url.Values
	certificate *tls.Certificate // nil: none
}

// login authenticates the broker to the server of at, anew each time: an
// assertion is good once, and a certificate may have been replaced.
func (a account) login(ctx context.Context, at endpoints, env providers.Env) (login, error) {
	l := login{id: a.id, style: oauth2.AuthStyleInParams, params: url.Values{}}
	audience := or(a.assertionAudience, or(at.issuer, at.token))
	switch a.styleName() {
	case styleBasic, stylePost:
		secret, err := a.secret.Resolve()
		if err != nil {
			return login{}, ownSecret(err)
		}
		l.secret = secret
		if a.styleName() == styleBasic {
			l.style = oauth2.AuthStyleInHeader
		}
	case styleKey:
		assertion, err := sign(a.key, statement{issuer: a.id, subject: a.id, audience: audience, keyID: a.keyID}, env.Now())
		if err != nil {
			return login{}, err
		}
		l.assert("jwt-bearer", assertion)
	case styleSVID:
		svid, err := ownSVID(ctx, env, audience)
		if err != nil {
			return login{}, err
		}
		l.assert(or(a.assertionType, "jwt-spiffe"), svid)
	case styleMTLS:
		shown, err := a.ownCertificate(ctx, env)
		if err != nil {
			return login{}, err
		}
		l.certificate = shown
	}
	return l, nil
}

func (l *login) assert(kind, assertion string) {
	l.params.Set("client_assertion_type", assertionTypes+kind)
	l.params.Set("client_assertion", assertion)
}

// ownSVID returns a JWT-SVID of the broker.
func ownSVID(ctx context.Context, env providers.Env, audience string) (string, error) {
	svid, err := env.Self.JWTSVID(ctx, audience)
	if err != nil {
		return "", fault.Wrap("lease", fault.Unavailable, "the broker has no identity to show to "+server, err)
	}
	return svid, nil
}

func ownSecret(err error) error {
	return fault.Wrap("lease", fault.Internal, "the broker cannot read its own secret for the credential provider", err)
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
