package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"mintmark/attest"
	"mintmark/internal/fault"
)

// The grant types of RFC 6749, RFC 8693 and RFC 7523.
const (
	clientCredentials = "client_credentials"
	authorizationCode = "authorization_code"
	refreshToken      = "refresh_token"
	tokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	jwtBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// idJAG is the token type of an identity assertion authorization grant
// (draft-ietf-oauth-identity-assertion-authz-grant).
const idJAG = tokenTypes + "id-jag"

// mint is one mint under way.
type mint struct {
	p     *provider
	at    endpoints
	agent attest.Identity
	bond  bond
}

// grant gets the token of a mint. Its errors are explained; a token with one was issued
// and must not be used.
type grant func(ctx context.Context, m *mint) (*oauth2.Token, error)

// grantOf returns the grant that c registers.
func grantOf(c Config, idp *authority) grant {
	switch {
	case c.TokenExchange != nil:
		return c.TokenExchange.mint
	case c.JWTBearer != nil:
		return c.JWTBearer.mint
	case c.IDJAG != nil:
		return idJAGGrant{*c.IDJAG, idp}.mint
	case c.RefreshToken != nil:
		return rotation{origin: c.RefreshToken.Token, store: store{c.RefreshToken.State.String()}, dpop: c.DPoP}.mint
	case c.AuthorizationCode != nil:
		return rotation{origin: c.AuthorizationCode.Code, code: c.AuthorizationCode, store: store{c.AuthorizationCode.State.String()}, dpop: c.DPoP}.mint
	}
	return func(ctx context.Context, m *mint) (*oauth2.Token, error) {
		return m.ask(ctx, func() (url.Values, error) { return m.params(clientCredentials), nil })
	}
}

// ask asks the registered server.
func (m *mint) ask(ctx context.Context, params form) (*oauth2.Token, error) {
	return m.p.server.ask(ctx, m.at, &m.bond, params)
}

// params returns the parameters that every grant of the registration has.
func (m *mint) params(grantType string) url.Values {
	v := url.Values{"grant_type": {grantType}}
	for name, value := range map[string]string{
		"scope": strings.Join(m.p.config.Scopes, " "), "resource": m.p.config.Resource, "audience": m.p.config.Audience,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

// mint does RFC 8693, section 2.1.
func (g TokenExchange) mint(ctx context.Context, m *mint) (*oauth2.Token, error) {
	token, err := m.ask(ctx, func() (url.Values, error) {
		v := m.params(tokenExchange)
		v.Set("requested_token_type", tokenTypes+"access_token")
		if err := m.show(ctx, v, "subject_token", g.Subject, "jwt", m.at); err != nil {
			return nil, err
		}
		if g.Actor == nil {
			return v, nil
		}
		return v, m.show(ctx, v, "actor_token", *g.Actor, "jwt", m.at)
	})
	if err == nil {
		err = m.at.asked(m.at.token, exchanged(token))
	}
	return token, err
}

// exchanged refuses what the server calls another kind of token, such as a refresh token: it is
// nothing to show to an upstream. What is called anything else is taken for the access token that
// was asked for: some servers name none, and some write it in words of their own.
func exchanged(token *oauth2.Token) error {
	issued, _ := token.Extra("issued_token_type").(string)
	switch kind := strings.TrimPrefix(issued, tokenTypes); kind {
	case "refresh_token", "id_token", "saml1", "saml2", "id-jag":
		return fault.Wrap("lease", fault.Internal, server+" issued something else than an access token",
			fmt.Errorf("expected issued_token_type %saccess_token, got %s", tokenTypes, kind))
	}
	return nil
}

// show puts the token of s and its type into v.
func (m *mint) show(ctx context.Context, v url.Values, name string, s Source, otherwise string, at endpoints) error {
	token, err := s.token(ctx, m.agent, at, m.p.env)
	if err != nil {
		return err
	}
	v.Set(name, token)
	v.Set(name+"_type", s.tokenType(otherwise))
	return nil
}

// mint does RFC 7523, section 2.1.
func (g JWTBearer) mint(ctx context.Context, m *mint) (*oauth2.Token, error) {
	return m.ask(ctx, func() (url.Values, error) {
		assertion, err := g.Assertion.token(ctx, m.agent, m.at, m.p.env)
		if err != nil {
			return nil, err
		}
		v := m.params(jwtBearer)
		v.Set("assertion", assertion)
		return v, nil
	})
}

type idJAGGrant struct {
	IDJAG
	idp *authority
}

// mint gets the assertion of the identity provider, which is for the resource's
// authorization server and for one use, and shows it there. One that brought no token is
// good until it ends, so it is ended where it can be.
func (g idJAGGrant) mint(ctx context.Context, m *mint) (*oauth2.Token, error) {
	var shown []string
	token, err := m.ask(ctx, func() (url.Values, error) {
		assertion, err := g.assertion(ctx, m)
		if err != nil {
			return nil, err
		}
		shown = append(shown, assertion)
		v := m.params(jwtBearer)
		v.Set("assertion", assertion)
		return v, nil
	})
	if token == nil {
		for _, assertion := range shown {
			err = g.withdraw(ctx, assertion, err)
		}
	}
	return token, err
}

// withdraw has the identity provider end an assertion, and adds to err, for which it
// brought no token, what became of it.
func (g idJAGGrant) withdraw(ctx context.Context, assertion string, err error) error {
	at, unknown := g.idp.where.find(ctx)
	if unknown != nil || at.revocation == "" || g.idp.irrevocable.Load() {
		return err
	}
	became := fmt.Errorf("of the identity provider's assertion: %w", g.giveBack(ctx, at, assertion))
	if cause := errors.Unwrap(err); cause != nil {
		became = fmt.Errorf("%w; %w", cause, became)
	}
	return fault.Wrap("lease", fault.KindOf(err), fault.HintOf(err), became)
}

func (g idJAGGrant) assertion(ctx context.Context, m *mint) (string, error) {
	at, err := g.idp.where.find(ctx)
	if err != nil {
		return "", err
	}
	token, err := g.idp.ask(ctx, at, &bond{}, func() (url.Values, error) {
		v := m.params(tokenExchange)
		v.Set("requested_token_type", idJAG)
		v.Set("audience", or(m.p.config.Audience, or(m.at.issuer, m.at.token)))
		return v, m.show(ctx, v, "subject_token", g.Subject, "id_token", at)
	})
	if token == nil {
		return "", err
	}
	if issued, _ := token.Extra("issued_token_type").(string); err == nil && issued != idJAG {
		err = at.asked(at.token, fault.Wrap("lease", fault.Internal, "the identity provider issued something else than an identity assertion grant",
			fmt.Errorf("expected issued_token_type %s, got another", idJAG)))
	}
	if err != nil {
		return "", fault.Wrap("lease", fault.KindOf(err), fault.HintOf(err), fmt.Errorf("%w: %w", errors.Unwrap(err), g.giveBack(ctx, at, token.AccessToken)))
	}
	return token.AccessToken, nil
}

// giveBack has the identity provider end what it issued in place of an assertion, and
// returns what became of it: the Pool knows of no token there.
func (g idJAGGrant) giveBack(ctx context.Context, at endpoints, token string) error {
	if at.revocation == "" {
		return errors.New("it can't be revoked there, as no revocation endpoint is known, and ends by itself")
	}
	if err := g.idp.revoke(ctx, at, token); err != nil {
		return fmt.Errorf("it is not revoked, and ends by itself: %w", err)
	}
	return errors.New("it is revoked")
}
