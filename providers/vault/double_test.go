package vault_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mintmark/broker/bundle"
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
