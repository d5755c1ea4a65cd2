//go:build e2e

package vault_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// asRoot registers what change says, with the root token.
func asRoot(t *testing.T, bao *testenv.OpenBaoServer, change func(*vault.Config)) providers.Provider {
	t.Helper()
	c := vault.Config{Address: providertest.URL(t, bao.Addr), Auth: vault.Auth{Token: providertest.Ref(t, bao.RootToken)}}
	change(&c)
	return open(t, c, providers.Env{})
}

func TestKeyValueVersionOneOfEachAgent(t *testing.T) {
	t.Parallel()
	bao := testenv.OpenBao(t)
	bao.Write(t, "sys/mounts/old", map[string]any{"type": "kv", "options": map[string]any{"version": "1"}})
	bao.Write(t, "old/agents/ns,prod,sa,bot", map[string]any{"user": "bot", "pass": canary, "ttl": "30m"})
	p := asRoot(t, bao, func(c *vault.Config) {
		c.KV1 = &vault.KV{Mount: "old", Path: "agents/{subject_path}", UsernameField: "user", PasswordField: "pass"}
	})
	r := providertest.One(t, p, canary, bao.RootToken)
	defer r.Stop(t)
	c, _ := r.Must(t, providertest.Agent(t, botID))
	if got := r.Reveal(t, c); got.Username() != "bot" || got.Password() != canary {
		t.Error("got another username or password than the secret's")
	}
	if !slices.Equal(c.Scopes(), []string{"old/agents/ns,prod,sa,bot#pass"}) {
		t.Errorf("scopes: got %v", c.Scopes())
	}
	if _, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, botID+"2")); err == nil {
		t.Error("another agent: got a credential, want none: it has no secret")
	}
}

// certifier has OpenBao issue certificates for agents.
func certifier(t *testing.T, bao *testenv.OpenBaoServer, leases bool) {
	t.Helper()
	bao.Write(t, "sys/mounts/pki", map[string]any{"type": "pki"})
	bao.Write(t, "pki/root/generate/internal", map[string]any{"common_name": "a.test", "ttl": "1h"})
	bao.Write(t, "pki/roles/agents", map[string]any{"allowed_uri_sans": "spiffe://a.test/*", "require_cn": false, "generate_lease": leases, "key_type": "ec", "key_bits": 256})
}

func TestCertificateNamesTheAgent(t *testing.T) {
	t.Parallel()
	for name, leases := range map[string]bool{"with leases": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			bao := testenv.OpenBao(t)
			certifier(t, bao, leases)
			p := asRoot(t, bao, func(c *vault.Config) {
				c.Dynamic = &vault.Dynamic{
					Path:   "pki/issue/agents",
					Data:   map[string]string{"uri_sans": "{agent}", "ttl": "10m"},
					Fields: vault.Fields{Certificate: "{certificate}", Key: "{private_key}", Chain: "{ca_chain}"},
				}
			})
			r := providertest.One(t, p, bao.RootToken)
			c, _ := r.Must(t, providertest.Agent(t, botID))
			opened := r.Reveal(t, c)
			leaf, err := x509.ParseCertificate(opened.Chain()[0])
			if err != nil {
				t.Fatal(err)
			}
			if len(leaf.URIs) != 1 || leaf.URIs[0].String() != botID || len(opened.Chain()) != 2 {
				t.Errorf("got certificates %d for %v, want two, for the agent", len(opened.Chain()), leaf.URIs)
			}
			if c.Kind() != providers.X509 || c.NotAfter().After(leaf.NotAfter) || c.NotAfter().Before(time.Now().Add(9*time.Minute)) || (c.Lease() != "") != leases {
				t.Errorf("got kind %s, end %v, lease %q; the certificate ends %v", c.Kind(), c.NotAfter(), c.Lease(), leaf.NotAfter)
			}
			if key, ok := opened.Key().Public().(*ecdsa.PublicKey); !ok || !key.Equal(leaf.PublicKey) {
				t.Error("got a key that is not the certificate's")
			}
			r.Stop(t)
			want := "mint"
			if leases {
				want = "mint revoke"
			}
			if got := r.Events(t); got != want {
				t.Errorf("events: got %q, want %s", got, want)
			}
		})
	}
}

