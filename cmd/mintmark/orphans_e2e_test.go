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

const agents = 1000

// newMint returns a site where every agent has a database user of its own made
// by bao, under a login with the broker's own identity.
func newMint(t *testing.T, bao *testenv.OpenBaoServer, pg *testenv.PostgresServer) *site {
	t.Helper()
	s := newSite(t, "", nil)
	socket := filepath.Join(shortDir(t), "api.sock")
	workloads, err := s.domain.ServeWorkloadAPI(t.Context(), socket, s.domain.ID("mintmark"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = workloads.Close() })
	keys := httptest.NewServer(s.domain.Handler())
	t.Cleanup(keys.Close)
	bao.DatabaseRole(t, pg, "reader", time.Hour)
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
	return s
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
	_ = <-s.exited // it was killed
	s.exited = nil
}

// Killed four times in the middle of a thousand mints, and started again: no
// lease lives that no broker holds, those among them that the kill left on no
// record. It asks Vault, and the database.
func TestNoLeaseIsLeftUnrevokedByAKill(t *testing.T) {
	bao, pg := testenv.OpenBao(t), testenv.Postgres(t)
	first := newMint(t, bao, pg)
	tokens := tokensOf(t, first.domain, agents)
	unrecorded, s, served := 0, first, new(atomic.Int64)
	for ; served.Load() < agents; s = s.again() {
		s.serve()
		at := min(served.Load()+150+rand.Int64N(250), agents)
		callAll(t, s, tokens, served, at)
		s.kill()
		n := unknownTo(t, filepath.Join(s.dir, "audit"), leases(t, bao))
		t.Logf("killed after %d mints: %d leases live, %d of them on no record", served.Load(), len(leases(t, bao)), n)
		unrecorded += n
	}
	if len(leases(t, bao)) == 0 {
		t.Error("the kill left no lease: the test would prove nothing")
	}
	s.serve()
	await(t, "the end of every lease", 2*time.Minute, func() bool { return len(leases(t, bao)) == 0 })
	await(t, "the end of every user", time.Minute, func() bool { return users(t, pg) == 0 })
	if got := s.call(); !allowed(got) { // by the broker that cleaned up
		t.Errorf("after that: got %+v", got)
	}
	s.stop()
	if n := users(t, pg) + len(leases(t, bao)); n != 0 {
		t.Errorf("after a stop: %d leases and users live", n)
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
	if minted < agents {
		t.Errorf("got %d mints on record, want at least %d", minted, agents)
	}
}

func tokensOf(t *testing.T, domain *trustdomain.Domain, n int) (tokens []string) {
	t.Helper()
	for i := range n {
		token, err := domain.JWTSVID(domain.ID("agent", fmt.Sprint(i)), trustdomain.JWTRequest{Audience: []string{"mintmark"}})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	return tokens
}

// callAll has agents call, many at once, until that many were served, and
// returns while others still wait for theirs.
func callAll(t *testing.T, s *site, tokens []string, served *atomic.Int64, until int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	reached := make(chan struct{})
	var once sync.Once
	var next atomic.Int64
	next.Store(served.Load())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	for range 32 {
		go func() {
			for ctx.Err() == nil {
				if callAs(ctx, client, s.address, tokens[int(next.Add(1)-1)%len(tokens)]) && served.Add(1) >= until {
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

func callAs(ctx context.Context, client *http.Client, address, token string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/mcp/orders", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup"}}`))
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
func users(t *testing.T, pg *testenv.PostgresServer) (n int) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), pg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
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
