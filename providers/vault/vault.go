package vault

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// Open returns the provider that cfg registers. It does no network I/O. A
// database provider is a providers.Revoker.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	if cfg.Auth.JWT != nil && env.Self == nil {
		return nil, fmt.Errorf("open vault provider: auth.jwt needs an identity of the broker's own: set trust.workload_api")
	}
	client, err := newClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("open vault provider: %w", err)
	}
	s := &session{client: client, auth: cfg.Auth, env: env, turn: make(chan struct{}, 1)}
	switch {
	case cfg.KV2 != nil:
		return &kv2{session: s, secret: *cfg.KV2}, nil
	case cfg.Database != nil:
		return &database{session: s, role: *cfg.Database}, nil
	}
	return nil, fmt.Errorf("open vault provider: got neither kv2 nor database, want one")
}

// newClient returns a client that takes nothing from VAULT_* variables, which
// api.NewClient reads whatever its configuration says, and that does not retry:
// the Pool does.
func newClient(cfg Config) (*api.Client, error) {
	roots, err := providers.Roots(cfg.CA)
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(&api.Config{
		Address:          cfg.Address.String(),
		HttpClient:       providers.HTTPClient(roots),
		Timeout:          10 * time.Second,
		DisableRedirects: true,
	})
	if err != nil { // its text may quote the environment
		return nil, fmt.Errorf("make client: got a malformed VAULT_* environment variable, want none: the broker reads none of them, its library does")
	}
	client.ClearToken()
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	client.SetWrappingLookupFunc(func(_, _ string) string { return "" })
	if cfg.Namespace != "" {
		client.SetNamespace(cfg.Namespace)
	}
	return client, nil
}

// kv2 reads a secret that people keep: it has no expiry and no lease.
type kv2 struct {
	*session
	secret KV2
}

// Mint reads the secret.
func (k *kv2) Mint(ctx context.Context, _ providers.Request) (providers.Credential, error) {
	mount := or(k.secret.Mount, "secret")
	answer, _, err := k.session.read(ctx, mount+"/data/"+k.secret.Path)
	if err != nil {
		return providers.Credential{}, err
	}
	data, _ := answer.Data["data"].(map[string]any)
	if data == nil {
		return providers.Credential{}, fault.New("lease", fault.Internal, "the secret at its provider is deleted")
	}
	scope := mount + "/" + k.secret.Path + "#"
	if k.secret.Field == "" {
		return k.password(data, providers.Terms{Scopes: []string{scope + k.secret.PasswordField}})
	}
	value, err := text(data, k.secret.Field)
	if err != nil {
		return providers.Credential{}, err
	}
	return providers.Seal(providers.Token, providers.Material{Token: value}, providers.Terms{Scopes: []string{scope + k.secret.Field}}), nil
}

func (k *kv2) password(data map[string]any, terms providers.Terms) (providers.Credential, error) {
	password, err := text(data, k.secret.PasswordField)
	if err != nil {
		return providers.Credential{}, err
	}
	if _, err := text(data, k.secret.UsernameField); err != nil {
		return providers.Credential{}, err
	}
	username, _ := data[k.secret.UsernameField].(string)
	return providers.Seal(providers.Password, providers.Material{Username: username, Password: password}, terms), nil
}

// database has users made, which live as long as their lease.
type database struct {
	*session
	role Database
}

// Mint has a user made. It lives no longer than the token that had it made,
// because Vault then drops it.
func (d *database) Mint(ctx context.Context, _ providers.Request) (providers.Credential, error) {
	start := d.session.env.Now()
	path := or(d.role.Mount, "database") + "/creds/" + d.role.Role
	answer, tokenEnd, err := d.session.read(ctx, path)
	if err != nil {
		return providers.Credential{}, err
	}
	if answer.LeaseID == "" || answer.LeaseDuration <= 0 {
		return providers.Credential{}, fault.New("lease", fault.Internal, "vault made a database user without a lease: want a dynamic role")
	}
	end := start.Add(time.Duration(answer.LeaseDuration) * time.Second)
	if !tokenEnd.IsZero() && tokenEnd.Before(end) {
		end = tokenEnd
	}
	// Where one is missing the Pool refuses the credential, and revokes the lease.
	username, _ := answer.Data["username"].(string)
	password, _ := answer.Data["password"].(string)
	return providers.Seal(providers.Password, providers.Material{Username: username, Password: providers.NewSecret(password)},
		providers.Terms{Scopes: []string{path}, NotAfter: end, Lease: answer.LeaseID}), nil
}

// Revoke has Vault drop the user, and returns when it has.
func (d *database) Revoke(ctx context.Context, h providers.Held) error {
	// The lease goes in the body: in a path it could name another endpoint.
	return d.session.write(ctx, "sys/leases/revoke", map[string]any{"lease_id": h.Lease, "sync": true})
}

// text returns a field that must be text and not empty. Its errors name the
// field and the type found, never the value.
func text(data map[string]any, field string) (providers.Secret, error) {
	value, ok := data[field].(string)
	if !ok || value == "" {
		return providers.Secret{}, fault.Wrap("lease", fault.Internal, "the secret at its provider lacks a field that the broker is told to use",
			fmt.Errorf("read field %q: got %s, want text", field, typeName(data[field])))
	}
	return providers.NewSecret(value), nil
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string:
		return "empty text"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return "a number or boolean"
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// resolve reads a secret of the broker's own.
func resolve(ref bundle.Ref) (string, error) {
	value, err := ref.Resolve()
	if err != nil {
		return "", fault.Wrap("lease", fault.Internal, "the broker cannot read its own secret for the credential provider", err)
	}
	return value, nil
}
