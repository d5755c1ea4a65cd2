package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// HydraServer is a running Ory Hydra, an OAuth 2 authorization server of another
// origin than OAuthServer. Its access tokens are JWTs.
type HydraServer struct {
	Issuer   string
	TokenURL string

	admin string
	proc  *process
}

const hydraConfig = `
serve:
  public: {host: 127.0.0.1, port: %d}
  admin: {host: 127.0.0.1, port: %d}
urls: {self: {issuer: %q}}
secrets: {system: [%q]}
strategies: {access_token: jwt}
ttl: {access_token: 1m}
sqa: {opt_out: true}
log: {level: info}
`

// Hydra starts Ory Hydra on a PostgreSQL of its own.
func Hydra(t testing.TB) *HydraServer {
	t.Helper()
	program, dir, database := filepath.Join(programs(t, "hydra"), "hydra"), t.TempDir(), Postgres(t)
	env := []string{"DSN=" + database.DSN + "&max_conns=4"}
	migrate := exec.CommandContext(t.Context(), program, "migrate", "sql", "--read-from-env", "--yes")
	migrate.Env, migrate.Dir = env, dir
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("migrate hydra: %v:\n%s", err, out)
	}
	s := &HydraServer{}
	s.proc = launch(t, server{
		name: "hydra",
		command: func(port int) command {
			admin, config := FreePort(t), filepath.Join(dir, "hydra.yaml")
			s.Issuer, s.admin = "http://"+address(port), "http://"+address(admin)
			s.TokenURL = s.Issuer + "/oauth2/token"
			write(t, config, fmt.Sprintf(hydraConfig, port, admin, s.Issuer, secret()))
			return command{
				path: program, dir: dir, env: env,
				args: []string{"serve", "all", "--dev", "--config", config}, // --dev: without TLS
			}
		},
		ready: func(ctx context.Context, _ *process) error {
			_, err := s.ask(ctx, http.MethodGet, "/health/ready", nil)
			return err
		},
	})
	return s
}

// HydraClient is what a client is registered as (RFC 7591, section 2).
type HydraClient struct {
	ID         string          `json:"client_id"`
	Secret     string          `json:"client_secret,omitempty"`
	AuthMethod string          `json:"token_endpoint_auth_method"`
	SigningAlg string          `json:"token_endpoint_auth_signing_alg,omitempty"`
	JWKS       json.RawMessage `json:"jwks,omitempty"`
	GrantTypes []string        `json:"grant_types"`
	Scope      string          `json:"scope"`
	Audience   []string        `json:"audience"`
}

// Register makes a client known.
func (s *HydraServer) Register(t testing.TB, c HydraClient) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatalf("encode client: %v", err)
	}
	if _, err := s.ask(t.Context(), http.MethodPost, "/admin/clients", text); err != nil {
		t.Fatalf("register client: %v", err)
	}
}

// Active asks the server about a token (RFC 7662).
func (s *HydraServer) Active(t testing.TB, token string) bool {
	t.Helper()
	said, err := s.ask(t.Context(), http.MethodPost, "/admin/oauth2/introspect", []byte(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatalf("introspect: %v", err)
	}
	var answer struct{ Active bool }
	if err := json.Unmarshal(said, &answer); err != nil {
		t.Fatalf("introspect: %v", err)
	}
	return answer.Active
}

// Log returns what the server has logged: why it refused a request, among others.
func (s *HydraServer) Log() string { return s.proc.output() }

// ask makes a request of the administrator's.
func (s *HydraServer) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.admin+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if strings.HasSuffix(path, "/introspect") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var said bytes.Buffer
	if _, err := said.ReadFrom(answer.Body); err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 {
		return nil, fmt.Errorf("got %s: %s", answer.Status, said.String())
	}
	return said.Bytes(), nil
}
