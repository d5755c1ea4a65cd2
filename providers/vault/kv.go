package vault

import (
	"context"
	"errors"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// kv reads a secret that people keep: it has no expiry and no lease.
type kv struct {
	*session
	secret  KV
	version int
}

// PerAgent reports whether each agent has a secret of its own.
func (k *kv) PerAgent() bool { return providers.PerAgent(k.secret.Path) }

// Mint reads the secret.
func (k *kv) Mint(ctx context.Context, req providers.Request) (providers.Credential, error) {
	path, err := fillPath(k.secret.Path, req)
	if err != nil {
		return providers.Credential{}, err
	}
	mount := or(k.secret.Mount, "secret")
	data, err := k.read(ctx, mount, path)
	if err != nil {
		return providers.Credential{}, err
	}
	c, err := k.seal(data, mount+"/"+path)
	return c, k.session.asked(k.where(mount, path), nil, err)
}

// where returns the path that is asked.
func (k *kv) where(mount, path string) string {
	if k.version == 1 {
		return mount + "/" + path
	}
	return mount + "/data/" + path
}

func (k *kv) seal(data map[string]any, at string) (providers.Credential, error) {
	scope := at + "#"
	if k.secret.Field == "" {
		return k.password(data, providers.Terms{Scopes: []string{scope + k.secret.PasswordField}})
	}
	value, err := plainText(data, k.secret.Field)
	if err != nil {
		return providers.Credential{}, err
	}
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(value)}, providers.Terms{Scopes: []string{scope + k.secret.Field}}), nil
}

func (k *kv) read(ctx context.Context, mount, path string) (map[string]any, error) {
	at := k.where(mount, path)
	answer, _, err := k.session.ask(ctx, at, nil)
	if err != nil {
		return nil, err
	}
	if k.version == 1 {
		return answer.Data, nil
	}
	data, _ := answer.Data["data"].(map[string]any)
	if data == nil {
		return nil, k.session.asked(at, nil, fault.Wrap("lease", fault.Internal, "the secret at its provider is deleted",
			errors.New("its newest version has no data: undelete it, or write another version")))
	}
	return data, nil
}

func (k *kv) password(data map[string]any, terms providers.Terms) (providers.Credential, error) {
	password, err := plainText(data, k.secret.PasswordField)
	if err != nil {
		return providers.Credential{}, err
	}
	username, err := plainText(data, k.secret.UsernameField)
	if err != nil {
		return providers.Credential{}, err
	}
	return providers.Seal(providers.Password, providers.Material{Username: username, Password: providers.NewSecret(password)}, terms), nil
}

// plainText returns the field of exactly this name, which must be text.
func plainText(data map[string]any, field string) (string, error) {
	value, ok := data[field].(string)
	if !ok || value == "" {
		return "", lacks(field, "text", data[field])
	}
	return value, nil
}

// Kept is always true: Vault only keeps the secret, and nothing ends it there.
func (k *kv) Kept() bool { return true }
