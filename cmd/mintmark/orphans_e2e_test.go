//go:build e2e

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mintmark/broker/audit"
	"mintmark/internal/testenv"
	"mintmark/internal/trustdomain"
)

// mints is how many agents are served, each for the first time.
const mints = 1000

// seen are the database users that an upstream was shown.
type seen struct {
	mu    sync.Mutex
	users map[string]bool
}

// ServeHTTP answers every call.
func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, _, _ := r.BasicAuth()
	s.mu.Lock()
	s.users[user] = true
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
}

// newMint returns a site where every agent has a database user of its own made
// by bao, under a login with the broker's own identity, and what its upstream saw.
func newMint(t *testing.T, bao *testenv.OpenBaoServer, pg *testenv.PostgresServer) (*site, *seen) {
	t.Helper()
	s, shown := newSite(t, "", nil), &seen{users: map[string]bool{}}
	upstream := httptest.NewServer(shown)
	t.Cleanup(upstream.Close)
	s.upstream = upstream.URL
	socket := filepath.Join(shortDir(t), "api.sock")
	workloads, err := s.domain.ServeWorkloadAPI(t.Context(), socket, s.domain.ID("mintmark"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = workloads.Close() })
	keys := httptest.NewServer(s.domain.Handler())
	t.Cleanup(keys.Close)
	bao.DatabaseRole(t, pg, "reader", time.Hour)
	if _, err := bao.Client(t).Logical().WriteWithContext(t.Context(), "database/roles/reader", map[string]any{
		"db_name": "reader", "default_ttl": "1h", "max_ttl": "1h",
		"creation_statements":   []string{`CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`},
		"revocation_statements": []string{`DROP ROLE IF EXISTS "{{name}}"`}, // what Vault would do else takes long for a thousand
	}); err != nil {
		t.Fatal(err)
	}
	bao.PutPolicy(t, "broker", `
		path "database/creds/reader" { capabilities = ["read"] }
		path "sys/leases/revoke" { capabilities = ["update"] }
		path "auth/token/revoke-accessor" { capabilities = ["update"] }`)
	bao.EnableJWTAuth(t, testenv.JWTAuth{Subject: s.domain.ID("mintmark").String(), Audience: "vault", JWKSURL: keys.URL + "/keys", Policies: []string{"broker"}, TTL: 2 * time.Hour})
	s.write("mintmark.yaml", strings.Replace(frame, "trust: {bundles: [{trust_domain: example.org, file: bundle.json}]}", `trust: {workload_api: "`+workloads.Addr()+`"}`, 1)+`
providers: {orders: {kind: vault, per_agent: true, address: "`+bao.Addr+`", auth: {jwt: {role: mintmark, audience: vault}}, database: {role: reader}}}
upstreams: {orders: {url: "`+s.upstream+`/mcp", credentials: [{provider: orders, scheme: basic}]}}
`)
	s.write("policies.cedar", `@id("all") permit (principal, action, resource);`)
	return s, shown
}

// again is the same site for another process.
func (s *site) again() *site {
	return &site{t: s.t, dir: s.dir, domain: s.domain, token: s.token, upstream: s.upstream}
}

