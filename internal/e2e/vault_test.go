//go:build e2e

package e2e_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/internal/testenv"
)

// trustBroker makes OpenBao take the broker's JWT-SVID, for what rules permit.
// It returns the server's address, on a way where secrets are learnt.
func (w *world) trustBroker(t *testing.T, bao *testenv.OpenBaoServer, rules string, s *secrets) string {
	t.Helper()
	bao.PutPolicy(t, "broker", rules)
	bao.EnableJWTAuth(t, testenv.JWTAuth{
		Subject: brokerID, Audience: "vault", PublicKeys: w.spire.JWTKeys(t), Policies: []string{"broker"}, TTL: 10 * time.Minute,
	})
	return newTap(t, bao.Addr, s)
}

type order struct {
	Customer string `json:"customer"`
}

// ordersServer is an MCP server that opens the database with the user that each
// call brings, and has none of its own.
func ordersServer(pg *testenv.PostgresServer, s *secrets) *mcp.Server {
	server := newServer()
	addTool(server, "total", func(ctx context.Context, r *mcp.CallToolRequest, in order) (string, error) {
		user, password, ok := (&http.Request{Header: r.Extra.Header}).BasicAuth()
		if !ok {
			return "", errors.New("no Basic credential")
		}
		s.add("password at the upstream", password)
		db, err := pgx.Connect(ctx, dsn(pg, user, password))
		if err != nil {
			return "", errors.New("log in: refused") // the cause could name the user only, but an upstream is careful
		}
		defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
		var total int
		if err := db.QueryRow(ctx, "select current_user, sum(amount) from orders where customer = $1", in.Customer).Scan(&user, &total); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %d", user, total), nil
	})
	return server
}

func dsn(pg *testenv.PostgresServer, user, password string) string {
	return fmt.Sprintf("postgres://%s:%s@%s:%d/%s?sslmode=disable", user, password, pg.Host, pg.Port, pg.Database)
}

func logIn(pg *testenv.PostgresServer, user, password string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db, err := pgx.Connect(ctx, dsn(pg, user, password))
	if err != nil {
		return err
	}
	return db.Close(ctx)
}

func seed(t *testing.T, pg *testenv.PostgresServer) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), pg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(t.Context()) }()
	if _, err := db.Exec(t.Context(), `create table orders (customer text, amount int);
		insert into orders values ('ada', 3), ('ada', 4), ('bob', 5)`); err != nil {
		t.Fatal(err)
	}
}

// The broker logs in to OpenBao with its own SVID, leases a user of a real
// PostgreSQL, gives it to the upstream and not to the agent, uses it for every
// call, and has it dropped when it stops.
func testDatabase(t *testing.T, w *world) {
	bao, pg, s := testenv.OpenBao(t), testenv.Postgres(t), &secrets{}
	seed(t, pg)
	bao.DatabaseRole(t, pg, "reader", 5*time.Minute)
	address := w.trustBroker(t, bao, `
		path "database/creds/reader" { capabilities = ["read"] }
		path "sys/leases/revoke" { capabilities = ["update"] }`, s)
	orders := newUpstream(t, stateless(ordersServer(pg, s)))
	m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(`
providers:
  orders-db:
    kind: vault
    address: %s
    auth: {jwt: {role: mintmark, audience: vault}}
    database: {role: reader}
upstreams:
  orders:
    url: %s
    credentials: [{provider: orders-db, scheme: basic}]
`, address, orders.url)})

	byCertificate := m.agent(t, evidence{id: shopID}).connect(t, "orders", nil)
	byToken := m.agent(t, evidence{id: shopID, bearer: true}).connect(t, "orders", nil)
	first, second := call(t, byCertificate, "total", map[string]any{"customer": "ada"}), call(t, byToken, "total", map[string]any{"customer": "ada"})
	user, total, _ := strings.Cut(first, " ")
	if !strings.HasPrefix(user, "v-") || total != "7" {
		t.Errorf("answer: got %q, want a leased user and the sum", first)
	}
	if second != first {
		t.Errorf("second answer: got %q, want the same user %q", second, first)
	}
	m.wantMasked(t, byCertificate, "Authorization")
	orders.wantOnly(t, "Authorization")
	m.wantLeaseReused(t)

	_, password, _ := orders.requests()[0].BasicAuth()
	if err := logIn(pg, user, password); err != nil {
		t.Errorf("while the broker runs: the user does not log in: %v", err)
	}
	m.stop(t)
	if err := logIn(pg, user, password); err == nil {
		t.Error("after the broker stopped: the user still logs in, want it revoked")
	}
	if events := m.issuances(t); !slices.Equal(events, []string{"login", "mint", "revoke", "logout"}) {
		t.Errorf("issuances: got %v, want a login, mint and revoke, and the end of the login", events)
	}
	for _, kind := range []string{"jwt", "client_token", "password", "password at the upstream"} {
		if !s.has(kind) {
			t.Errorf("secrets: got no %s to look for, only %v", kind, slices.Sorted(maps.Values(s.snapshot())))
		}
	}
}

