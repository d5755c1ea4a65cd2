//go:build e2e

package testenv_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"mintmark/internal/testenv"
)

func TestSPIREIssuesIdentities(t *testing.T) {
	t.Parallel()
	spire := testenv.SPIRE(t, testenv.SPIREOptions{X509TTL: 2 * time.Minute, JWTTTL: time.Minute})
	id := spiffeid.RequireFromString("spiffe://example.org/agent")
	spire.Register(t, "spiffe://example.org/other", testenv.ProgramSelectors(t, "/bin/sh")...)
	entry := spire.Register(t, id.String())
	client := workloadClient(t, spire)

	x, err := client.FetchX509SVIDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(x) != 1 || x[0].ID != id {
		t.Errorf("X.509-SVIDs: got %v, want only %s", x, id)
	}
	if left := time.Until(x[0].Certificates[0].NotAfter); left > 2*time.Minute {
		t.Errorf("X.509-SVID: lives for %s, want at most 2 min", left)
	}

	token := fetchJWT(t, client, "mintmark")
	bundle, err := spiffebundle.Parse(id.TrustDomain(), spire.Bundle(t))
	if err != nil {
		t.Fatal(err)
	}
	checked, err := jwtsvid.ParseAndValidate(token, bundle, []string{"mintmark"})
	if err != nil {
		t.Fatalf("check JWT-SVID by the bundle: %v", err)
	}
	if left := time.Until(checked.Expiry); checked.ID != id || left > time.Minute {
		t.Errorf("JWT-SVID: got %s for %s, want %s for at most 1 min", checked.ID, left, id)
	}

	spire.Deregister(t, entry)
	if _, err := client.FetchJWTSVID(t.Context(), jwtsvid.Params{Audience: "mintmark"}); err == nil {
		t.Error("JWT-SVID after Deregister: got no error")
	}
}

// A JWT-SVID logs in to OpenBao, by the key in PEM and by the key set.
func TestSPIREIdentityLogsInToOpenBao(t *testing.T) {
	t.Parallel()
	const id = "spiffe://example.org/broker"
	spire, bao := testenv.SPIRE(t, testenv.SPIREOptions{}), testenv.OpenBao(t)
	spire.Register(t, id)
	set := spire.JWKS(t)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(set)
	}))
	t.Cleanup(keys.Close)
	token := fetchJWT(t, workloadClient(t, spire), "openbao")

	for name, auth := range map[string]testenv.JWTAuth{
		"PEM":  {Subject: id, Audience: "openbao", PublicKeys: spire.JWTKeys(t)},
		"JWKS": {Subject: id, Audience: "openbao", JWKSURL: keys.URL},
	} {
		bao.EnableJWTAuth(t, auth)
		client := bao.Client(t)
		client.ClearToken()
		login, err := client.Logical().WriteWithContext(t.Context(), "auth/jwt/login",
			map[string]any{"role": "mintmark", "jwt": token})
		if err != nil {
			t.Fatalf("%s: log in: %v", name, err)
		}
		if login.Auth.LeaseDuration != 60 {
			t.Errorf("%s: token: got %d s, want 60 s", name, login.Auth.LeaseDuration)
		}
	}
}

func workloadClient(t *testing.T, spire *testenv.SPIREDomain) *workloadapi.Client {
	t.Helper()
	client, err := workloadapi.New(t.Context(), workloadapi.WithAddr(spire.Addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func fetchJWT(t *testing.T, client *workloadapi.Client, audience string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	svid, err := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	return svid.Marshal()
}
