package vault

import (
	"errors"
	"fmt"

	"mintmark/providers"
)

// Issuer says which Vault knows the leases, by what it is registered as. See
// providers.Issuing.
func (s *session) Issuer() string {
	if namespace := s.client.Namespace(); namespace != "" {
		return s.client.Address() + ", namespace " + namespace
	}
	return s.client.Address()
}

// Open returns the provider that cfg registers. It does no network I/O. One of a
// database or another dynamic path is a providers.Revoker and providers.Renewer.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	if setting, uses := cfg.Auth.usesSelf(); uses && env.Self == nil {
		return nil, fmt.Errorf("open vault provider: %s needs an identity of the broker's own: set trust.workload_api", setting)
	}
	client, auth, err := newClients(cfg, env)
	if err != nil {
		return nil, fmt.Errorf("open vault provider: %w", err)
	}
	s := &session{client: client, auth: auth, method: cfg.Auth, env: env, turn: make(chan struct{}, 1)}
	switch {
	case cfg.KV1 != nil:
		return &kv{session: s, secret: *cfg.KV1, version: 1}, nil
	case cfg.KV2 != nil:
		return &kv{session: s, secret: *cfg.KV2, version: 2}, nil
	case cfg.Database != nil:
		return newDatabase(s, *cfg.Database), nil
	case cfg.Dynamic != nil && cfg.Dynamic.Fields.kind() != "":
		return newDynamic(s, *cfg.Dynamic), nil
	}
	return nil, errors.New("open vault provider: got none of kv1, kv2, database and dynamic with its fields, want one")
}
