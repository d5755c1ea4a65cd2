// Package oauth mints access tokens of OAuth 2 authorization servers: by the client
// credentials grant (RFC 6749, section 4.4), token exchange (RFC 8693), assertions
// (RFC 7523), identity assertion grants, and refresh tokens that rotate. It finds
// servers by their metadata (RFC 8414, RFC 9728), binds tokens to a key where asked
// (RFC 9449) and revokes them where it can (RFC 7009).
package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"mintmark/internal/dpop"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// unstated is how long a token counts as good whose server does not say.
const unstated = time.Minute

type provider struct {
	config Config
	server *authority
	grant  grant
	env    providers.Env
}

// Open returns the provider that cfg registers. It does no network I/O.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	if env.Self == nil && cfg.needsSelf() {
		return nil, errors.New("open oauth provider: the broker has no identity of its own to show: set trust.workload_api")
	}
	roots, err := providers.Roots(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("open oauth provider: %w", err)
	}
	where := discovery{issuer: cfg.Issuer.String(), mtls: cfg.AuthStyle == styleMTLS, dpop: cfg.DPoP}
	if cfg.Discover {
		where.resource = cfg.Resource
	}
	if cfg.TokenURL.URL != nil {
		where.fixed = endpoints{token: cfg.TokenURL.String(), revocation: cfg.RevocationURL.String()}
	}
	server, err := newAuthority(cfg.account(), where, roots, env)
	if err != nil {
		return nil, err
	}
	var idp *authority
	if cfg.IDJAG != nil {
		where := discovery{issuer: cfg.IDJAG.IDP.Issuer.String(), fixed: endpoints{token: cfg.IDJAG.IDP.TokenURL.String()}}
		if idp, err = newAuthority(cfg.IDJAG.IDP.account(), where, roots, env); err != nil {
			return nil, err
		}
	}
	return &provider{config: cfg, server: server, grant: grantOf(cfg, idp), env: env}, nil
}

func newAuthority(a account, where discovery, roots *x509.CertPool, env providers.Env) (*authority, error) {
	var unknown error
	a.validate(func(field, want, got string) {
		if field == "auth_style" {
			unknown = fmt.Errorf("open oauth provider: expected auth_style %s, got %s", want, got)
		}
	}, "")
	if unknown != nil {
		return nil, unknown
	}
	client := a.metadataClient(roots, env)
	where.client, where.env, where.turn = client, env, make(chan struct{}, 1)
	return &authority{account: a, where: &where, client: client, roots: roots, nonces: &dpop.Nonces{}, env: env}, nil
}

// needsSelf reports whether the broker's own SVID is shown.
func (c Config) needsSelf() bool {
	needs := c.AuthStyle == styleSVID || c.AuthStyle == styleMTLS && c.Certificate == ""
	for _, s := range c.sources() {
		needs = needs || s.needsSelf()
	}
	return needs
}

// sources returns where the grant's tokens come from.
func (c Config) sources() (all []Source) {
	if g := c.TokenExchange; g != nil {
		if all = append(all, g.Subject); g.Actor != nil {
			all = append(all, *g.Actor)
		}
	}
	if c.JWTBearer != nil {
		all = append(all, c.JWTBearer.Assertion)
	}
	if c.IDJAG != nil {
		all = append(all, c.IDJAG.Subject)
	}
	return all
}

// PerAgent reports whether a token names the agent.
func (p *provider) PerAgent() bool {
	for _, s := range p.config.sources() {
		if s.perAgent() {
			return true
		}
	}
	return false
}

// Mint asks for one token. It never retries: the Pool does.
func (p *provider) Mint(ctx context.Context, req providers.Request) (providers.Credential, error) {
	start := p.env.Now()
	at, err := p.server.where.find(ctx)
	if err != nil {
		return providers.Credential{}, err
	}
	m := &mint{p: p, at: at, agent: req.Agent}
	if p.config.DPoP {
		if m.bond.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return providers.Credential{}, fault.Wrap("lease", fault.Internal, "the broker cannot make a key", err)
		}
	}
	token, err := p.grant(ctx, m)
	if token == nil {
		return providers.Credential{}, err
	}
	c, unfit := p.seal(token, m, start)
	if err == nil {
		err = m.at.asked(at.token, unfit)
	}
	return c, err
}

// seal returns what the server issued, and with it why that must not be used, if so.
func (p *provider) seal(token *oauth2.Token, m *mint, start time.Time) (providers.Credential, error) {
	terms := providers.Terms{Scopes: p.scopes(token.Extra("scope")), Revocable: p.revocable(m.at)}
	material, err := p.bind(token, m.bond)
	life, unusable := lifetime(token.Extra("expires_in"))
	if unusable == nil { // else nobody knows when it ends
		terms.NotAfter = start.Add(life)
	}
	if err == nil {
		err = unusable
	}
	if err == nil {
		terms.NotAfter, err = p.end(terms.NotAfter, m.bond)
	}
	return providers.Seal(providers.Token, material, terms), err
}

// revocable reports whether a token is to be ended early. One of a grant that goes on
// is not: servers may end the grant with it (RFC 7009, section 2.1).
func (p *provider) revocable(at endpoints) bool {
	goesOn := p.config.RefreshToken != nil || p.config.AuthorizationCode != nil
	return at.revocation != "" && !p.config.NoRevocation && !goesOn && !p.server.irrevocable.Load()
}

// scopes returns what the server granted, or what was asked for where it does
// not say, which then is the same (RFC 6749, section 5.1).
func (p *provider) scopes(granted any) []string {
	if s, ok := granted.(string); ok {
		return strings.Fields(s)
	}
	return p.config.Scopes
}

// lifetime reads expires_in: a number, or a number as text as some servers
// write it. The library drops the difference between none and zero.
func lifetime(expiresIn any) (time.Duration, error) {
	const longest = float64(10 * 365 * 24 * time.Hour / time.Second)
	var seconds float64
	switch v := expiresIn.(type) {
	case nil:
		return unstated, nil
	case float64:
		seconds = v
	case string:
		seconds, _ = strconv.ParseFloat(v, 64) // 0 when malformed
	}
	if !(seconds > 0) {
		return 0, fault.Wrap("lease", fault.Internal, "the authorization server issued a token without a usable lifetime",
			errors.New("got an expires_in that is no number above 0: have the server state one"))
	}
	return time.Duration(min(seconds, longest) * float64(time.Second)), nil
}
