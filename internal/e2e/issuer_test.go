//go:build e2e && (ceph || seaweedfs)

package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"mintmark/internal/testenv"
)

// issuerAhead is the issuer of a SPIRE that does not run yet, because SPIRE has to
// know where its issuer is.
type issuerAhead struct{ *httptest.Server }

func newIssuer(t *testing.T) *issuerAhead {
	t.Helper()
	return &issuerAhead{httptest.NewUnstartedServer(nil)}
}

func (i *issuerAhead) url() string { return "http://" + i.Listener.Addr().String() }

// publish starts the issuer, with SPIRE's keys in certificates.
func (i *issuerAhead) publish(t *testing.T, spire *testenv.SPIREDomain) []jose.JSONWebKey {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(spire.JWKS(t), &set); err != nil {
		t.Fatal(err)
	}
	set.Keys = testenv.Certified(t, set.Keys)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.url(), "jwks_uri": i.url() + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(set) })
	i.Config.Handler = mux
	i.Start()
	t.Cleanup(i.Close)
	return set.Keys
}
