package vault_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

const canary = "canary-81b6f0d2c4"

const botID = "spiffe://a.test/ns/prod/sa/bot"

// double answers as Vault does, by path, and keeps what it was asked.
type double struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	asked   []string // "METHOD path token"
	header  http.Header
}

func newDouble(t *testing.T) *double {
	d := &double{answers: map[string]http.HandlerFunc{
		"/v1/auth/token/lookup-self": answer(200, `{"data":{"ttl":0,"renewable":false}}`),
	}}
	d.Server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Close)
	return d
}

func (d *double) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.asked = append(d.asked, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/v1/")+" "+r.Header.Get("X-Vault-Token"))
	d.header = r.Header.Clone()
	handler := d.answers[r.URL.Path]
	d.mu.Unlock()
	if handler == nil {
		handler = answer(404, `{"errors":[]}`)
	}
	handler(w, r)
}

func (d *double) on(path string, h http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers["/v1/"+path] = h
}

func (d *double) count(prefix string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, a := range d.asked {
		if strings.HasPrefix(a, prefix) {
			n++
		}
	}
	return n
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// self gives numbered JWTs.
type self struct {
	providertest.NoX509SVID

	mu    sync.Mutex
	given int
	err   error
}

func (s *self) JWTSVID(_ context.Context, audience string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given++
	return fmt.Sprintf("svid-%s-%d", audience, s.given), s.err
}

func file(t *testing.T, content string) bundle.Path {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return bundle.Path(path)
}

func kv2(t *testing.T, d *double) vault.Config {
	return vault.Config{
		Address: providertest.URL(t, d.URL),
		Auth:    vault.Auth{Token: providertest.Ref(t, canary+"-token")},
		KV2:     &vault.KV{Path: "team/app", Field: "key"},
	}
}

func database(t *testing.T, d *double) vault.Config {
	return vault.Config{
		Address:  providertest.URL(t, d.URL),
		Auth:     vault.Auth{JWT: &vault.JWT{Role: "mintmark", Audience: "vault"}},
		Database: &vault.Database{Role: "ro"},
	}
}

func open(t *testing.T, c vault.Config, env providers.Env) providers.Provider {
	t.Helper()
	if got := providertest.Faults(c); len(got) > 0 {
		t.Fatalf("config: got faults %v, want none", got)
	}
	p, err := vault.Open(c, env)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return p
}

func TestRefusalsAreExplainedAndNotQuoted(t *testing.T) {
	quoting := `{"errors":["` + canary + ` is wrong"],"data":{"x":"` + canary + `"}}`
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		hint    string
	}{
		"sealed":            {answer(503, `{"errors":["Vault is sealed `+canary+`"]}`), fault.Unavailable, "vault is sealed"},
		"not ready":         {answer(503, quoting), fault.Unavailable, "vault is not ready"},
		"limited":           {answer(429, quoting), fault.Unavailable, "vault limits how often the broker may ask"},
		"standby":           {answer(473, quoting), fault.Unavailable, "vault is a standby that does not forward requests"},
		"broken":            {answer(500, quoting), fault.Unavailable, "vault could not make the credential"},
		"forbidden":         {answer(403, quoting), fault.Internal, "the credential provider refused the broker"},
		"bad request":       {answer(400, quoting), fault.Internal, "the credential provider refused the broker"},
		"missing":           {answer(404, `{"errors":[]}`), fault.Internal, "there is no such secret at its provider"},
		"teapot":            {answer(418, canary), fault.Internal, "vault gave an unexpected answer"},
		"redirect":          {redirect, fault.Unavailable, "vault answered with a redirect, which is not followed"},
		"not json":          {answer(200, "<html>"+canary), fault.Unavailable, "vault gave no usable answer"},
		"cut short":         {answer(200, `{"data":{"data":{"key":"`+canary), fault.Unavailable, "vault gave no usable answer"},
		"too long":          {answer(200, `{"data":"`+strings.Repeat(canary, 1<<17)+`"}`), fault.Unavailable, "vault answered with more than 1048576 bytes"},
		"hangs up":          {hangUp, fault.Unavailable, "vault gave no usable answer"},
		"malformed":         {malformed, fault.Unavailable, "vault gave no usable answer"},
		"nothing":           {answer(204, ""), fault.Internal, "there is no such secret at its provider"},
		"deleted":           {answer(200, `{"data":{"data":null,"metadata":{"deletion_time":"now"}}}`), fault.Internal, "the secret at its provider is deleted"},
		"field missing":     {answer(200, `{"data":{"data":{"other":"`+canary+`"}}}`), fault.Internal, "the secret at its provider lacks a field that the broker is told to use"},
		"field not text":    {answer(200, `{"data":{"data":{"key":12345678901}}}`), fault.Internal, "the secret at its provider lacks a field that the broker is told to use"},
		"field an object":   {answer(200, `{"data":{"data":{"key":{"a":"`+canary+`"}}}}`), fault.Internal, "the secret at its provider lacks a field that the broker is told to use"},
		"field empty":       {answer(200, `{"data":{"data":{"key":""}}}`), fault.Internal, "the secret at its provider lacks a field that the broker is told to use"},
		"data not a object": {answer(200, `{"data":{"data":["`+canary+`"]}}`), fault.Internal, "the secret at its provider is deleted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("secret/data/team/app", tt.handler)
			r := providertest.One(t, open(t, kv2(t, d), providers.Env{}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, tt.kind); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
			r.Names(t, "asked GET "+d.URL+"/v1/secret/data/team/app: ")
			// net/http itself asks again where a kept connection turns out closed.
			if got := d.count("GET secret/data/team/app"); got != 1 && name != "hangs up" {
				t.Errorf("got %d reads, want one: the Pool decides when to try again", got)
			}
		})
	}
}

func redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://127.0.0.1:1/"+canary, http.StatusTemporaryRedirect)
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func malformed(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 "+canary+"\r\n"+canary+"\r\n\r\n")
	_ = conn.Close()
}

func TestLoginRefusalsAreExplained(t *testing.T) {
	tests := map[string]struct {
		handler http.HandlerFunc
		self    *self
		kind    fault.Kind
		hint    string
		next    string
	}{
		"refused": {answer(400, `{"errors":["`+canary+`"]}`), &self{}, fault.Internal, "the credential provider refused the broker",
			`vault answered with status 400: compare role "mintmark", audience "vault" with the role's bound_audiences, and the broker's SPIFFE ID with its bound_subject; is the method set up at auth/jwt? Vault's own log says more`},
		"forbidden": {answer(403, `{"errors":["`+canary+`"]}`), &self{}, fault.Internal, "the credential provider refused the broker",
			`vault answered with status 403: is the method jwt enabled at auth/jwt (vault auth list), in this namespace, and is it Vault that answers there? If so, compare role "mintmark", `},
		"unauthorized": {answer(401, canary), &self{}, fault.Internal, "the credential provider refused the broker", "vault answered with status 401: is the method jwt enabled at auth/jwt "},
		"not vault":    {answer(404, `{"errors":["`+canary+`"]}`), &self{}, fault.Internal, "the credential provider has no such login", "vault answered with status 404: is the method jwt enabled at auth/jwt, and is it Vault that answers there?"},
		"no token":     {answer(200, `{"auth":null}`), &self{}, fault.Internal, "vault answered a login without a token", ""},
		"sealed":       {answer(503, `{"errors":["Vault is sealed"]}`), &self{}, fault.Unavailable, "vault is sealed", "vault answered with status 503: unseal it"},
		"no identity":  {answer(200, `{}`), &self{err: io.EOF}, fault.Unavailable, "the broker has no identity to show to vault", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("auth/jwt/login", tt.handler)
			r := providertest.One(t, open(t, database(t, d), providers.Env{Self: tt.self}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, tt.kind); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
			if name != "no identity" {
				r.Names(t, "asked PUT "+d.URL+"/v1/auth/jwt/login: "+tt.next)
			}
		})
	}
}

