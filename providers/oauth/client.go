package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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
	id, secret string
	style      oauth2.AuthStyle
	params     url.Values
}

// login authenticates the broker to the server of at, anew each time: an
// assertion is good once.
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
	}
	return l, nil
}

func (l *login) assert(kind, assertion string) {
	l.params.Set("client_assertion_type", assertionTypes+kind)
	l.params.Set("client_assertion", assertion)
}

// secure returns what the account says about TLS: under mtls every connection shows
// the certificate as it is then, so that a file or an SVID that was renewed is used.
func (a account) secure(roots *x509.CertPool, env providers.Env) *tls.Config {
	settings := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if a.style == styleMTLS {
		settings.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return a.ownCertificate(info.Context(), env)
		}
	}
	return settings
}

func (a account) ownCertificate(ctx context.Context, env providers.Env) (*tls.Certificate, error) {
	if a.certificate == "" {
		return providers.OwnCertificate(ctx, env.Self)
	}
	chain, err := a.certificate.Read(maxCertificate)
	if err != nil {
		return nil, err
	}
	key, err := a.key.Resolve()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, []byte(key))
	return &pair, err
}

// maxCertificate bounds the file of a client certificate.
const maxCertificate = 64 << 10

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