// kill ends the program as no operator does.
func (s *site) kill() {
	s.t.Helper()
	if err := s.process.Process.Signal(syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited //nolint:errcheck // it was killed
	s.exited = nil
}

// Killed at some moments of a thousand mints, and started again: no lease lives
// that no broker holds, those among them that the kill left on no record. It asks
// Vault; and the database, of every user that an upstream was shown. (A user that
// Vault was about to make a lease of when its client was gone, Vault may lose: it
// has a VALID UNTIL.)
func TestNoLeaseIsLeftUnrevokedByAKill(t *testing.T) {
	bao, pg := testenv.OpenBao(t), testenv.Postgres(t)
	first, shown := newMint(t, bao, pg)
	unrecorded, s, served := 0, first, new(atomic.Int64)
	for begun := new(atomic.Int64); served.Load() < mints; s = s.again() {
		s.serve()
		callAll(t, s, begun, served, min(served.Load()+200+rand.Int64N(250), mints))
		s.kill()
		n := unknownTo(t, filepath.Join(s.dir, "audit"), leases(t, bao))
		t.Logf("killed after %d mints: %d leases live, %d of them on no record", served.Load(), len(leases(t, bao)), n)
		unrecorded += n
	}
	if len(leases(t, bao)) == 0 {
		t.Error("the kill left no lease: the test would prove nothing")
	}
	s.serve()
	await(t, "the end of every lease", 3*time.Minute, func() bool { return len(leases(t, bao)) == 0 })
	for _, user := range users(t, pg) {
		if shown.users[user] {
			t.Errorf("the database user %s lives, without a lease", user)
		}
	}
	t.Logf("%d users were shown, %d that were not live on without a lease", len(shown.users), len(users(t, pg)))
	if got := s.call(); !allowed(got) { // by the broker that cleaned up
		t.Errorf("after that: got %+v", got)
	}
	s.stop()
	if n := len(leases(t, bao)); n != 0 {
		t.Errorf("after a stop: %d leases live", n)
	}
	minted := 0
	for _, r := range check(t, filepath.Join(s.dir, "audit")) {
		if r.Event == "mint" {
			minted++
		}
		if r.Event == "revoke_failed" || r.Event == "logout_failed" {
			t.Errorf("got the record %+v of a revocation that failed", r)
		}
	}
	t.Logf("%d mints on record, %d leases that were on none", minted, unrecorded)
	if minted < mints {
		t.Errorf("got %d mints on record, want at least %d", minted, mints)
	}
}

// callAll has agents call, many at once and each once, until that many were
// served, and returns while others still wait for their credential.
func callAll(t *testing.T, s *site, begun, served *atomic.Int64, until int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	reached := make(chan struct{})
	var once sync.Once
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	for range 32 {
		go func() {
			for ctx.Err() == nil {
				if s.callAs(ctx, client, fmt.Sprint(begun.Add(1))) && served.Add(1) >= until {
					once.Do(func() { close(reached) })
				}
			}
		}()
	}
	select {
	case <-reached:
	case <-ctx.Done():
		t.Errorf("got %d agents served, want %d in time", served.Load(), until)
	}
	time.AfterFunc(time.Second, cancel) // when the broker is gone
}

// callAs makes a tool call as one agent, and reports whether it was answered.
func (s *site) callAs(ctx context.Context, client *http.Client, agent string) bool {
	token, err := s.domain.JWTSVID(s.domain.ID("agent", agent), trustdomain.JWTRequest{Audience: []string{"mintmark"}})
	if err != nil {
		return false
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+"/mcp/orders", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup"}}`))
	if err != nil {
		return false
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return err == nil && strings.Contains(string(content), `"result"`)
}

// leases asks Vault which users it would still have to drop.
func leases(t *testing.T, bao *testenv.OpenBaoServer) (all []string) {
	t.Helper()
	answer, err := bao.Client(t).Logical().ListWithContext(t.Context(), "sys/leases/lookup/database/creds/reader")
	if err != nil {
		t.Fatalf("list leases: %v", err)
	}
	if answer == nil {
		return nil
	}
	names, _ := answer.Data["keys"].([]any)
	for _, name := range names {
		all = append(all, "database/creds/reader/"+fmt.Sprint(name))
	}
	return all
}

// users asks the database for the users that Vault made.
func users(t *testing.T, pg *testenv.PostgresServer) []string {
	t.Helper()
	db, err := pgx.Connect(t.Context(), pg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	rows, err := db.Query(t.Context(), `SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'v-%'`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// unknownTo counts the leases that no record names.
func unknownTo(t *testing.T, dir string, leases []string) (n int) {
	t.Helper()
	known := map[string]bool{}
	for r, err := range audit.Query(dir, audit.Filter{Kind: audit.Issuance}) {
		if err != nil {
			t.Fatal(err)
		}
		known[r.Lease] = true
	}
	for _, lease := range leases {
		if !known[lease] {
			n++
		}
	}
	return n
}

// shortDir returns a directory whose path is short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mm-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
