//go:build e2e

package vault_test

import (
	"bytes"
	"encoding/pem"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/trust"
	"mintmark/broker/bundle"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// Each login shows the SVID that is valid then: through a rotation every one is
// taken.
func TestCertificateLoginWithTheSVIDsOfTheRealSPIRE(t *testing.T) {
	t.Parallel()
	spire := testenv.SPIRE(t, testenv.SPIREOptions{X509TTL: 40 * time.Second})
	id := spiffeid.RequireFromString("spiffe://example.org/mintmark")
	spire.RegisterDNS(t, id.String(), "mintmark.example.org")
	self, err := trust.Open(t.Context(), bundle.Trust{WorkloadAPI: spire.Addr}, id.TrustDomain(), trust.Options{Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = self.Close() })
	authorities, err := spiffebundle.Parse(id.TrustDomain(), spire.Bundle(t))
	if err != nil {
		t.Fatal(err)
	}
	var roots bytes.Buffer
	for _, root := range authorities.X509Authorities() {
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}); err != nil {
			t.Fatal(err)
		}
	}

	bao := testenv.OpenBaoTLS(t)
	bao.PutKV(t, "app", map[string]any{"key": canary})
	bao.PutPolicy(t, "reader", readApp)
	bao.EnableAuth(t, "cert")
	bao.Write(t, "auth/cert/certs/mintmark", map[string]any{"certificate": roots.String(), "allowed_uri_sans": id.String(), "token_policies": "reader", "token_ttl": "1s", "token_max_ttl": "2s"})
	p := open(t, vault.Config{
		Address: providertest.URL(t, bao.Addr), CA: bundle.Path(bao.CA), Auth: vault.Auth{Cert: &vault.Cert{Role: "mintmark"}}, KV2: &vault.KV{Path: "app", Field: "key"},
	}, providers.Env{Self: self})
	shown := map[string]bool{}
	await(t, "a rotation", 3*time.Minute, func() bool {
		chain, _, err := self.X509SVID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
			t.Fatalf("mint with SVID %d: %v", len(shown)+1, err)
		}
		shown[string(chain[0])] = true
		return len(shown) == 2
	})
	for range 3 { // and after it
		if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
			t.Errorf("mint after the rotation: %v", err)
		}
	}
}
