// Package gcp mints access tokens of Google Cloud by workload identity federation:
// the broker shows its JWT-SVID to a workload identity pool and holds no secret.
package gcp

import (
	"strconv"
	"strings"
	"time"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

const (
	defaultUniverse = "googleapis.com"
	cloudPlatform   = "https://www.googleapis.com/auth/cloud-platform"
	maxLifetime     = 12 * time.Hour
)

// Config is the registration of one provider of a workload identity pool.
type Config struct {
	// Audience is the full name of the pool's provider:
	// //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER.
	Audience string `yaml:"audience" check:"required"`
	// SubjectAudience is the audience of the broker's JWT-SVID: "https:" and Audience
	// by default, as the pool's provider expects unless it lists others.
	SubjectAudience string `yaml:"subject_audience"`
	// Scopes are what to ask for: https://www.googleapis.com/auth/cloud-platform by
	// default.
	Scopes []string `yaml:"scopes"`
	// Impersonate is a service account to become.
	Impersonate *Impersonate `yaml:"impersonate"`
	// Universe is the domain of the cloud's services: googleapis.com by default.
	Universe string `yaml:"universe"`
	// TokenURL and IAMURL replace https://sts.UNIVERSE/v1/token and
	// https://iamcredentials.UNIVERSE, for private endpoints.
	TokenURL bundle.URL `yaml:"token_url"`
	IAMURL   bundle.URL `yaml:"iam_url"`
	// CA is a PEM file of the only roots to trust instead of the system's.
	CA bundle.Path `yaml:"ca"`
}

// Impersonate is a service account whose token is minted.
type Impersonate struct {
	// ServiceAccount is its e-mail address.
	ServiceAccount string `yaml:"service_account" check:"required"`
	// Lifetime of the token: up to 1h (default), and up to 12h where the
	// organisation's policy lets it.
	Lifetime bundle.Duration `yaml:"lifetime"`
	// Delegates are the service accounts in between, in order.
	Delegates []string `yaml:"delegates"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	providers.CheckEndpoint(report, "token_url", c.TokenURL)
	providers.CheckEndpoint(report, "iam_url", c.IAMURL)
	if !strings.HasPrefix(c.Audience, "//iam.") || !strings.Contains(c.Audience, "/workloadIdentityPools/") || !strings.Contains(c.Audience, "/providers/") {
		report("audience", "the full name of a pool's provider, such as //iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/POOL/providers/NAME", strconv.Quote(c.Audience))
	}
	for i, scope := range c.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \t\n") {
			report("scopes["+strconv.Itoa(i)+"]", "one scope", strconv.Quote(scope))
		}
	}
	if c.Universe != "" && strings.ContainsFunc(c.Universe, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' }) {
		report("universe", "a domain such as googleapis.com", strconv.Quote(c.Universe))
	}
	if c.Impersonate != nil {
		c.Impersonate.validate(report)
	}
}

func (i Impersonate) validate(report func(field, want, got string)) {
	if !isAccount(i.ServiceAccount) {
		report("impersonate.service_account", "the e-mail address of a service account", strconv.Quote(i.ServiceAccount))
	}
	for n, name := range i.Delegates {
		if !isAccount(name) {
			report("impersonate.delegates["+strconv.Itoa(n)+"]", "the e-mail address of a service account", strconv.Quote(name))
		}
	}
	if d := i.Lifetime.Duration; d > maxLifetime || d%time.Second != 0 {
		report("impersonate.lifetime", "whole seconds, up to 12h", d.String())
	}
}

// isAccount reports whether s is an address that means the same in a path.
func isAccount(s string) bool {
	name, domain, ok := strings.Cut(s, "@")
	return ok && name != "" && domain != "" && !strings.ContainsFunc(name+domain, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

// Mints says what the provider makes; see bundle.Minter.
func (Config) Mints() string { return string(providers.Token) }
