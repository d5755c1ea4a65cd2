//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/internal/testenv"
)

// An authorization server that trusts the trust domain gives the broker a token for
// its JWT-SVID, so that nobody holds a secret: the server is found by its issuer,
// and the token revoked when the broker stops.
func testFederation(t *testing.T, w *world) {
	s := &secrets{}
	issuer := testenv.OAuth(t, testenv.OAuthOptions{TTL: time.Minute, Keys: w.signers(t)})
	v := &verifier{issuer: issuer, secrets: s}
	mail := newUpstream(t, auth.RequireBearerToken(v.verify, &auth.RequireBearerTokenOptions{Scopes: []string{"read"}})(stateless(newServer())))
	m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(`
providers:
  mail-token:
    kind: oauth
    issuer: %s
    no_revocation: true # this server revokes no JWTs
    client_id: %s
    client_secret: file:%s
    jwt_bearer: {assertion: {svid: issuer}}
    resource: %s
    scopes: [read]
upstreams:
  mail:
    url: %s
    credentials: [{provider: mail-token, scheme: bearer}]
`, issuer.Issuer, issuer.ClientID, secretFile(t, issuer.ClientSecret), issuer.Resource, mail.url)})
	s.add("client secret", issuer.ClientSecret)
	session := m.agent(t, evidence{id: shopID}).connect(t, "mail", nil)
	m.wantMasked(t, session, "Authorization")
	if v.verified() == 0 || v.subject() != brokerID {
		t.Errorf("upstream: got %d requests with a token of %q, want the broker's", v.verified(), v.subject())
	}
}

// signers returns the keys that JWT-SVIDs of the trust domain are signed by, as a
// list of JWKs.
func (w *world) signers(t *testing.T) string {
	t.Helper()
	set, err := w.workload.FetchJWTBundles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := set.GetJWTBundleForTrustDomain(spiffeid.RequireTrustDomainFromString("example.org"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := bundle.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var keys struct{ Keys json.RawMessage }
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	return string(keys.Keys)
}
