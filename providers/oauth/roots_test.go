package oauth_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// However the client authenticates and finds it, the server is who the configured roots vouch
// for. Another one is told nothing.
func TestServerIsWhoItsRootsVouchFor(t *testing.T) {
	asked := 0
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			ok(`{"issuer":"`+server.URL+`","token_endpoint":"`+server.URL+`/token"}`)(w, r)
			return
		}
		ok(bearer)(w, r)
	}))
	t.Cleanup(server.Close)
	own := newIssuer(t).issue(t, "mintmark")
	roots := func(der []byte) bundle.Path {
		path := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return bundle.Path(path)
	}
	secret := oauth.Config{ClientID: "mintmark", ClientSecret: providertest.Ref(t, canary+"-client")}
	shown := oauth.Config{ClientID: "mintmark", AuthStyle: "mtls"}
	at := func(c oauth.Config) oauth.Config { c.TokenURL = providertest.URL(t, server.URL+"/token"); return c }
	found := func(c oauth.Config) oauth.Config { c.Issuer = providertest.URL(t, server.URL); return c }
	for name, c := range map[string]oauth.Config{"by a secret": at(secret), "by a certificate": at(shown), "found": found(secret), "found, by a certificate": found(shown)} {
		for whose, ca := range map[string]bundle.Path{"its own": roots(server.Certificate().Raw), "another's": roots(own.der), "the system's": ""} {
			t.Run(name+" with roots of "+whose, func(t *testing.T) {
				asked = 0
				c.CA = ca
				_, err := open(t, c, providers.Env{Self: ownCertificate{self{key: own.key}, [][]byte{own.der}}}).Mint(t.Context(), providers.Request{})
				if whose == "its own" {
					if err != nil || asked == 0 {
						t.Errorf("got %v after %d requests, want a token", err, asked)
					}
					return
				}
				if fault.HintOf(err) != "the authorization server shows a certificate that the configured roots do not vouch for" || asked != 0 {
					t.Errorf("got %v after %d requests, want it refused before", err, asked)
				}
			})
		}
	}
}