// The engine takes alt_names for a list with commas between, as it does what many others
// are asked for (valid_principals of ssh): what an agent is called must not be two of it.
func TestAnAgentIsOneNameInAList(t *testing.T) {
	t.Parallel()
	bao := testenv.OpenBao(t)
	certifier(t, bao, false)
	bao.Write(t, "pki/roles/hosts", map[string]any{"allowed_domains": "agents.test", "allow_subdomains": true, "require_cn": false, "key_type": "ec", "key_bits": 256})
	p := asRoot(t, bao, func(c *vault.Config) {
		c.Dynamic = &vault.Dynamic{
			Path:   "pki/issue/hosts",
			Data:   map[string]string{"alt_names": "{subject_path}.agents.test", "ttl": "10m"},
			Fields: vault.Fields{Certificate: "{certificate}", Key: "{private_key}"},
		}
	})
	r := providertest.One(t, p, bao.RootToken)
	defer r.Stop(t)
	c, _ := r.Must(t, providertest.Agent(t, "spiffe://a.test/admin"))
	leaf, err := x509.ParseCertificate(r.Reveal(t, c).Chain()[0])
	if err != nil || !slices.Equal(leaf.DNSNames, []string{"admin.agents.test"}) {
		t.Fatalf("got %v, %v, want a certificate for the agent's name", leaf, err)
	}
	other, _ := r.Must(t, providertest.Agent(t, "spiffe://a.test/admin.agents.test/x"))
	leaf, err = x509.ParseCertificate(r.Reveal(t, other).Chain()[0])
	if err != nil || len(leaf.DNSNames) > 0 { // its own is no name of a host
		t.Errorf("another agent: got a certificate for %v, %v, want one for none", leaf.DNSNames, err)
	}
}

func TestTokenOfAnyPath(t *testing.T) {
	t.Parallel()
	bao := testenv.OpenBao(t)
	bao.Write(t, "identity/oidc/key/k", map[string]any{"allowed_client_ids": "*"})
	bao.Write(t, "identity/oidc/role/agents", map[string]any{"key": "k", "ttl": "5m"})
	bao.PutPolicy(t, "reader", `path "identity/oidc/token/agents" { capabilities = ["read"] }`)
	bao.EnableAuth(t, "userpass")
	bao.Write(t, "auth/userpass/users/broker", map[string]any{"password": canary, "token_policies": "reader"})
	user := bao.Write(t, "auth/userpass/login/broker", map[string]any{"password": canary}) // the engine wants an entity
	p := asRoot(t, bao, func(c *vault.Config) {
		c.Auth.Token = providertest.Ref(t, user.Auth.ClientToken)
		c.Dynamic = &vault.Dynamic{Path: "identity/oidc/token/agents", Fields: vault.Fields{Token: "{token}", ExpiresIn: "ttl"}}
	})
	r := providertest.One(t, p, canary, user.Auth.ClientToken)
	defer r.Stop(t)
	c, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, c).Token(); strings.Count(got, ".") != 2 {
		t.Error("got a token that is no JWT")
	}
	if life := time.Until(c.NotAfter()); life < 4*time.Minute || life > 5*time.Minute || c.Lease() != "" {
		t.Errorf("got life %v, lease %q, want the 5m that the answer says", life, c.Lease())
	}
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	bao := testenv.OpenBao(t)
	team := bao.In(t, "team")
	team.MountKV(t)
	team.PutKV(t, "app", map[string]any{"key": canary})
	for name, where := range map[string]*testenv.OpenBaoServer{"login in the parent": bao, "login in the same": team} {
		t.Run(name, func(t *testing.T) {
			self := newIdentity(t, brokerID)
			rules := `path "secret/data/app" { capabilities = ["read"] }`
			c := vault.Config{Address: providertest.URL(t, bao.Addr), Namespace: "team", KV2: &vault.KV{Path: "app", Field: "key"}}
			if where == bao {
				rules = `path "team/secret/data/app" { capabilities = ["read"] }`
				c.Auth.Namespace = "root"
			}
			where.PutPolicy(t, "reader", rules)
			where.EnableJWTAuth(t, testenv.JWTAuth{Subject: brokerID, Audience: "vault", PublicKeys: []string{self.public(t)}, Policies: []string{"reader"}})
			c.Auth.JWT = &vault.JWT{Role: "mintmark", Audience: "vault"}
			r := providertest.One(t, open(t, c, providers.Env{Self: self}), canary)
			defer r.Stop(t)
			leased, _ := r.Must(t, providers.Request{})
			if got := r.Reveal(t, leased); got.Token() != canary {
				t.Error("got another token than the secret's")
			}
			r.Hide(self.given...)
		})
	}
}

