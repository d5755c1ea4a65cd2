package injector

import (
	"context"
	"crypto/ed25519"
	"net"
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

// toOne dials one address, whatever is asked for.
type toOne struct{ address string }

func (o *toOne) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, o.address)
}

// secretsFrom returns the Secrets of texts.
func secretsFrom(texts ...string) *Secrets {
	parts := make([][]byte, len(texts))
	for i, text := range texts {
		parts[i] = []byte(text)
	}
	return secretsOfParts(parts...)
}
