//go:build e2e

package signedjwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

const shop, clerk = "spiffe://example.org/agent/shop", "spiffe://example.org/agent/clerk"

// keys returns a key for each algorithm.
func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"RS256": r, "ES256": e, "EdDSA": ed}
}

func inPEM(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// OpenBao lets in the agent that the token names, and no other.
func TestTokensLogInToTheRealOpenBao(t *testing.T) {
	t.Parallel()
	bao := testenv.OpenBao(t)
	for name, key := range keys(t) {
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		bao.EnableJWTAuth(t, testenv.JWTAuth{Subject: shop, Audience: "vault", PublicKeys: []string{inPEM(t, "PUBLIC KEY", public, err)}})
		private, err := x509.MarshalPKCS8PrivateKey(key)
		c := config(providertest.Ref(t, inPEM(t, "PRIVATE KEY", private, err)))
		c.Claims = `{"tier": 1}`
		login := func(agent, audience string) error {
			c.Audience = []string{audience}
			r := providertest.One(t, open(t, c, providers.Env{}))
			defer r.Stop(t)
			leased, _ := r.Must(t, providertest.Agent(t, agent))
			client := bao.Client(t)
			client.ClearToken()
			_, err := client.Logical().WriteWithContext(t.Context(), "auth/jwt/login",
				map[string]any{"role": "mintmark", "jwt": r.Reveal(t, leased).Token()})
			return err
		}
		if err := login(shop, "vault"); err != nil {
			t.Errorf("%s: got %v, want the agent let in", name, err)
		}
		if err := login(clerk, "vault"); err == nil {
			t.Errorf("%s: another agent was let in", name)
		}
		if err := login(shop, "other"); err == nil {
			t.Errorf("%s: a token for another audience was let in", name)
		}
	}
}