// A token that Vault has dropped is replaced once, and a right that is missing
// costs one login a minute and no more.
func TestLogsInAgainWhenTheTokenIsDropped(t *testing.T) {
	d := newDouble(t)
	logins := 0
	d.on("auth/jwt/login", func(w http.ResponseWriter, r *http.Request) {
		logins++
		answer(200, fmt.Sprintf(`{"auth":{"client_token":"%s-%d","lease_duration":3600}}`, canary, logins))(w, r)
	})
	good := canary + "-1"
	d.on("database/creds/ro", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != good {
			answer(403, `{"errors":["permission denied"]}`)(w, r)
			return
		}
		answer(200, user("u1", 1800))(w, r)
	})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := open(t, database(t, d), providers.Env{Self: &self{}, Clock: func() time.Time { return now }})
	mint := func() error {
		_, err := p.Mint(t.Context(), providers.Request{})
		return err
	}
	if err := mint(); err != nil || logins != 1 {
		t.Fatalf("first mint: got %v after %d logins, want one login", err, logins)
	}
	if err := mint(); err != nil || logins != 1 {
		t.Fatalf("second mint: got %v after %d logins, want the token kept", err, logins)
	}
	good = canary + "-2"
	if err := mint(); err != nil || logins != 2 {
		t.Fatalf("mint after the token was dropped: got %v after %d logins, want a new login", err, logins)
	}
	good = "none"
	now = now.Add(time.Minute)
	asked := d.count("GET database/creds/ro")
	if err := mint(); fault.KindOf(err) != fault.Internal || logins != 3 {
		t.Fatalf("mint without the right: got %v after %d logins, want the refusal after one new login", err, logins)
	}
	if got := d.count("GET database/creds/ro") - asked; got != 2 {
		t.Errorf("mint without the right: got %d reads, want 2", got)
	}
	for range 5 {
		now = now.Add(10 * time.Second)
		if err := mint(); fault.KindOf(err) != fault.Internal || logins != 3 {
			t.Fatalf("mint without the right, once more: got %v after %d logins, want the refusal without one", err, logins)
		}
	}
	d.on("auth/token/lookup-self", answer(403, `{"errors":["permission denied"]}`)) // dropped in that minute
	good = canary + "-4"
	if err := mint(); err != nil || logins != 4 {
		t.Fatalf("mint after the token was dropped in the same minute: got %v after %d logins, want a new login", err, logins)
	}
}

func user(name string, seconds int) string {
	return fmt.Sprintf(`{"lease_id":"database/creds/ro/%s","lease_duration":%d,"renewable":true,"data":{"username":"%s","password":"%s-pw"}}`, name, seconds, name, canary)
}

func TestARenewableLeaseIsWhatVaultSaysIsOne(t *testing.T) {
	for _, renewable := range []bool{true, false} {
		d := newDouble(t)
		d.on("auth/jwt/login", answer(200, `{"auth":{"client_token":"t","lease_duration":3600}}`))
		d.on("database/creds/ro", answer(200, strings.Replace(user("u", 600), `"renewable":true`, fmt.Sprintf(`"renewable":%t`, renewable), 1)))
		p := open(t, database(t, d), providers.Env{Self: &self{}})
		c, err := p.Mint(t.Context(), providers.Request{})
		if err != nil || c.Renewable(p) != renewable || !c.Revocable(p) {
			t.Errorf("renewable %t: got %t, and revocable %t, %v", renewable, c.Renewable(p), c.Revocable(p), err)
		}
	}
}

