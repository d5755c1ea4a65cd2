package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/vault/helper/namespace"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/vault"
)

// develop does what "vault server -dev" does with a new core: it initialises
// and unseals it, makes token a root token, mounts a key-value engine at
// secret/, makes every program in the folder plugins known as an engine, and
// prints the unseal key.
func develop(core *vault.Core, token, plugins string) error {
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
	write := func(path string, data map[string]any) error {
		request := &logical.Request{Operation: logical.UpdateOperation, ClientToken: made.RootToken, Path: path, Data: data}
		answer, err := core.HandleRequest(ctx, request)
		if err == nil {
			err = answer.Error()
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		return nil
	}
	err = errors.Join(
		addPlugins(plugins, write),
		write("auth/token/create", map[string]any{"id": token, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true}),
		write("sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}),
	)
	if err != nil {
		return err
	}
	fmt.Println("Unseal Key:", base64.StdEncoding.EncodeToString(made.SecretShares[0]))
	return nil
}

func addPlugins(folder string, write func(path string, data map[string]any) error) error {
	programs, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("find plugins: %w", err)
	}
	for _, program := range programs {
		content, err := os.ReadFile(filepath.Join(folder, program.Name()))
		if err != nil {
			return fmt.Errorf("read plugin: %w", err)
		}
		sum := sha256.Sum256(content)
		data := map[string]any{"sha256": hex.EncodeToString(sum[:]), "command": program.Name()}
		if err := write("sys/plugins/catalog/secret/"+program.Name(), data); err != nil {
			return err
		}
	}
	return nil
}
