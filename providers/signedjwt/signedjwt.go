// Package signedjwt mints JSON Web Tokens that the broker signs itself (RFC 7519),
// for systems that know its public key.
package signedjwt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mintmark/broker/bundle"
	"mintmark/providers"
	"mintmark/providers/internal/jwtkey"
)

const (
	defaultSubject = "{agent}"
	defaultTTL     = 5 * time.Minute
	minTTL         = 10 * time.Second
	maxTTL         = 24 * time.Hour
)

// Config is the registration of one kind of token.
type Config struct {
	// Key is a PEM private key that the broker signs with, read anew for each mint:
	// PKCS #8, PKCS #1 for RSA, or SEC 1 for EC. It says the algorithm: RS256, ES256,
	// ES384, ES512 or EdDSA.
	Key bundle.Ref `yaml:"key" check:"required"`
	// Kid names the key in the header. Default: its thumbprint (RFC 7638, SHA-256).
	Kid string `yaml:"kid"`
	// Issuer is who the token is from.
	Issuer string `yaml:"issuer" check:"required"`
	// Audience is whom it is for.
	Audience []string `yaml:"audience" check:"required"`
	// Subject is whom it is about. {agent} is the agent's SPIFFE ID, {subject_path}
	// its path without the first slash, {trust_domain} its trust domain; with any of
	// them each agent has its own token. Default {agent}.
	Subject string `yaml:"subject"`
	// TTL is how long a token is good: from 10s to 24h, 5m by default.
	TTL bundle.Duration `yaml:"ttl"`
	// Claims are further claims, the same in each token, as a JSON object.
	Claims string `yaml:"claims" check:"json"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	providers.CheckApart(report, "subject", c.Subject)
	if strings.ContainsAny(providers.WithoutAnyPlaceholder(c.Subject), "{}") {
		report("subject", "text with no other placeholders than {agent}, {subject_path} and {trust_domain}", strconv.Quote(c.Subject))
	}
	if d := c.TTL.Duration; d != 0 && (d < minTTL || d > maxTTL || d%time.Second != 0) {
		report("ttl", "whole seconds, from 10s to 24h", d.String())
	}
	if _, err := c.claims(); err != nil {
		report("claims", `JSON in quotes, such as '{"role": "reader"}', of claims other than iss, sub, aud, exp, nbf, iat and jti`, err.Error())
	}
	if i := slices.Index(c.Audience, ""); i >= 0 {
		report("audience["+strconv.Itoa(i)+"]", "a name", "nothing")
	}
}

// claims returns the further claims as they are written.
func (c Config) claims() (map[string]jsontext.Value, error) {
	if c.Claims == "" {
		return map[string]jsontext.Value{}, nil
	}
	var all map[string]jsontext.Value
	if err := json.Unmarshal([]byte(c.Claims), &all); err != nil || all == nil {
		return nil, fmt.Errorf("%d bytes that are none", len(c.Claims))
	}
	for _, own := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"} {
		if _, ok := all[own]; ok {
			return nil, errors.New(own)
		}
	}
	return all, nil
}

type provider struct {
	config  Config
	subject string
	ttl     time.Duration
	claims  map[string]jsontext.Value
	env     providers.Env
}

// Open returns the provider that cfg registers. It reads no key yet.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	claims, err := cfg.claims()
	if err != nil {
		return nil, fmt.Errorf("open signed-jwt provider: got claims with %w, want a JSON object of other claims", err)
	}
	p := &provider{config: cfg, subject: cfg.Subject, ttl: cfg.TTL.Duration, claims: claims, env: env}
	if p.subject == "" {
		p.subject = defaultSubject
	}
	if p.ttl == 0 {
		p.ttl = defaultTTL
	}
	return p, nil
}

// PerAgent reports whether the subject, and so the token, is the agent's own.
func (p *provider) PerAgent() bool {
	return providers.PerAgent(p.subject)
}

// Mint signs a token.
func (p *provider) Mint(_ context.Context, req providers.Request) (providers.Credential, error) {
	subject, err := providers.FillSubject(p.subject, req.Agent)
	if err != nil {
		return providers.Credential{}, err
	}
	key, err := jwtkey.Read(p.config.Key)
	if err != nil {
		return providers.Credential{}, err
	}
	now := p.env.Now().Truncate(time.Second)
	end := now.Add(p.ttl)
	claims := make(map[string]any, len(p.claims)+6)
	for name, value := range p.claims {
		claims[name] = value
	}
	claims["iss"], claims["aud"] = p.config.Issuer, p.audience()
	claims["sub"], claims["iat"], claims["exp"], claims["jti"] = subject, now.Unix(), end.Unix(), rand.Text()
	token, err := key.Sign(p.config.Kid, claims)
	if err != nil {
		return providers.Credential{}, err
	}
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(token)}, providers.Terms{
		Scopes:   p.config.Audience,
		NotAfter: end,
	}), nil
}

// audience is a list only where there are several: some verifiers read text alone.
func (p *provider) audience() any {
	if len(p.config.Audience) == 1 {
		return p.config.Audience[0]
	}
	return p.config.Audience
}

// Mints says what the provider makes; see bundle.Minter.
func (Config) Mints() string { return string(providers.Token) }
