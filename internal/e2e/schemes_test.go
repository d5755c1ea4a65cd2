//go:build e2e

package e2e_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mintmark/internal/testenv"
)

// A kept secret is put into a parameter, a cookie and a header, each of which an
// nginx looks at, and into the body by which OpenBao logs a user in.
func testPlaces(t *testing.T, w *world) {
	bao, s, kept := testenv.OpenBao(t), &secrets{}, rand.Text()
	s.add("kept secret", kept)
	bao.PutKV(t, "app", map[string]any{"key": kept})
	address := w.trustBroker(t, bao, `path "secret/data/app" { capabilities = ["read"] }`, s)
	client := bao.Client(t)
	if err := client.Sys().EnableAuth("userpass", "userpass", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Logical().WriteWithContext(t.Context(), "auth/userpass/users/ada", map[string]any{"password": kept}); err != nil {
		t.Fatal(err)
	}
	nginx := testenv.Nginx(t, testenv.NginxOptions{Server: fmt.Sprintf(`
        location /query { if ($arg_code != "%[1]s") { return 403; } return 200 "parameters: $args"; }
        location /cookie { if ($cookie_sid != "%[1]s") { return 403; } return 200 "cookies: $http_cookie"; }
        location /header { if ($http_x_key != "Key %[1]s") { return 403; } return 200 "key: $http_x_key"; }
        location /moved { return 302 http://$host:1/elsewhere?$args; }`, kept)})
	m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(`
providers:
  kept:
    kind: vault
    address: %[1]s
    auth: {jwt: {role: mintmark, audience: vault}}
    kv2: {path: app, field: key}
upstreams:
  site:
    kind: http
    url: http://%[2]s
    credentials:
      - {provider: kept, scheme: cookie, cookie: sid, tools: [/cookie]}
      - {provider: kept, scheme: header, header: X-Key, template: "Key {token}", tools: [/header]}
      - {provider: kept, scheme: query, parameter: code}
  bao:
    kind: http
    url: %[3]s
    credentials: [{provider: kept, scheme: body, field: password}]
`, address, nginx.Address, bao.Addr)})
	a := m.agent(t, evidence{id: shopID, madeUp: madeUp()})

	masked := strings.Repeat("*", len(kept))
	for path, want := range map[string]string{
		"/query?code=mine&CODE[]=mine&b=1": "parameters: b=1&code=" + masked,
		"/query?[code]=mine":               "parameters: code=" + masked,
		"/cookie":                          "cookies: sid=" + masked,
		"/header":                          "key: Key " + masked,
	} {
		got := a.do(t, http.MethodGet, "/http/site"+path, "", http.Header{"Cookie": {"sid=mine; a=b"}, "X-Key": {"mine"}})
		if got.status != http.StatusOK || got.body != want {
			t.Errorf("%s: got %d %q, want 200 %q", path, got.status, got.body, want)
		}
	}
	if got := a.do(t, http.MethodGet, "/http/site/moved", "", nil); got.status != http.StatusFound || got.header.Get("Location") != "http://127.0.0.1:1/elsewhere?code="+masked {
		t.Errorf("redirect: got %d to %q, want it unfollowed and without the credential", got.status, got.header.Get("Location"))
	}
	a.wantLogin(t, m)
	decision := m.last(t, "--kind", "decision", "--tool", "/cookie")
	if decision.Scheme != "cookie" || !slices.Contains(decision.Stripped, "Cookie") {
		t.Errorf("record: got scheme %q, stripped %v", decision.Scheme, decision.Stripped)
	}
	m.stop(t)
}

// wantLogin logs in to OpenBao with a body that lacks the password.
func (a *agent) wantLogin(t *testing.T, m *mintmark) {
	t.Helper()
	const login = "/http/bao/v1/auth/userpass/login/ada"
	kind := http.Header{"Content-Type": {"application/json"}}
	got := a.do(t, http.MethodPost, login, ` {"token_type": "batch"}`+"\n", kind)
	var answer struct {
		Auth struct {
			Token string `json:"client_token"`
		}
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != http.StatusOK || answer.Auth.Token == "" {
		t.Errorf("log in: got %d %s, %v, want OpenBao to take the password", got.status, got.body, err)
	}
	if got := a.do(t, http.MethodPost, login, `{"Password":"made-up"}`, kind); got.status != http.StatusBadRequest || !strings.Contains(got.body, "no member") {
		t.Errorf("log in with a password of the agent's: got %d %s, want a refusal by the broker", got.status, got.body)
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if got := a.do(t, http.MethodPost, login, "password=made-up", form); got.status != http.StatusBadRequest || !strings.Contains(got.body, `no field \"password\"`) {
		t.Errorf("log in with a form: got %d %s, want a refusal by the broker", got.status, got.body)
	}
}

// A token that is bound to a key is taken with a proof, by a server that wants its
// nonce in each.
func testDPoP(t *testing.T, w *world) {
	for name, nonce := range map[string]bool{"without a nonce": false, "with a nonce": true} {
		t.Run(name, func(t *testing.T) {
			issuer, s := testenv.OAuth(t, testenv.OAuthOptions{DPoPNonce: nonce}), &secrets{}
			s.add("client secret", issuer.ClientSecret)
			granted := issuer.UserToken(t)
			s.add("refresh token", granted)
			m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(`
providers:
  user:
    kind: oauth
    token_url: %[1]s/token
    client_id: %[2]s
    client_secret: file:%[3]s
    dpop: true
    refresh_token: {token: "file:%[4]s", state: %[5]s}
upstreams:
  user:
    kind: http
    url: %[1]s
    credentials: [{provider: user, scheme: dpop}]
  without:
    kind: http
    url: %[1]s
    credentials: [{provider: user, scheme: header, header: Authorization, template: "Bearer {token}"}]
`, newTap(t, strings.TrimSuffix(issuer.TokenURL, "/token"), s), issuer.ClientID, secretFile(t, issuer.ClientSecret), secretFile(t, granted),
				filepath.Join(t.TempDir(), "state"))})
			a := m.agent(t, evidence{id: shopID, madeUp: http.Header{"Dpop": {"made-up"}, "Authorization": {"DPoP made-up"}}})
			for range 3 {
				got := a.do(t, http.MethodGet, "/http/user/me", "", nil)
				if got.status != http.StatusOK || !strings.Contains(got.body, `"sub":"alice"`) {
					t.Errorf("userinfo: got %d %s, want alice", got.status, got.body)
				}
				if got.header.Get("DPoP-Nonce") != "" {
					t.Errorf("userinfo: got a nonce %q, which is the broker's", got.header.Get("DPoP-Nonce"))
				}
			}
			decision := m.last(t, "--kind", "decision", "--tool", "/me")
			if decision.Scheme != "dpop" || !slices.Contains(decision.Stripped, "Dpop") {
				t.Errorf("record: got scheme %q, stripped %v", decision.Scheme, decision.Stripped)
			}
			if got := a.do(t, http.MethodGet, "/http/without/me", "", nil); got.status == http.StatusOK {
				t.Errorf("userinfo without a proof: got %d %s, want a refusal", got.status, got.body)
			}
			m.stop(t)
		})
	}
}