// wantLeaseReused checks the record of two calls of the tool total.
func (m *mintmark) wantLeaseReused(t *testing.T) {
	t.Helper()
	list := m.records(t, "--kind", "decision", "--tool", "total", "--outcome", "allow")
	if len(list) != 2 {
		t.Fatalf("decisions: got %d, want one for each call", len(list))
	}
	a, b := list[0], list[1]
	if !a.Cached || !b.Cached || a.Fingerprint == "" || a.Fingerprint != b.Fingerprint {
		t.Errorf("credential: got %+v and %+v, want the held one twice", a, b)
	}
	if a.Attestor != "x509-svid" || b.Attestor != "jwt-svid" || a.Agent != shopID || b.Agent != shopID {
		t.Errorf("agent: got %s by %s and %s by %s, want one agent by both kinds of evidence", a.Agent, a.Attestor, b.Agent, b.Attestor)
	}
	minted := m.records(t, "--kind", "decision", "--upstream", "orders", "--outcome", "allow")[0]
	if minted.Cached || minted.Fingerprint != a.Fingerprint || minted.Scheme != "basic" || minted.Provider != "orders-db" {
		t.Errorf("first call: got %+v, want the mint of that credential", minted)
	}
}

// issuances returns the events of credentials, oldest first.
func (m *mintmark) issuances(t *testing.T) (events []string) {
	t.Helper()
	for _, r := range m.records(t, "--kind", "issuance") {
		events = append(events, r.Event)
	}
	return events
}

// A secret that people keep in OpenBao is put into the header that the upstream
// wants; what the agent sent in that header is gone.
func testKeptSecret(t *testing.T, w *world) {
	bao, s, kept := testenv.OpenBao(t), &secrets{}, rand.Text()
	s.add("kept secret", kept)
	bao.PutKV(t, "app", map[string]any{"key": kept})
	address := w.trustBroker(t, bao, `path "secret/data/app" { capabilities = ["read"] }`, s)
	billing := newUpstream(t, stateless(newServer()))
	m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(`
providers:
  billing-key:
    kind: vault
    address: %s
    auth: {jwt: {role: mintmark, audience: vault}}
    kv2: {path: app, field: key}
upstreams:
  billing:
    url: %s
    credentials: [{provider: billing-key, scheme: header, header: X-Api-Key, template: "Key {token}"}]
`, address, billing.url)})

	tries := madeUp()
	session := m.agent(t, evidence{id: shopID, bearer: true, madeUp: tries}).connect(t, "billing", nil)
	m.wantMasked(t, session, "X-Api-Key")
	billing.wantOnly(t, "X-Api-Key", tries, http.Header{"Authorization": {"Bearer"}})
	for _, r := range billing.requests() {
		if got := r.Header.Get("X-Api-Key"); got != "Key "+kept {
			t.Error("upstream: got another value of X-Api-Key, want the kept secret in the template")
		}
	}
	decision := m.last(t, "--kind", "decision", "--tool", "headers")
	if want := []string{"Authorization", "Cookie", "X-Amz-Security-Token", "X-Api-Key"}; !slices.Equal(decision.Stripped, want) {
		t.Errorf("record: got stripped %v, want %v", decision.Stripped, want)
	}
	m.stop(t)
	if !s.has("client_token") || !s.has("jwt") {
		t.Error("secrets: got no login to look for")
	}
}