func TestDatabaseUserEndsWithItsLeaseOrItsToken(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		token, lease int
		elapsed      time.Duration // between login and the mint that is looked at
		want         time.Duration // after that mint
		logins       int
	}{
		"by its lease":                       {3600, 600, 0, 10 * time.Minute, 1},
		"by its token":                       {900, 3600, 0, 15 * time.Minute, 1},
		"by what is left of its token":       {900, 3600, 9 * time.Minute, 6 * time.Minute, 1},
		"login again with a third left":      {900, 3600, 10 * time.Minute, 15 * time.Minute, 2},
		"login again with an expired token":  {900, 3600, time.Hour, 15 * time.Minute, 2},
		"a token without end bounds nothing": {0, 3600, time.Hour, time.Hour, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			now := start
			d := newDouble(t)
			d.on("auth/jwt/login", answer(200, fmt.Sprintf(`{"auth":{"client_token":"t","lease_duration":%d}}`, tt.token)))
			d.on("database/creds/ro", answer(200, user("u", tt.lease)))
			p := open(t, database(t, d), providers.Env{Self: &self{}, Clock: func() time.Time { return now }})
			if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
				t.Fatal(err)
			}
			now = now.Add(tt.elapsed)
			c, err := p.Mint(t.Context(), providers.Request{})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.NotAfter().Sub(now); got != tt.want {
				t.Errorf("end: got %v after the mint, want %v", got, tt.want)
			}
			if got := d.count("PUT auth/jwt/login"); got != tt.logins {
				t.Errorf("got %d logins, want %d", got, tt.logins)
			}
			if c.Kind() != providers.Password || c.Lease() != "database/creds/ro/u" || !slices.Equal(c.Scopes(), []string{"database/creds/ro"}) {
				t.Errorf("got kind %s, lease %q, scopes %v", c.Kind(), c.Lease(), c.Scopes())
			}
		})
	}
}

func TestConfiguredTokenIsRenewed(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := newDouble(t)
	d.on("auth/token/lookup-self", answer(200, `{"data":{"ttl":900,"renewable":true}}`))
	d.on("auth/token/renew-self", answer(200, `{"auth":{"client_token":"ignored","lease_duration":1800}}`))
	d.on("database/creds/ro", answer(200, user("u", 7200)))
	c := database(t, d)
	c.Auth = vault.Auth{Token: providertest.Ref(t, canary)}
	p := open(t, c, providers.Env{Clock: func() time.Time { return now }})
	for i, want := range []time.Duration{15 * time.Minute, 30 * time.Minute} {
		minted, err := p.Mint(t.Context(), providers.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if got := minted.NotAfter().Sub(now); got != want {
			t.Errorf("mint %d: got an end after %v, want that of the token, %v", i, got, want)
		}
		now = now.Add(11 * time.Minute)
	}
	if got := d.count("PUT auth/token/renew-self " + canary); got != 1 {
		t.Errorf("got %d renewals of the token, want 1", got)
	}
}

func TestUnusableDatabaseUserIsRefused(t *testing.T) {
	for name, body := range map[string]string{
		"no lease":    `{"lease_duration":60,"data":{"username":"u","password":"` + canary + `"}}`,
		"no duration": `{"lease_id":"l","lease_duration":0,"data":{"username":"u","password":"` + canary + `"}}`,
		"no password": `{"lease_id":"l","lease_duration":60,"data":{"username":"u"}}`,
		"no username": `{"lease_id":"l","lease_duration":60,"data":{"password":"` + canary + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("auth/jwt/login", answer(200, `{"auth":{"client_token":"t","lease_duration":900}}`))
			d.on("database/creds/ro", answer(200, body))
			d.on("sys/leases/revoke", answer(204, ""))
			r := providertest.One(t, open(t, database(t, d), providers.Env{Self: &self{}}), canary)
			r.Refused(t, providers.Request{}, fault.Internal)
			r.Stop(t)
			if got := d.count("PUT sys/leases/revoke"); (got == 1) != (name != "no lease") {
				t.Errorf("got %d revocations of the user that was made, want one only where it has a lease", got)
			}
		})
	}
}

