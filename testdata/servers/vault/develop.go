package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/vault/helper/namespace"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/vault"
)

// develop does what "vault server -dev" does with a new core: it initialises
// and unseals it, makes token a root token, mounts a key-value engine at
// secret/, and prints the unseal key.
func develop(core *vault.Core, token string) error {
	ctx := namespace.RootContext(context.Background())
	made, err := core.Initialize(ctx, &vault.InitParams{
		BarrierConfig:  &vault.SealConfig{SecretShares: 1, SecretThreshold: 1, StoredShares: 1},
		RecoveryConfig: &vault.SealConfig{},
	})
	if err != nil {
		return fmt.Errorf("initialise: %w", err)
	}
	open, err := core.Unseal(slices.Clone(made.SecretShares[0])) // it is wiped there
	if err == nil && !open {
		err = errors.New("one key is not enough")
	}
	if err != nil {
		return fmt.Errorf("unseal: %w", err)
	}
	for path, data := range map[string]map[string]any{
		"auth/token/create": {"id": token, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true},
		"sys/mounts/secret": {"type": "kv", "options": map[string]string{"version": "2"}},
	} {
		request := &logical.Request{Operation: logical.UpdateOperation, ClientToken: made.RootToken, Path: path, Data: data}
		answer, err := core.HandleRequest(ctx, request)
		if err == nil {
			err = answer.Error()
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	fmt.Println("Unseal Key:", base64.StdEncoding.EncodeToString(made.SecretShares[0]))
	return nil
}
