//go:build e2e

package e2e_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mintmark/internal/testenv"
	"mintmark/internal/trustdomain"
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
        location /zips { gzip on; gzip_proxied any; gzip_min_length 1; gzip_types *; default_type application/json; return 200 '{"parameters": "$args"}'; }
        location /zipped { proxy_set_header Accept-Encoding gzip; proxy_http_version 1.1; proxy_pass http://$server_addr:$server_port/zips$is_args$args; }
        location /file.txt { gzip_static always; root .; }
        location /moved { return 302 http://$host:1/elsewhere?$args; }`, kept), Files: map[string][]byte{"file.txt.gz": testenv.Encode("gzip", []byte("its key is "+kept))}})
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
		"/zipped":                          `{"parameters": "code=` + masked + `"}`, // though nobody asked for gzip
		"/file.txt":                        "its key is " + masked,
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

// An nginx that lets in who has a certificate of SPIRE's lets the broker in by its
// own SVID, and nobody who only says in a header that he has one.
func testClientCertificate(t *testing.T, w *world) {
	known, err := w.workload.FetchX509Context(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server := trustdomain.New("nginx.test", trustdomain.Options{})
	svid, err := server.X509SVID(server.ID("nginx"), trustdomain.X509Request{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := svid.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	nginx := testenv.Nginx(t, testenv.NginxOptions{
		TLS: true, Files: map[string][]byte{"server.pem": chain, "server.key": key, "clients.pem": encoded(known.DefaultSVID().Certificates[1:], known.Bundles.Bundles()[0].X509Authorities())},
		Server: `
        ssl_client_certificate clients.pem; ssl_verify_client optional; ssl_verify_depth 4;
        location / { if ($ssl_client_verify != SUCCESS) { return 403 $ssl_client_verify; } return 200 "$ssl_client_verify $ssl_client_serial $http_x_client_cert"; }`,
	})
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, encoded(server.Bundle().X509Authorities()), 0o600); err != nil {
		t.Fatal(err)
	}
	m := w.serve(t, site{policies: permitShop, config: fmt.Sprintf(`
providers:
  own: {kind: x509-svid}
upstreams:
  site:
    kind: http
    url: https://%[1]s
    ca: %[2]s
    credentials: [{provider: own, scheme: mtls}]
  without:
    kind: http
    url: https://%[1]s
    ca: %[2]s
    unauthenticated: true
`, nginx.Address, roots)})
	a := m.agent(t, evidence{id: shopID, madeUp: madeUp()})
	for range 3 {
		got := a.do(t, http.MethodGet, "/http/site/", "", http.Header{"X-Client-Cert": {"made-up"}})
		if got.status != http.StatusOK || !strings.HasPrefix(got.body, "SUCCESS ") || strings.Contains(got.body, "made-up") {
			t.Errorf("with the certificate: got %d %q, want nginx to take it", got.status, got.body)
		}
	}
	if got := a.do(t, http.MethodGet, "/http/without/", "", nil); got.status != http.StatusForbidden || !strings.Contains(got.body, "NONE") {
		t.Errorf("without: got %d %q, want a refusal by nginx", got.status, got.body)
	}
	if decision := m.last(t, "--kind", "decision", "--upstream", "site"); decision.Scheme != "mtls" || !slices.Contains(decision.Stripped, "X-Client-Cert") {
		t.Errorf("record: got %+v", decision)
	}
	m.stop(t)
}

func encoded(certificates ...[]*x509.Certificate) (text []byte) {
	for _, c := range slices.Concat(certificates...) {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}
