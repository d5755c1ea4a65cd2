package oauth

import (
	"context"
	"strconv"
	"strings"

	"mintmark/attest"
	"mintmark/broker/bundle"
	"mintmark/providers"
)

// tokenTypes is what every token type of RFC 8693, section 3, begins with.
const tokenTypes = "urn:ietf:params:oauth:token-type:"

// ofIssuer is the audience that stands for the server's issuer.
const ofIssuer = "issuer"

// Source is where a token comes from that the broker shows: exactly one of Token,
// SVID and Signed.
type Source struct {
	// Token is read anew each time, such as what a platform projects into a file.
	Token bundle.Ref `yaml:"token"`
	// SVID is the broker's own JWT-SVID. "issuer" stands for the server's issuer;
	// anything else is the audience.
	SVID string `yaml:"svid"`
	// Signed is a JWT that the broker signs.
	Signed *Signed `yaml:"signed"`
	// Type is the token's type (RFC 8693, section 3), such as "id_token", or a whole
	// URN. Default jwt.
	Type string `yaml:"type"`
}

// Signed is a JWT that the broker signs, good for 60 s.
type Signed struct {
	// Key is a PEM private key.
	Key bundle.Ref `yaml:"key" check:"required"`
	// KeyID is its kid.
	KeyID string `yaml:"key_id"`
	// Issuer is the iss.
	Issuer string `yaml:"issuer" check:"required"`
	// Subject is the sub, with {agent}, {subject_path} and {trust_domain} as
	// providers.FillText fills them.
	Subject string `yaml:"subject" check:"required"`
	// Audience is the aud, instead of the server's issuer.
	Audience string `yaml:"audience"`
}

func (s Source) validate(report reporter, field string) {
	if n := count(!s.Token.IsZero(), s.SVID != "", s.Signed != nil); n != 1 {
		report(field, "exactly one of token, svid and signed", strconv.Itoa(n))
	}
	if s.Type != "" && strings.ContainsFunc(s.Type, func(r rune) bool { return r <= ' ' || r > '~' }) {
		report(field+".type", "a token type such as id_token, or a URN", strconv.Quote(s.Type))
	}
	if s.Signed != nil {
		providers.CheckText(report, field+".signed.subject", s.Signed.Subject)
	}
}

// perAgent reports whether the token of s names the agent.
func (s Source) perAgent() bool {
	return s.Signed != nil && providers.PerAgent(s.Signed.Subject)
}

// stored reports whether the token of s may be good for other servers than the one
// that it is shown to.
func (s Source) stored() bool {
	return !s.Token.IsZero() || s.SVID != "" && s.SVID != ofIssuer || s.Signed != nil && s.Signed.Audience != ""
}

// needsSelf reports whether the token of s is the broker's own SVID.
func (s Source) needsSelf() bool { return s.SVID != "" }

// tokenType returns the URN of the token's type.
func (s Source) tokenType(otherwise string) string {
	kind := or(s.Type, otherwise)
	if strings.Contains(kind, ":") {
		return kind
	}
	return tokenTypes + kind
}

// token returns the token to show to the server of at, on behalf of agent.
func (s Source) token(ctx context.Context, agent attest.Identity, at endpoints, env providers.Env) (string, error) {
	issuer := or(at.issuer, at.token)
	switch {
	case s.SVID == ofIssuer:
		return ownSVID(ctx, env, issuer)
	case s.SVID != "":
		return ownSVID(ctx, env, s.SVID)
	case s.Signed != nil:
		return s.Signed.token(agent, issuer, env)
	}
	token, err := s.Token.Resolve()
	if err != nil {
		return "", ownSecret(err)
	}
	return token, nil
}

func (s Signed) token(agent attest.Identity, issuer string, env providers.Env) (string, error) {
	subject, err := providers.FillText(s.Subject, agent)
	if err != nil {
		return "", err
	}
	return sign(s.Key, statement{issuer: s.Issuer, subject: subject, audience: or(s.Audience, issuer), keyID: s.KeyID}, env.Now())
}
