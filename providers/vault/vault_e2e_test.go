//go:build e2e

package vault_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/jackc/pgx/v5"

	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

const brokerID = "spiffe://a.test/mintmark"

// identity signs JWT-SVIDs with a key of its own and keeps them, to look for
// them where they must not be.
type identity struct {
	providertest.NoX509SVID

	subject string
	key     *ecdsa.PrivateKey

	mu    sync.Mutex
	given []string
}

func newIdentity(t *testing.T, subject string) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{subject: subject, key: key}
}

func (i *identity) JWTSVID(_ context.Context, audience string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, nil)
	if err != nil {
		return "", err
	}
	svid, err := jwt.Signed(signer).Claims(jwt.Claims{
		Subject:  i.subject,
		Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(time.Now()),
		Expiry:   jwt.NewNumericDate(time.Now().Add(time.Minute)),
	}).Serialize()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.given = append(i.given, svid)
	return svid, err
}

func (i *identity) public(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(i.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// login lets the broker log in to bao for ttl, and read and revoke there.
func login(t *testing.T, bao *testenv.OpenBaoServer, self *identity, ttl time.Duration, more ...string) vault.Auth {
	t.Helper()
	bao.PutPolicy(t, "broker", strings.Join(more, "\n")+`
		path "secret/data/app" { capabilities = ["read"] }
		path "database/creds/reader" { capabilities = ["read"] }
		path "sys/leases/revoke" { capabilities = ["update"] }
		path "auth/token/revoke-accessor" { capabilities = ["update"] }`)
	bao.EnableJWTAuth(t, testenv.JWTAuth{Subject: brokerID, Audience: "vault", PublicKeys: []string{self.public(t)}, Policies: []string{"broker"}, TTL: ttl})
	return vault.Auth{JWT: &vault.JWT{Role: "mintmark", Audience: "vault"}}
}

func userProvider(t *testing.T, bao *testenv.OpenBaoServer, self *identity, ttl time.Duration, more ...string) providers.Provider {
	t.Helper()
	return open(t, vault.Config{
		Address:  providertest.URL(t, bao.Addr),
		Auth:     login(t, bao, self, ttl, more...),
		Database: &vault.Database{Role: "reader"},
	}, providers.Env{Self: self})
}

// connect logs in to pg as who c is, and asks something.
func connect(t *testing.T, pg *testenv.PostgresServer, c providers.Opened) error {
	t.Helper()
	config, err := pgx.ParseConfig(pg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password = c.Username(), c.Password()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var user string
	if err := conn.QueryRow(t.Context(), "SELECT current_user").Scan(&user); err != nil {
		return err
	}
	if user != c.Username() {
		return fmt.Errorf("logged in as %q, want %q", user, c.Username())
	}
	return nil
}

// await polls until done.
func await(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

func TestDatabaseUserLogsInUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	bao, pg, self := testenv.OpenBao(t), testenv.Postgres(t), newIdentity(t, brokerID)
	bao.DatabaseRole(t, pg, "reader", 30*time.Second)
	r := providertest.One(t, userProvider(t, bao, self, time.Minute), bao.RootToken)
	start := time.Now()
	c, _ := r.Must(t, providers.Request{})
	opened := r.Reveal(t, c)
	if err := connect(t, pg, opened); err != nil {
		t.Fatalf("log in with the leased credential: %v", err)
	}
	if life := c.NotAfter().Sub(start); life < 29*time.Second || life > 31*time.Second {
		t.Errorf("life: got %v, want the 30s of the role", life)
	}
	if again, cached := r.Must(t, providers.Request{}); !cached || again.ID() != c.ID() {
		t.Error("second lease: got another credential, want the held one")
	}

	r.Drop(t.Context(), c.ID())
	await(t, "revocation", 10*time.Second, func() bool { return connect(t, pg, opened) != nil })
	// The server's answer to it, which the record waits for, comes after that.
	await(t, "the record of the revocation", 10*time.Second, func() bool { return r.Events(t) == "mint revoke" })
	successor, _ := r.Must(t, providers.Request{})
	last := r.Reveal(t, successor)
	if last.Username() == opened.Username() {
		t.Error("after the drop: got the same user, want another")
	}
	if err := connect(t, pg, last); err != nil {
		t.Errorf("log in with the successor: %v", err)
	}
	self.mu.Lock()
	r.Hide(self.given...)
	self.mu.Unlock()
	r.Stop(t)
	if err := connect(t, pg, last); err == nil {
		t.Error("after close: the user still logs in, want it revoked")
	}
	if got := r.Events(t); got != "mint revoke mint revoke" {
		t.Errorf("events: got %q, want mint revoke mint revoke", got)
	}
	for _, record := range r.Records(t) {
		if !strings.HasPrefix(record.Event, "log") && !strings.HasPrefix(record.Lease, "database/creds/reader/") {
			t.Errorf("record: got lease %q, want the handle to revoke an orphan by", record.Lease)
		}
	}
}

// For three lives of a user, whatever is leased logs in at that moment.
func TestDatabaseUserIsReplacedBeforeItEnds(t *testing.T) {
	t.Parallel()
	bao, pg, self := testenv.OpenBao(t), testenv.Postgres(t), newIdentity(t, brokerID)
	bao.DatabaseRole(t, pg, "reader", 12*time.Second) // short, but a renewal and a login fit into what is left of it
	r := providertest.One(t, userProvider(t, bao, self, time.Minute))
	users := map[string]bool{}
	logins, minted := 0, 0
	await(t, "three lives", 2*time.Minute, func() bool {
		c, cached := r.Must(t, providers.Request{})
		if !cached {
			minted++
		}
		opened := r.Reveal(t, c)
		if err := connect(t, pg, opened); err != nil {
			t.Fatalf("login %d: %v", logins, err)
		}
		users[opened.Username()] = true
		logins++
		return len(users) == 4
	})
	if minted != 1 {
		t.Errorf("got %d calls that waited for a mint, want the first alone: the others are replaced ahead", minted)
	}
	t.Logf("%d logins as %d users", logins, len(users))
	r.Stop(t)
}

func TestSecretIsReadAndOutagesAreNamed(t *testing.T) {
	t.Parallel()
	bao, self := testenv.OpenBao(t), newIdentity(t, brokerID)
	bao.PutKV(t, "app", map[string]any{"key": canary, "number": 7})
	config := vault.Config{Address: providertest.URL(t, bao.Addr), Auth: login(t, bao, self, time.Minute), KV2: &vault.KV{Path: "app", Field: "key"}}
	r := providertest.One(t, open(t, config, providers.Env{Self: self}), canary, bao.RootToken)
	c, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, c); got.Token() != canary {
		t.Error("got another token than the secret's")
	}
	if life := time.Until(c.NotAfter()); life < 4*time.Minute || life > 5*time.Minute {
		t.Errorf("life: got %v, want the five minutes of a static secret", life)
	}

	bao.Seal(t)
	r.Drop(t.Context(), "db")
	if hint := r.Refused(t, providers.Request{}, fault.Unavailable); hint != "vault is sealed" {
		t.Errorf("sealed: got %q", hint)
	}
	bao.Unseal(t)
	await(t, "recovery", 15*time.Second, func() bool {
		_, _, err := r.Lease(t.Context(), "db", providers.Request{})
		return err == nil
	})
	bao.Stop()
	r.Drop(t.Context(), "db")
	if hint := r.Refused(t, providers.Request{}, fault.Unavailable); hint != "vault refuses connections" {
		t.Errorf("gone: got %q", hint)
	}
	r.Stop(t)
	if got := r.Events(t); !strings.HasPrefix(got, "mint mint_failed ") || !strings.HasSuffix(got, " mint mint_failed") {
		t.Errorf("events: got %q, want each outage on record between the mints", got)
	}
}

func TestRefusalsOfTheRealServer(t *testing.T) {
	t.Parallel()
	bao, self, stranger := testenv.OpenBao(t), newIdentity(t, brokerID), newIdentity(t, brokerID)
	bao.PutKV(t, "app", map[string]any{"key": canary, "number": 7})
	auth := login(t, bao, self, time.Minute)
	const refused = "the credential provider refused the broker"
	noNamespace := "the credential provider has no such login"
	if !bao.Namespaces {
		noNamespace = "this vault has no namespaces, and the broker is told to use one"
	}
	tests := map[string]struct {
		self   *identity
		change func(*vault.Config)
		hint   string
	}{
		"another's key":    {stranger, func(*vault.Config) {}, refused},
		"another subject":  {&identity{subject: "spiffe://a.test/agent", key: self.key}, func(*vault.Config) {}, refused},
		"another audience": {self, func(c *vault.Config) { c.Auth.JWT = &vault.JWT{Role: "mintmark", Audience: "other"} }, refused},
		"unknown role":     {self, func(c *vault.Config) { c.Auth.JWT = &vault.JWT{Role: "other", Audience: "vault"} }, refused},
		"no right to read": {self, func(c *vault.Config) { c.KV2.Path = "other" }, refused},
		"wrong token":      {self, func(c *vault.Config) { c.Auth = vault.Auth{Token: providertest.Ref(t, canary)} }, refused},
		"field missing":    {self, func(c *vault.Config) { c.KV2.Field = "none" }, "the secret at its provider lacks a field that the broker is told to use"},
		"field not text":   {self, func(c *vault.Config) { c.KV2.Field = "number" }, "the secret at its provider lacks a field that the broker is told to use"},
		"no such secret": {self, func(c *vault.Config) {
			c.Auth = vault.Auth{Token: providertest.Ref(t, bao.RootToken)}
			c.KV2.Path = "none"
		}, "there is no such secret at its provider"},
		"no such namespace": {self, func(c *vault.Config) { c.Namespace = "none" }, noNamespace},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			config := vault.Config{Address: providertest.URL(t, bao.Addr), Auth: auth, KV2: &vault.KV{Path: "app", Field: "key"}}
			tt.change(&config)
			r := providertest.One(t, open(t, config, providers.Env{Self: tt.self}), canary, bao.RootToken)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
			tt.self.mu.Lock()
			defer tt.self.mu.Unlock()
			r.Hide(tt.self.given...)
		})
	}
}

// Vault drops what a token made when it drops the token.
func TestDroppedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	bao, pg, self := testenv.OpenBao(t), testenv.Postgres(t), newIdentity(t, brokerID)
	bao.DatabaseRole(t, pg, "reader", time.Minute)
	p := userProvider(t, bao, self, time.Minute)
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	if _, err := bao.Client(t).Logical().WriteWithContext(t.Context(), "sys/leases/revoke-prefix/auth/jwt/login", map[string]any{"sync": true}); err != nil {
		t.Fatal(err)
	}
	c, err := p.Mint(t.Context(), providers.Request{})
	if err != nil {
		t.Fatalf("mint after the token was dropped: %v", err)
	}
	if len(self.given) != 2 {
		t.Errorf("got %d logins, want 2", len(self.given))
	}
	for i := range 2 { // ended is ended: a second revocation is none
		if err := p.(providers.Revoker).Revoke(t.Context(), providers.Held{Lease: c.Lease()}); err != nil {
			t.Errorf("revocation %d: %v", i+1, err)
		}
	}
}
