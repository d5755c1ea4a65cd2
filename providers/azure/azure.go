// Package azure mints access tokens of Microsoft Entra ID for an application that
// trusts the broker's trust domain (a federated credential): the broker shows its
// JWT-SVID and holds no secret.
package azure

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"mintmark/broker/bundle"
	"mintmark/providers"
	"mintmark/providers/internal/jsonhttp"
)

const (
	defaultAuthority = "https://login.microsoftonline.com"
	defaultAudience  = "api://AzureADTokenExchange"
	system           = "azure"
)

// Config is the registration of one application.
type Config struct {
	// Authority is the cloud: https://login.microsoftonline.com by default, and
	// https://login.microsoftonline.us or https://login.partner.microsoftonline.cn.
	Authority bundle.URL `yaml:"authority"`
	// CA is a PEM file of the only roots to trust instead of the system's.
	CA bundle.Path `yaml:"ca"`
	// TenantID is the directory: its id or one of its domains.
	TenantID string `yaml:"tenant_id" check:"required"`
	// ClientID is the application's id.
	ClientID string `yaml:"client_id" check:"required"`
	// Scope is what to ask for: https://graph.microsoft.com/.default.
	Scope string `yaml:"scope" check:"required"`
	// Audience is what the federated credential names: api://AzureADTokenExchange by
	// default; the national clouds have others.
	Audience string `yaml:"audience"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	providers.CheckEndpoint(report, "authority", c.Authority)
	if !plain(c.TenantID) {
		report("tenant_id", "the id of a directory or one of its domains", strconv.Quote(c.TenantID))
	}
	if slices.Contains([]string{"common", "organizations", "consumers"}, c.TenantID) {
		report("tenant_id", "one directory", strconv.Quote(c.TenantID)+", which is many")
	}
	if !strings.HasSuffix(c.Scope, "/.default") || strings.ContainsAny(c.Scope, " \t\n") {
		report("scope", `one resource and "/.default", such as https://graph.microsoft.com/.default`, strconv.Quote(c.Scope))
	}
}

// plain reports whether s is one segment of a path as it is.
func plain(s string) bool {
	return s != "." && s != ".." && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	})
}

type provider struct {
	config   Config
	url      string
	audience string
	client   jsonhttp.Client
	env      providers.Env
}

// Open returns the provider that cfg registers. It does no network I/O.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	if env.Self == nil {
		return nil, errors.New("open azure provider: it needs an identity of the broker's own: set trust.workload_api")
	}
	roots, err := providers.Roots(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("open azure provider: %w", err)
	}
	authority := strings.TrimSuffix(cfg.Authority.String(), "/")
	if authority == "" {
		authority = defaultAuthority
	}
	p := &provider{config: cfg, url: authority + "/" + url.PathEscape(cfg.TenantID) + "/oauth2/v2.0/token", audience: cfg.Audience, env: env}
	if p.audience == "" {
		p.audience = defaultAudience
	}
	p.client = jsonhttp.Client{System: system, HTTP: providers.HTTPClient(roots), Explain: explain}
	return p, nil
}

// Mint asks for a token with the broker's JWT-SVID as client assertion (RFC 7523,
// section 2.2).
func (p *provider) Mint(ctx context.Context, _ providers.Request) (providers.Credential, error) {
	svid, err := jsonhttp.Assertion(ctx, p.env.Self, p.audience, system)
	if err != nil {
		return providers.Credential{}, err
	}
	start := p.env.Now()
	r, err := jsonhttp.Form(ctx, p.url, url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {p.config.ClientID},
		"scope":                 {p.config.Scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {svid},
	})
	if err != nil {
		return providers.Credential{}, err
	}
	token, err := p.client.Token(r)
	if token.Value.IsZero() {
		return providers.Credential{}, err
	}
	return providers.Seal(providers.Token, providers.Material{Token: token.Value}, providers.Terms{
		Scopes:   []string{p.config.Scope},
		NotAfter: token.End(start),
	}), err
}

// explain gives the error's code, and its number at Microsoft where it is one that
// a federated credential can have.
func explain(_ int, answer []byte) string {
	var refusal struct {
		Codes []int `json:"error_codes"`
	}
	_ = json.Unmarshal(answer, &refusal) // what does not parse has no numbers
	said := jsonhttp.Code(answer)
	for _, code := range refusal.Codes {
		if words := meaning(code); words != "" {
			return jsonhttp.Join(said, "AADSTS"+strconv.Itoa(code), words)
		}
	}
	return said
}

// meaning returns our own words for the numbers that Microsoft documents.
func meaning(code int) string {
	switch code {
	case 70021, 700211, 700212, 700213:
		return "no federated credential fits the broker's JWT-SVID: compare its issuer, its subject and audience"
	case 700016:
		return "no such application in the directory: compare client_id and tenant_id"
	case 90002:
		return "no such directory: compare tenant_id and authority"
	case 500011:
		return "no such resource in the directory: compare scope"
	case 700024:
		return "the broker's JWT-SVID is not good now: compare the clocks"
	case 50027, 7000272, 5000224:
		return "the broker's JWT-SVID cannot be verified: compare what the issuer publishes"
	case 53003:
		return "a conditional access policy refuses the broker"
	}
	return ""
}

// Mints says what the provider makes; see bundle.Minter.
func (Config) Mints() string { return string(providers.Token) }
