// Package githubapp mints installation access tokens of a GitHub App, at GitHub or
// a GitHub Enterprise Server.
package githubapp

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/jsonhttp"
	"mintmark/providers/internal/jwtkey"
)

const (
	defaultURL = "https://api.github.com"
	apiVersion = "2022-11-28"
	// GitHub takes a JWT of 10 minutes at most, and a clock may be ahead of its own.
	earlier = time.Minute
	life    = 9 * time.Minute
	system  = "github"
)

// Config is the registration of one installation of one app.
type Config struct {
	// URL is the API: https://api.github.com by default, and
	// https://HOST/api/v3 of a GitHub Enterprise Server.
	URL bundle.URL `yaml:"url"`
	// CA is a PEM file of the only roots to trust instead of the system's.
	CA bundle.Path `yaml:"ca"`
	// AppID is the app's client id, or its number.
	AppID string `yaml:"app_id" check:"required"`
	// InstallationID is the number of the installation.
	InstallationID int64 `yaml:"installation_id" check:"required"`
	// PrivateKey is a private key of the app, as GitHub hands it out.
	PrivateKey bundle.Ref `yaml:"private_key" check:"required"`
	// Repositories are the names, without owner, of what the token is for. Empty:
	// every repository of the installation.
	Repositories []string `yaml:"repositories"`
	// Permissions are what the token may do: contents: read. Empty: all that the
	// installation may.
	Permissions map[string]string `yaml:"permissions"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	providers.CheckEndpoint(report, "url", c.URL)
	if c.InstallationID < 1 {
		report("installation_id", "a number above zero", strconv.FormatInt(c.InstallationID, 10))
	}
	if len(c.Repositories) > 500 {
		report("repositories", "at most 500, which is GitHub's bound", strconv.Itoa(len(c.Repositories)))
	}
	for i, name := range c.Repositories {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isName(r) && r != '-' && r != '.' }) {
			report("repositories["+strconv.Itoa(i)+"]", "the name of a repository, without its owner", strconv.Quote(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Permissions)) {
		if !isPermission(name, c.Permissions[name]) {
			report("permissions", "a permission of GitHub with read, write or admin, such as contents: read", strconv.Quote(name+": "+c.Permissions[name]))
		}
	}
}

func isName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
}

// isPermission reports whether name and level can be a permission, so that nothing
// else of an answer is recorded.
func isPermission(name, level string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool { return !isName(r) }) &&
		slices.Contains([]string{"read", "write", "admin"}, level)
}

type provider struct {
	config Config
	url    string
	client jsonhttp.Client
	env    providers.Env
}

// Open returns the provider that cfg registers. It does no network I/O.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	roots, err := providers.Roots(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("open github-app provider: %w", err)
	}
	p := &provider{config: cfg, url: strings.TrimSuffix(cfg.URL.String(), "/"), env: env}
	if p.url == "" {
		p.url = defaultURL
	}
	p.client = jsonhttp.Client{System: system, HTTP: providers.HTTPClient(roots), Explain: explain}
	return p, nil
}

// narrowed is the request for a token.
type narrowed struct {
	Repositories []string          `json:"repositories,omitempty"`
	Permissions  map[string]string `json:"permissions,omitempty"`
}

// Mint asks for a token as the app.
func (p *provider) Mint(ctx context.Context, _ providers.Request) (providers.Credential, error) {
	key, err := jwtkey.Read(p.config.PrivateKey)
	if err != nil {
		return providers.Credential{}, err
	}
	if key.Algorithm != "RS256" {
		return providers.Credential{}, fault.Wrap("lease", fault.Internal, "the broker cannot sign for the credential provider",
			fmt.Errorf("got a key for %s, want an RSA key: github knows RS256 alone", key.Algorithm))
	}
	now := p.env.Now()
	app, err := key.SignUnnamed(map[string]any{"iat": now.Add(-earlier).Unix(), "exp": now.Add(life).Unix(), "iss": p.config.AppID})
	if err != nil {
		return providers.Credential{}, err
	}
	to := p.url + "/app/installations/" + strconv.FormatInt(p.config.InstallationID, 10) + "/access_tokens"
	r, err := jsonhttp.JSON(ctx, to, narrowed{p.config.Repositories, p.config.Permissions})
	if err != nil {
		return providers.Credential{}, err
	}
	var answer issued
	err = p.client.Do(as(r, app), &answer)
	if answer.Token == "" {
		return providers.Credential{}, cmp.Or(err, p.client.Missing(r, "a token"))
	}
	terms, wrong := answer.terms()
	if err == nil && wrong != "" {
		err = p.client.Missing(r, wrong)
	}
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(answer.Token)}, terms), err
}

// issued is GitHub's answer. The rest is read after the token, so that it is ended
// whatever that is, and wherever it stands.
type issued struct {
	Token       string         `json:"token"`
	ExpiresAt   jsontext.Value `json:"expires_at"`
	Permissions jsontext.Value `json:"permissions"`
}

// terms returns what the answer says of the token, and what it does not say that it
// must, or "".
func (i issued) terms() (t providers.Terms, wrong string) {
	t.Revocable = true
	if i.ExpiresAt != nil && json.Unmarshal(i.ExpiresAt, &t.NotAfter) != nil || t.NotAfter.IsZero() {
		return providers.Terms{Revocable: true}, "an end"
	}
	var permissions map[string]string
	if i.Permissions != nil && json.Unmarshal(i.Permissions, &permissions) != nil {
		return t, "permissions that can be read"
	}
	t.Scopes = granted(permissions)
	return t, ""
}

func as(r *http.Request, token string) *http.Request {
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("X-GitHub-Api-Version", apiVersion)
	return r
}

// granted returns what the token may do, for the record.
func granted(permissions map[string]string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(permissions)) {
		if isPermission(name, permissions[name]) {
			all = append(all, name+":"+permissions[name])
		}
	}
	return all
}

// Issuer is where GitHub is; see providers.Issuing.
func (p *provider) Issuer() string { return p.url }

// Revoke ends a token at GitHub, which is shown the token itself. One that it no
// longer knows has ended.
func (p *provider) Revoke(ctx context.Context, h providers.Held) error {
	token := h.Opened.Token()
	if token == "" {
		return fault.New("revoke", fault.Internal, "github ends a token only where it is shown it, and the broker has it no more: it ends by itself within the hour")
	}
	r, err := jsonhttp.Delete(ctx, p.url+"/installation/token")
	if err != nil {
		return err
	}
	ended := p.client
	ended.Gone = []int{http.StatusUnauthorized}
	return ended.Do(as(r, token), nil)
}

// explain says what an operator compares.
func explain(status int, _ []byte) string {
	switch status {
	case http.StatusUnauthorized:
		return "compare app_id and private_key, and the clocks"
	case http.StatusNotFound:
		return "compare installation_id and app_id"
	case http.StatusForbidden:
		return "the installation may be suspended"
	case http.StatusUnprocessableEntity:
		return "compare repositories and permissions with what the installation has"
	}
	return ""
}

// Mints says what the provider makes; see bundle.Minter.
func (Config) Mints() string { return string(providers.Token) }