func TestRevokeNamesTheLeaseInTheBody(t *testing.T) {
	d := newDouble(t)
	d.on("auth/jwt/login", answer(200, `{"auth":{"client_token":"t","lease_duration":900}}`))
	d.on("database/creds/ro", answer(200, strings.Replace(user("u", 600), "database/creds/ro/u", "../../evil", 1)))
	var body map[string]any
	d.on("sys/leases/revoke", func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("read body: %v", err)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	r := providertest.One(t, open(t, database(t, d), providers.Env{Self: &self{}}), canary)
	r.Must(t, providers.Request{})
	r.Stop(t)
	if body["lease_id"] != "../../evil" || body["sync"] != true {
		t.Errorf("revocation: got body %v, want the lease, in the body, and sync", body)
	}
	if got := r.Events(t); got != "mint revoke" {
		t.Errorf("events: got %q, want mint revoke", got)
	}
}

func TestKeyValueIsNotRevocable(t *testing.T) {
	p := open(t, kv2(t, newDouble(t)), providers.Env{})
	if _, ok := p.(providers.Revoker); ok {
		t.Error("kv2: got a Revoker, want none: reading a secret makes nothing to revoke")
	}
}

func TestKeyValuePassword(t *testing.T) {
	d := newDouble(t)
	d.on("team/kv/data/app", answer(200, `{"data":{"data":{"user":"bob","pass":"`+canary+`"}}}`))
	c := kv2(t, d)
	c.KV2 = &vault.KV{Mount: "team/kv", Path: "app", UsernameField: "user", PasswordField: "pass"}
	c.Namespace = "ns1"
	r := providertest.One(t, open(t, c, providers.Env{}), canary)
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased); got.Username() != "bob" || got.Password() != canary {
		t.Error("got another username or password than the secret's")
	}
	if leased.Kind() != providers.Password || leased.Lease() != "" || !slices.Equal(leased.Scopes(), []string{"team/kv/app#pass"}) {
		t.Errorf("got kind %s, lease %q, scopes %v", leased.Kind(), leased.Lease(), leased.Scopes())
	}
	if got := d.header.Get("X-Vault-Namespace"); got != "ns1" {
		t.Errorf("namespace: got %q, want ns1", got)
	}
}

func TestEnvironmentIsIgnored(t *testing.T) {
	other := newDouble(t)
	for name, value := range map[string]string{
		"VAULT_ADDR": other.URL, "VAULT_AGENT_ADDR": other.URL, "VAULT_TOKEN": "env-token", "VAULT_NAMESPACE": "env-ns", "VAULT_HEADERS": `{"X-Env":"1"}`,
		"VAULT_WRAP_TTL": "60s", "VAULT_PROXY_ADDR": other.URL, "VAULT_HTTP_PROXY": other.URL, "HTTP_PROXY": other.URL, "HTTPS_PROXY": other.URL,
		"VAULT_MAX_RETRIES": "5", "VAULT_SKIP_VERIFY": "true", "VAULT_CLIENT_TIMEOUT": "1ns", "VAULT_RATE_LIMIT": "0.001:1",
	} {
		t.Setenv(name, value)
	}
	d := newDouble(t)
	d.on("secret/data/team/app", answer(200, `{"data":{"data":{"key":"`+canary+`"}}}`))
	r := providertest.One(t, open(t, kv2(t, d), providers.Env{}), canary)
	defer r.Stop(t)
	r.Must(t, providers.Request{})
	d.on("auth/jwt/login", answer(200, `{"auth":{"client_token":"t","lease_duration":900}}`))
	d.on("database/creds/ro", answer(200, user("u", 600)))
	if _, err := open(t, database(t, d), providers.Env{Self: &self{}}).Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	if got := d.count("PUT auth/jwt/login env-token"); got != 0 {
		t.Errorf("got %d logins with the environment's token, want none", got)
	}
	if len(other.asked) != 0 {
		t.Errorf("the environment's server was asked: %v", other.asked)
	}
	for _, header := range []string{"X-Env", "X-Vault-Namespace", "X-Vault-Wrap-Ttl"} {
		if got := d.header.Get(header); got != "" {
			t.Errorf("header %s: got %q from the environment, want none", header, got)
		}
	}
	if got := d.count("GET secret/data/team/app " + canary + "-token"); got != 1 {
		t.Errorf("got %d reads with the configured token, want 1", got)
	}
}

