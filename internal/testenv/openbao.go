package testenv

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"
)

// OpenBaoServer is a running OpenBao, which speaks Vault's API, or where
// MINTMARK_VAULT says so a HashiCorp Vault ("make vault"). It keeps everything
// in memory. A version 2 key-value engine is mounted at secret/.
type OpenBaoServer struct {
	Addr      string // http://127.0.0.1:PORT, or https
	RootToken string
	CA        string // PEM file of its authority, or ""
	// Namespaces is whether it has any. HashiCorp's open edition takes no
	// notice of them.
	Namespaces bool

	program string
	proc    *process
	client  *vault.Client // as root
}

// OpenBao starts an unsealed OpenBao in its development mode.
func OpenBao(t testing.TB) *OpenBaoServer {
	t.Helper()
	return startOpenBao(t, "http://", "")
}

// OpenBaoTLS is OpenBao behind TLS, with an authority of its own, for 127.0.0.1
// and localhost. It asks for client certificates.
func OpenBaoTLS(t testing.TB) *OpenBaoServer {
	t.Helper()
	return startOpenBao(t, "https://", tempDir(t))
}

func startOpenBao(t testing.TB, scheme, certificates string) *OpenBaoServer {
	t.Helper()
	program, dir := chosenVault(t), tempDir(t)
	s := &OpenBaoServer{RootToken: secret(), Namespaces: program.namespaces, program: program.path}
	if certificates != "" {
		s.CA = filepath.Join(certificates, "vault-ca.pem")
	}
	s.proc = launch(t, server{
		name: program.name,
		command: func(port int) command {
			s.Addr = scheme + address(port)
			return command{path: program.path, dir: dir, args: baoArgs(port, certificates), env: []string{program.token + "=" + s.RootToken}}
		},
		ready: func(ctx context.Context, _ *process) error {
			client, err := s.open()
			if err != nil { // the authority is not written yet
				return err
			}
			s.client = client
			// The token is random, so only this server can know it.
			if _, err := client.Auth().Token().LookupSelfWithContext(ctx); err != nil {
				return err
			}
			if err := mounted(ctx, client, "secret/"); err != nil {
				return err
			}
			// The engine refuses everything until it has made itself version 2.
			_, err = client.Logical().ReadWithContext(ctx, "secret/config")
			return err
		},
	})
	return s
}

func baoArgs(port int, certificates string) []string {
	args := []string{"server", "-dev", "-dev-no-store-token", "-dev-listen-address=" + address(port)}
	if certificates != "" {
		args = append(args, "-dev-tls", "-dev-tls-cert-dir="+certificates)
	}
	return args
}

// open returns a client with the root token that ignores the environment and
// does not retry.
func (s *OpenBaoServer) open() (*vault.Client, error) {
	config := vault.DefaultConfig()
	config.Address = s.Addr
	config.MaxRetries = 0
	if s.CA != "" {
		if err := config.ConfigureTLS(&vault.TLSConfig{CACert: s.CA}); err != nil {
			return nil, err
		}
	}
	client, err := vault.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.ClearNamespace()
	client.SetToken(s.RootToken)
	return client, nil
}

// mounted returns an error while no engine is mounted at path: development mode
// answers before it mounts its own.
func mounted(ctx context.Context, client *vault.Client, path string) error {
	mounts, err := client.Sys().ListMountsWithContext(ctx)
	if err != nil {
		return err
	}
	if mounts[path] == nil {
		return fmt.Errorf("mount %s: not there yet", path)
	}
	return nil
}

// Program returns the path of the server's program, which of OpenBao is its
// command line too.
func (s *OpenBaoServer) Program() string { return s.program }

// Client returns a new client of the server with the root token.
func (s *OpenBaoServer) Client(t testing.TB) *vault.Client {
	t.Helper()
	client, err := s.open()
	if err != nil {
		t.Fatalf("make OpenBao client: %v", err)
	}
	return client
}

// Stop ends the server, so that connections to it are refused.
func (s *OpenBaoServer) Stop() {
	s.proc.stop()
}

// Seal seals the server: it goes on listening and answers nearly everything
// with 503 until Unseal.
func (s *OpenBaoServer) Seal(t testing.TB) {
	t.Helper()
	if err := s.client.Sys().SealWithContext(t.Context()); err != nil {
		t.Fatalf("seal OpenBao: %v", err)
	}
	s.awaitSealed(t, true)
}

