// Package static gives out a key that somebody stored: the last resort for systems
// that know nothing better. What it cannot mint it dates, so that nobody forgets it.
package static

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// again is how long a key is used until it is read again, so that a rotated file is
// picked up.
const again = 5 * time.Minute

// soon is how long before its end a key is warned of.
const soon = 30 * 24 * time.Hour

// Config is the registration of one stored key: exactly one of Token, and Username
// with Password.
type Config struct {
	// Token is a key of one value.
	Token bundle.Ref `yaml:"token"`
	// Username goes with Password.
	Username string `yaml:"username"`
	// Password is the secret half of a user name and password.
	Password bundle.Ref `yaml:"password"`
	// Since is the day on which the key was made.
	Since bundle.Date `yaml:"since" check:"required"`
	// RotateBy is the day by which it is to be replaced: from then on it is overdue.
	RotateBy bundle.Date `yaml:"rotate_by"`
	// Expires is the day from whose beginning, in UTC, the key is refused.
	Expires bundle.Date `yaml:"expires"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	token, user, password := !c.Token.IsZero(), c.Username != "", !c.Password.IsZero()
	switch {
	case user != password:
		report("username", "username and password together", "one alone")
	case token && password:
		report("token", "either token or username and password", "both")
	case !token && !password:
		report("token", "either token or username and password", "none")
	}
	later := func(field string, day bundle.Date) {
		if !day.IsZero() && !day.After(c.Since.Time) {
			report(field, "a day after since, "+c.Since.String(), day.String())
		}
	}
	later("rotate_by", c.RotateBy)
	later("expires", c.Expires)
	if strings.Contains(c.Username, ":") {
		report("username", "a name without a colon, which ends it in basic authentication", "one with a colon")
	}
}

// Warnings returns the key's age, and what is overdue at now.
func (c Config) Warnings(now time.Time) []string {
	if c.Since.After(now) {
		return []string{fmt.Sprintf("a stored key that is said to be made on %s, in the future: correct since", c.Since)}
	}
	said := fmt.Sprintf("a stored key, made on %s, %s ago", c.Since, days(now.Sub(c.Since.Time)))
	switch {
	case c.ended(now):
		said += fmt.Sprintf(": it is refused since %s, when it expired: replace it", c.Expires)
	case !c.Expires.IsZero() && c.Expires.Sub(now) < soon:
		said += fmt.Sprintf(": it is refused from %s on, in %s: replace it", c.Expires, days(c.Expires.Sub(now)))
	case !c.RotateBy.IsZero() && !now.Before(c.RotateBy.Time):
		said += fmt.Sprintf(": it was to be replaced by %s: replace it", c.RotateBy)
	default:
		said += ": a provider that mints short-lived credentials is better"
	}
	return []string{said}
}

func days(d time.Duration) string {
	n := int(d / (24 * time.Hour))
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

func (c Config) ended(now time.Time) bool { return !c.Expires.IsZero() && !now.Before(c.Expires.Time) }

type provider struct {
	config Config
	env    providers.Env
}

// Open returns the provider that cfg registers. It reads no key yet.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	if cfg.Token.IsZero() == (cfg.Username == "" || cfg.Password.IsZero()) {
		return nil, fmt.Errorf("open static provider: got a token %t and a password %t, want one of them", !cfg.Token.IsZero(), !cfg.Password.IsZero())
	}
	return &provider{config: cfg, env: env}, nil
}

// Mint reads the key.
func (p *provider) Mint(context.Context, providers.Request) (providers.Credential, error) {
	now := p.env.Now()
	if p.config.ended(now) {
		return providers.Credential{}, fault.Wrap("lease", fault.Internal, "the stored key for this upstream has expired: the broker's operator has to replace it",
			fmt.Errorf("expired on %s", p.config.Expires))
	}
	end := now.Add(again)
	if !p.config.Expires.IsZero() && p.config.Expires.Before(end) {
		end = p.config.Expires.Time
	}
	kind, material, ref := providers.Token, providers.Material{}, p.config.Token
	if ref.IsZero() {
		kind, material.Username, ref = providers.Password, p.config.Username, p.config.Password
	}
	key, err := ref.Resolve()
	if err != nil {
		return providers.Credential{}, fault.Wrap("lease", fault.Internal, "the broker cannot read its own secret for the credential provider", err)
	}
	if kind == providers.Token {
		material.Token = providers.NewSecret(key)
	} else {
		material.Password = providers.NewSecret(key)
	}
	return providers.Seal(kind, material, providers.Terms{NotAfter: end}), nil
}

// Mints says what the provider makes; see bundle.Minter.
func (c Config) Mints() string {
	if c.Token.IsZero() {
		return string(providers.Password)
	}
	return string(providers.Token)
}

// Kept is always true: nothing ends a stored key but whoever made it.
func (p *provider) Kept() bool { return true }