func TestMalformedEnvironmentIsNamed(t *testing.T) {
	t.Setenv("VAULT_MAX_RETRIES", canary)
	p, err := vault.Open(kv2(t, newDouble(t)), providers.Env{})
	if err == nil || p != nil || !strings.Contains(err.Error(), "VAULT_*") || strings.Contains(err.Error(), canary) {
		t.Errorf("open: got %v, want an error that names VAULT_* and quotes nothing", err)
	}
}

func TestOpenDoesNoNetwork(t *testing.T) {
	d := newDouble(t)
	open(t, kv2(t, d), providers.Env{})
	open(t, database(t, d), providers.Env{Self: &self{}})
	if len(d.asked) != 0 {
		t.Errorf("open asked %v, want nothing", d.asked)
	}
}

func TestConfigRules(t *testing.T) {
	d := newDouble(t)
	tests := map[string]struct {
		change func(*vault.Config)
		want   []string
	}{
		"plaintext beyond loopback": {func(c *vault.Config) { c.Address = providertest.URL(t, "http://vault.example.org") }, []string{"address"}},
		"https":                     {func(c *vault.Config) { c.Address = providertest.URL(t, "https://vault.example.org") }, nil},
		"neither kv2 nor database":  {func(c *vault.Config) { c.KV2 = nil }, []string{"kv2"}},
		"both":                      {func(c *vault.Config) { c.Database = &vault.Database{Role: "r"} }, []string{"kv2"}},
		"no auth":                   {func(c *vault.Config) { c.Auth = vault.Auth{} }, []string{"auth"}},
		"two auths":                 {func(c *vault.Config) { c.Auth.JWT = &vault.JWT{Role: "r", Audience: "a"} }, []string{"auth"}},
		"no field":                  {func(c *vault.Config) { c.KV2.Field = "" }, []string{"kv2.field"}},
		"field and password":        {func(c *vault.Config) { c.KV2.PasswordField, c.KV2.UsernameField = "p", "u" }, []string{"kv2.field"}},
		"password alone":            {func(c *vault.Config) { c.KV2.Field, c.KV2.PasswordField = "", "p" }, []string{"kv2.field"}},
		"path climbs":               {func(c *vault.Config) { c.KV2.Path = "a/../../sys/raw" }, []string{"kv2.path"}},
		"path with a query":         {func(c *vault.Config) { c.KV2.Path = "a?list=true" }, []string{"kv2.path"}},
		"path from the root":        {func(c *vault.Config) { c.KV2.Path = "/a" }, []string{"kv2.path"}},
		"path encoded":              {func(c *vault.Config) { c.KV2.Path = "%2e%2e/a" }, []string{"kv2.path"}},
		"mount climbs":              {func(c *vault.Config) { c.KV2.Mount = ".." }, []string{"kv2.mount"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := kv2(t, d)
			tt.change(&c)
			if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
				t.Errorf("faults: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	d := newDouble(t)
	noRoots := kv2(t, d)
	noRoots.CA = bundle.Path(t.TempDir() + "/none.pem")
	empty := kv2(t, d)
	empty.KV2 = nil
	for name, c := range map[string]vault.Config{"no identity of its own": database(t, d), "no roots file": noRoots, "nothing to read": empty} {
		if p, err := vault.Open(c, providers.Env{}); err == nil || p != nil {
			t.Errorf("%s: got %v, %v, want no provider and an error", name, p, err)
		}
	}
}
