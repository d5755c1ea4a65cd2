// Package oauth mints access tokens by the client credentials grant of OAuth 2
// (RFC 6749, section 4.4), with a resource indicator (RFC 8707) where the
// registration names one.
package oauth

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// unstated is how long a token counts as good whose server does not say.
const unstated = time.Minute

// Config is the registration of one client of one authorization server.
type Config struct {
	// TokenURL is the server's token endpoint.
	TokenURL bundle.URL `yaml:"token_url" check:"required"`
	// CA is a PEM file of the only roots to trust instead of the system's.
	CA bundle.Path `yaml:"ca"`
	// ClientID is who the broker is to the server.
	ClientID string `yaml:"client_id" check:"required"`
	// ClientSecret is read anew for each mint.
	ClientSecret bundle.Ref `yaml:"client_secret" check:"required"`
	// AuthStyle is how the client authenticates: "basic" (default) or "post".
	AuthStyle string `yaml:"auth_style"`
	// Scopes are what to ask for. Empty: what the server gives by itself.
	Scopes []string `yaml:"scopes"`
	// Resource is the resource indicator to ask for (RFC 8707).
	Resource string `yaml:"resource"`
	// Audience is sent as the audience parameter that some servers want instead.
	Audience string `yaml:"audience"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	providers.CheckEndpoint(report, "token_url", c.TokenURL)
	if _, ok := style(c.AuthStyle); !ok {
		report("auth_style", `"basic" or "post"`, strconv.Quote(c.AuthStyle))
	}
	for i, scope := range c.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			report("scopes["+strconv.Itoa(i)+"]", "one scope, without spaces or quotes", strconv.Quote(scope))
		}
	}
	if u, err := url.Parse(c.Resource); c.Resource != "" && (err != nil || !u.IsAbs() || u.Fragment != "") {
		report("resource", "an absolute URI without a fragment", strconv.Quote(c.Resource))
	}
}

func style(name string) (oauth2.AuthStyle, bool) {
	switch name {
	case "", "basic":
		return oauth2.AuthStyleInHeader, true
	case "post":
		return oauth2.AuthStyleInParams, true
	}
	return oauth2.AuthStyleAutoDetect, false
}

type provider struct {
	config Config
	params url.Values
	style  oauth2.AuthStyle
	client *http.Client
	env    providers.Env
}

// Open returns the provider that cfg registers. It does no network I/O.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	roots, err := providers.Roots(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("open oauth provider: %w", err)
	}
	authStyle, ok := style(cfg.AuthStyle)
	if !ok {
		return nil, fmt.Errorf("open oauth provider: got auth style %q, want basic or post", cfg.AuthStyle)
	}
	client := providers.HTTPClient(roots)
	client.Transport = jsonOnly{client.Transport}
	p := &provider{config: cfg, params: url.Values{}, style: authStyle, client: client, env: env}
	if cfg.Resource != "" {
		p.params.Set("resource", cfg.Resource)
	}
	if cfg.Audience != "" {
		p.params.Set("audience", cfg.Audience)
	}
	return p, nil
}

// Mint asks for one token. It never retries: the Pool does.
func (p *provider) Mint(ctx context.Context, _ providers.Request) (providers.Credential, error) {
	secret, err := p.config.ClientSecret.Resolve()
	if err != nil {
		return providers.Credential{}, fault.Wrap("lease", fault.Internal, "the broker cannot read its own secret for the credential provider", err)
	}
	start := p.env.Now()
	grant := clientcredentials.Config{
		ClientID:       p.config.ClientID,
		ClientSecret:   secret,
		TokenURL:       p.config.TokenURL.String(),
		Scopes:         p.config.Scopes,
		EndpointParams: p.params,
		AuthStyle:      p.style,
	}
	// The source behind Token is new each time, so that it caches nothing.
	token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, p.client))
	if err != nil {
		return providers.Credential{}, explain(err)
	}
	return p.seal(token, start)
}

func (p *provider) seal(token *oauth2.Token, start time.Time) (providers.Credential, error) {
	if !strings.EqualFold(token.TokenType, "Bearer") { // a bound token, such as DPoP's, is no use as a bearer
		return providers.Credential{}, fault.New("lease", fault.Internal, "the authorization server issued a token that is not a bearer token")
	}
	life, err := lifetime(token.Extra("expires_in"))
	if err != nil {
		return providers.Credential{}, err
	}
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(token.AccessToken)}, providers.Terms{
		Scopes:   p.scopes(token.Extra("scope")),
		NotAfter: start.Add(life),
	}), nil
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
		return 0, fault.New("lease", fault.Internal, "the authorization server issued a token without a usable lifetime")
	}
	return time.Duration(min(seconds, longest) * float64(time.Second)), nil
}

// jsonOnly refuses a good answer that is not JSON: the library would read other
// forms too, which RFC 6749 does not know.
type jsonOnly struct{ next http.RoundTripper }

// RoundTrip does one exchange.
func (j jsonOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := j.next.RoundTrip(r)
	if err != nil || answer.StatusCode >= 300 {
		return answer, err
	}
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind != "application/json" {
		_ = answer.Body.Close()
		return nil, errNotJSON
	}
	return answer, nil
}