// Unseal undoes Seal. Everything that was stored is still there.
func (s *OpenBaoServer) Unseal(t testing.TB) {
	t.Helper()
	var key []string
	err := s.proc.await(t.Context(), func(context.Context) error { // it serves before it prints the key
		if key = regexp.MustCompile(`Unseal Key: (\S+)`).FindStringSubmatch(s.proc.output()); key == nil {
			return errors.New("no unseal key in its log")
		}
		return nil
	})
	if err != nil {
		t.Fatalf("unseal OpenBao: %v", err)
	}
	if _, err := s.client.Sys().UnsealWithContext(t.Context(), key[1]); err != nil {
		t.Fatalf("unseal OpenBao: %v", err)
	}
	s.awaitSealed(t, false)
}

func (s *OpenBaoServer) awaitSealed(t testing.TB, want bool) {
	t.Helper()
	err := s.proc.await(t.Context(), func(ctx context.Context) error {
		// Health names a standby too: an unsealed server is not active at once.
		health, err := s.client.Sys().HealthWithContext(ctx)
		if err != nil {
			return err
		}
		if health.Sealed != want || (!want && health.Standby) {
			return fmt.Errorf("sealed: got %t, want %t", health.Sealed, want)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("await OpenBao: %v", err)
	}
}

// PutKV writes a secret at path of the key-value engine mounted at secret/.
func (s *OpenBaoServer) PutKV(t testing.TB, path string, data map[string]any) {
	t.Helper()
	if _, err := s.client.KVv2("secret").Put(t.Context(), path, data); err != nil {
		t.Fatalf("write secret %s: %v", path, err)
	}
}

// PutPolicy writes an ACL policy.
func (s *OpenBaoServer) PutPolicy(t testing.TB, name, rules string) {
	t.Helper()
	if err := s.client.Sys().PutPolicyWithContext(t.Context(), name, rules); err != nil {
		t.Fatalf("write policy %s: %v", name, err)
	}
}

// JWTAuth is a role that logs in at auth/jwt with a JWT, such as a JWT-SVID.
type JWTAuth struct {
	Role     string // "mintmark" if empty
	Subject  string // the SPIFFE ID it is bound to
	Audience string
	Issuer   string // any if empty

	// One of these says which keys sign.
	PublicKeys   []string // PEM
	JWKSURL      string
	DiscoveryURL string

	Policies []string
	TTL      time.Duration // life of a login's token, 1 minute if zero
}

// EnableJWTAuth mounts auth/jwt, with the keys and the one role of auth.
// Another call replaces the keys and adds its role.
func (s *OpenBaoServer) EnableJWTAuth(t testing.TB, auth JWTAuth) {
	t.Helper()
	s.EnableAuth(t, "jwt")
	s.Write(t, "auth/jwt/config", auth.config())
	s.Write(t, "auth/jwt/role/"+defaulted(auth.Role, "mintmark"), auth.role())
}

func (a JWTAuth) config() map[string]any {
	return map[string]any{
		"bound_issuer":           a.Issuer,
		"jwt_validation_pubkeys": a.PublicKeys,
		"jwks_url":               a.JWKSURL,
		"oidc_discovery_url":     a.DiscoveryURL,
	}
}

func (a JWTAuth) role() map[string]any {
	return map[string]any{
		"role_type":       "jwt",
		"user_claim":      "sub",
		"bound_subject":   a.Subject,
		"bound_audiences": []string{a.Audience},
		"token_policies":  a.Policies,
		"token_ttl":       defaulted(a.TTL, time.Minute).String(),
		// Short-lived tokens are used within the second; the default leeway
		// of 150 s would keep an expired JWT good.
		"clock_skew_leeway": -1,
		"expiration_leeway": -1,
		"not_before_leeway": -1,
	}
}

// DatabaseRole makes database/creds/ROLE give users of pg that live for ttl and
// may read every table.
func (s *OpenBaoServer) DatabaseRole(t testing.TB, pg *PostgresServer, role string, ttl time.Duration) {
	t.Helper()
	if err := mounted(t.Context(), s.client, "database/"); err != nil {
		s.Write(t, "sys/mounts/database", map[string]any{"type": "database"})
	}
	s.Write(t, "database/config/"+role, map[string]any{
		"plugin_name":    "postgresql-database-plugin",
		"connection_url": pg.url("{{username}}", "{{password}}"),
		"username":       pg.User,
		"password":       pg.Password,
		"allowed_roles":  []string{role},
	})
	s.Write(t, "database/roles/"+role, map[string]any{
		"db_name":     role,
		"default_ttl": ttl.String(),
		"max_ttl":     ttl.String(),
		"creation_statements": []string{
			`CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`,
			`GRANT pg_read_all_data TO "{{name}}"`,
		},
	})
}

// defaulted returns value, or fallback if value is zero.
func defaulted[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
