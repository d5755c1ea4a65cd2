//go:build e2e

package e2e_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mintmark/internal/testenv"
)

// A server knows the broker by its own SVID, binds the token to it, and takes that with
// the certificate alone (RFC 8705, section 3): the agent has neither.
func testCertificateBound(t *testing.T, w *world) {
	known, err := w.workload.FetchX509Context(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &secrets{}
	issuer := testenv.OAuth(t, testenv.OAuthOptions{
		MTLS: true, ClientRoots: string(encoded(known.Bundles.Bundles()[0].X509Authorities())),
		Clients: fmt.Sprintf(`[{"client_id": %[1]q, "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_uri": %[1]q, "tls_client_certificate_bound_access_tokens": true}]`, brokerID),
	})
	granted := issuer.UserTokenOf(t, brokerID)
	s.add("refresh token", granted)
	base := strings.TrimSuffix(issuer.MTLS.UserinfoURL, "/me")
	m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(`
providers:
  user:
    kind: oauth
    issuer: %[1]s
    ca: %[2]s
    client_id: %[3]s
    auth_style: mtls
    certificate_bound: true
    refresh_token: {token: "file:%[4]s", state: %[5]s}
upstreams:
  user:
    kind: http
    url: %[6]s
    ca: %[2]s
    credentials: [{provider: user, scheme: bearer}]
`, issuer.Issuer, issuer.MTLS.CA, brokerID, secretFile(t, granted), filepath.Join(t.TempDir(), "state"), base)})
	tries := madeUp()
	tries.Set("Authorization", "Bearer "+rand.Text())
	tries.Set("Client-Cert", rand.Text())
	a := m.agent(t, evidence{id: shopID, madeUp: tries})
	for range 3 {
		if got := a.do(t, http.MethodGet, "/http/user/me", "", nil); got.status != http.StatusOK || !strings.Contains(got.body, `"sub":"alice"`) {
			t.Errorf("userinfo: got %d %s, want alice", got.status, got.body)
		}
	}
	decision := m.last(t, "--kind", "decision", "--tool", "/me")
	if decision.Scheme != "bearer" || !slices.Contains(decision.Stripped, "Authorization") || !slices.Contains(decision.Stripped, "Client-Cert") {
		t.Errorf("record: got scheme %q, stripped %v", decision.Scheme, decision.Stripped)
	}
	m.stop(t)
}
