package oauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// Whatever a token endpoint answers, there is a credential with an end, or an
// error that quotes nothing.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", []byte(`{"access_token":"a","token_type":"Bearer","expires_in":60}`))
	f.Add(200, "application/json", []byte(`{"access_token":"a","token_type":"Bearer","expires_in":1e400}`))
	f.Add(200, "application/json", []byte(`{"access_token":"a","token_type":"Bearer","expires_in":"-1","scope":["x"]}`))
	f.Add(200, "application/json", []byte(`{"access_token":"e30.eyJjbmYiOnsieDV0I1MyNTYiOiJhIn19.c","token_type":"Bearer","expires_in":60}`)) // cnf names a certificate
	f.Add(400, "application/json", []byte(`{"error":"invalid_client"}`))
	f.Add(400, "application/json", []byte(`{"error":"use_dpop_nonce"}`))
	f.Add(200, "text/plain", []byte(`access_token=a`))
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		minted, err := open(t, serve(t, answer(status, kind, string(body))), providers.Env{}).Mint(t.Context(), providers.Request{})
		if err == nil && minted.NotAfter().IsZero() {
			t.Error("got a token without an end")
		}
		providertest.CheckAnswer(t, minted, err, long(body))
	})
}

// long returns body where it is too long to be found by chance.
func long(body []byte) string {
	if len(body) > 16 {
		return string(body)
	}
	return ""
}

// Whatever a resource and a server say of themselves, there is a credential or an
// error that does not quote them.
func FuzzMetadata(f *testing.F) {
	f.Add(404, "", []byte(`{"resource":"{}/mcp","authorization_servers":["{}"]}`), []byte(`{"issuer":"{}","token_endpoint":"{}/token"}`))
	f.Add(401, `Bearer resource_metadata="{}/elsewhere"`, []byte(`{"resource":"{}/mcp","authorization_servers":["{}"]}`), []byte(`{"issuer":"{}"}`))
	f.Add(401, `Bearer resource_metadata="http://169.254.169.254/latest"`, []byte(`{"resource":["{}/mcp"]}`), []byte(`[]`))
	f.Add(200, `,resource_metadata="//x/y"`, []byte(`{"resource":"{}/mcp","authorization_servers":["{}/a/../b?c#d"]}`), []byte(`{"issuer":"{}","token_endpoint":"https://u:p@h/"}`))
	// The paths of what documents and a challenge name: the metadata, an issuer, both endpoints.
	f.Add(401, `Bearer resource_metadata="{}/elsewhere/`+inPath+`"`, []byte(`{"resource":"{}/other","authorization_servers":["{}"]}`), []byte(`{}`))
	f.Add(401, `Bearer resource_metadata="{}/absent/`+inPath+`"`, []byte(`{}`), []byte(`{}`))
	f.Add(404, "", []byte(`{"resource":"{}/mcp","authorization_servers":["{}/`+inPath+`"]}`), []byte(`{"issuer":"{}"}`))
	f.Add(404, "", []byte(`{"resource":"{}/mcp","authorization_servers":["{}/absent/`+inPath+`"]}`), []byte(`{}`))
	f.Add(404, "", []byte(`{"resource":"{}/mcp","authorization_servers":["{}"]}`), []byte(`{"issuer":"{}","token_endpoint":"{}/`+inPath+`"}`))
	f.Add(404, "", []byte(`{"resource":"{}/mcp","authorization_servers":["{}"]}`), []byte(`{"issuer":"{}","token_endpoint":"{}/gone/`+inPath+`"}`))
	f.Fuzz(func(t *testing.T, status int, challenge string, resource, server []byte) {
		if status < 200 || status > 599 {
			return
		}
		var h *httptest.Server
		h = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			document := string(server)
			switch {
			case strings.Contains(r.URL.Path, "absent"):
				w.WriteHeader(http.StatusNotFound)
				return
			case strings.HasPrefix(r.URL.Path, "/gone"):
				panic(http.ErrAbortHandler)
			case r.Method == http.MethodPost && strings.Contains(r.URL.Path, inPath):
				w.WriteHeader(http.StatusBadRequest)
				return
			case r.Method == http.MethodPost:
				document = bearer
			case strings.HasPrefix(r.URL.Path, "/elsewhere"):
				document = string(resource)
			case strings.HasPrefix(r.URL.Path, rfc9728):
				if status == http.StatusUnauthorized {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				document = string(resource)
			case r.URL.Path == "/mcp":
				w.Header().Set("WWW-Authenticate", strings.ReplaceAll(challenge, "{}", h.URL))
				w.WriteHeader(status)
				return
			}
			ok(strings.ReplaceAll(document, "{}", h.URL))(w, r)
		}))
		defer h.Close()
		c := oauth.Config{Discover: true, Resource: h.URL + "/mcp", AuthStyle: "jwt_svid"}
		minted, err := open(t, c, providers.Env{Self: anySVID{}}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, minted, err, long(server))
		providertest.CheckAnswer(t, minted, err, long(resource))
		if err != nil && strings.Contains(err.Error(), inPath) {
			t.Errorf("got %v, want of what was discovered the scheme and host alone", err)
		}
	})
}

// inPath is in the path of addresses that documents and challenges name.
const inPath = "6f1d-capability-in-a-path"

// anySVID is an identity of which the test needs nothing: what is random gets in the
// way of a fuzzer.
type anySVID struct{ providertest.NoX509SVID }

// JWTSVID returns it.
func (anySVID) JWTSVID(context.Context, string) (string, error) { return "svid", nil }

// Whatever is in a state file, nothing panics and no error quotes it.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"origin":"x","token":"refresh","ended":true}`))
	f.Add([]byte(`{"origin":"","token":"refresh","key":"AAAA"}`))
	f.Add([]byte(`{"key":1}`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		c := serve(t, ok(`{"access_token":"t","token_type":"DPoP","expires_in":60,"refresh_token":"r"}`))
		state := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(state, content, 0o600); err != nil {
			t.Fatal(err)
		}
		c.DPoP, c.RefreshToken = true, &oauth.RefreshToken{Token: providertest.Ref(t, canary), State: bundle.Path(state)}
		minted, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, minted, err, long(content))
	})
}