func TestLeaseIsRenewedUntilItsLongestLife(t *testing.T) {
	t.Parallel()
	bao, pg, self := testenv.OpenBao(t), testenv.Postgres(t), newIdentity(t, brokerID)
	bao.DatabaseRole(t, pg, "reader", 20*time.Second)
	bao.Write(t, "database/roles/reader", map[string]any{
		"db_name": "reader", "default_ttl": "20s", "max_ttl": "30s",
		"creation_statements": []string{`CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`},
	})
	p := userProvider(t, bao, self, 5*time.Minute, `path "sys/leases/renew" { capabilities = ["update"] }`)
	c, err := p.Mint(t.Context(), providers.Request{})
	if err != nil {
		t.Fatal(err)
	}
	first, held := c.NotAfter(), providers.Held{Lease: c.Lease()}
	await(t, "a second of its life", time.Minute, func() bool { return time.Until(first) < 18*time.Second })
	terms, err := p.(providers.Renewer).Renew(t.Context(), held)
	if err != nil {
		t.Fatalf("renew: %v", err)
	}
	if gained := terms.NotAfter.Sub(first); gained < time.Second || gained > 11*time.Second || terms.Lease != c.Lease() || !slices.Equal(terms.Scopes, c.Scopes()) {
		t.Errorf("renewal: got %v more, terms %+v, want some seconds of the same", gained, terms)
	}
	await(t, "the longest life", time.Minute, func() bool {
		_, err := p.(providers.Renewer).Renew(t.Context(), held)
		return err != nil
	})
	if err := p.(providers.Revoker).Revoke(t.Context(), held); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if _, err := p.(providers.Renewer).Renew(t.Context(), held); err == nil {
		t.Error("renewal of a revoked lease: got none refused")
	}
}

// The Pool has a user that is in use renewed, and replaces it when it has grown old.
func TestDatabaseUserIsRenewedWhileItIsUsed(t *testing.T) {
	t.Parallel()
	bao, pg, self := testenv.OpenBao(t), testenv.Postgres(t), newIdentity(t, brokerID)
	bao.DatabaseRole(t, pg, "reader", 12*time.Second)
	bao.Write(t, "database/roles/reader", map[string]any{
		"db_name": "reader", "default_ttl": "12s", "max_ttl": "1h",
		"creation_statements": []string{`CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`},
	})
	r := providertest.One(t, userProvider(t, bao, self, 5*time.Minute, `path "sys/leases/renew" { capabilities = ["update"] }`))
	c, _ := r.Must(t, providers.Request{})
	end, opened := c.NotAfter().Add(6*time.Second), r.Reveal(t, c)
	await(t, "one and a half lives of a user", 2*time.Minute, func() bool {
		now, _ := r.Must(t, providers.Request{})
		if now.ID() != c.ID() {
			t.Fatalf("got another user, want the one that is renewed: %s", r.History(t))
		}
		if err := connect(t, pg, opened); err != nil {
			t.Fatalf("log in: %v", err)
		}
		return time.Now().After(end)
	})
	r.Stop(t)
	if err := connect(t, pg, opened); err == nil {
		t.Error("after close: the user still logs in, want it revoked")
	}
}

// What is on no record ends by the path that made it.
func TestEverythingOfAPathIsRevoked(t *testing.T) {
	t.Parallel()
	bao, pg, self := testenv.OpenBao(t), testenv.Postgres(t), newIdentity(t, brokerID)
	bao.DatabaseRole(t, pg, "reader", time.Minute)
	sweep := func(p providers.Provider) error {
		return p.(providers.AllRevoker).RevokeAll(t.Context())
	}
	p := userProvider(t, bao, self, time.Minute)
	var leases []string
	for range 3 {
		c, err := p.Mint(t.Context(), providers.Request{})
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, c.Lease())
	}
	if err := sweep(p); fault.KindOf(err) != fault.Internal || err == nil {
		t.Errorf("without the right: got %v, want it refused", err)
	}
	login(t, bao, self, time.Minute, `path "sys/leases/revoke-prefix/database/creds/reader" { capabilities = ["update", "sudo"] }`)
	if err := sweep(p); err != nil {
		t.Errorf("revoke everything: %v", err)
	}
	for _, lease := range leases {
		if lives(t, bao, lease) {
			t.Errorf("lease %s lives, want none left", lease)
		}
	}
}
