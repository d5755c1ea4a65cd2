package injector

import (
	"context"
	"crypto/ed25519"
	"testing"

	"mintmark/providers"
)

// fixed is a provider of one credential.
type fixed providers.Credential

func (f fixed) Mint(context.Context, providers.Request) (providers.Credential, error) {
	return providers.Credential(f), nil
}

func signingKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
