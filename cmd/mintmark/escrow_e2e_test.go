//go:build e2e

package main

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/testenv"
)

// tokens is how many the broker holds at least when it is killed.
const tokens = 40

// shown are the bearer tokens that an upstream got.
type shown struct {
	mu  sync.Mutex
	all map[string]bool
}

// ServeHTTP answers every call.
func (s *shown) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.all[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] = true
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
}

// take returns what came since the last take.
func (s *shown) take() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token := range s.all {
		all = append(all, token)
	}
	s.all = map[string]bool{}
	return all
}

// newTokens returns a site where every agent has an opaque token of its own, which its
// server revokes where it is shown it and nowhere else.
func newTokens(t *testing.T, as *testenv.OAuthServer) (s *site, seen *shown, kept string) {
	t.Helper()
	kept, err := os.MkdirTemp("/dev/shm", "mintmark-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(kept) })
	s, seen = newSite(t, "", map[string]string{"client-secret": as.ClientSecret}), &shown{all: map[string]bool{}}
	upstream := httptest.NewServer(seen)
	t.Cleanup(upstream.Close)
	s.write("mintmark.yaml", frame+`
escrow: `+kept+`
providers: {tokens: {kind: oauth, per_agent: true, issuer: "`+as.Issuer+`", client_id: `+as.ClientID+`, client_secret: "file:client-secret", scopes: [read]}}
upstreams: {orders: {url: "`+upstream.URL+`/mcp", credentials: [{provider: tokens, scheme: bearer}]}}
`)
	s.write("policies.cedar", `@id("all") permit (principal, action, resource);`)
	return s, seen, kept
}

// A token that its server revokes only where it is shown it outlives no kill, though no
// disk ever had it: the next start shows it. Where the memory was lost meanwhile, as at a
// restart of the machine, that is on record.
func TestNoTokenOutlivesAKill(t *testing.T) {
	as := testenv.OAuth(t, testenv.OAuthOptions{TTL: time.Hour})
	s, seen, kept := newTokens(t, as)
	held := holdAndKill(t, s, seen)
	for _, token := range held {
		if !as.Active(t, token) {
			t.Error("a token is not active though nobody revoked it: the test would prove nothing")
		}
	}
	if n := len(files(t, kept)); n < len(held) {
		t.Errorf("got %d files in escrow, want one for each of at least %d tokens", n, len(held))
	}
	noneIn(t, held, kept, s.dir)

	s = s.again()
	s.serve()
	await(t, "the end of every token", time.Minute, func() bool {
		held = stillActive(t, as, held)
		return len(held) == 0
	})
	await(t, "an empty escrow", time.Minute, func() bool { return len(files(t, kept)) == 0 })
	s.stop()

	s = s.again()
	held = holdAndKill(t, s, seen)
	for _, file := range files(t, kept) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	s = s.again()
	s.serve()
	var records []audit.Record
	await(t, "the records of what can't be revoked", time.Minute, func() bool {
		records = issued(t, s, "revoke_failed")
		return len(records) >= len(held)
	})
	for _, r := range records {
		if !r.Escrow || !strings.Contains(r.Reason, "not in escrow") || !strings.Contains(r.Reason, "it ends by itself at "+r.SystemEnd.Format(time.RFC3339)) {
			t.Errorf("got the record %+v, want why it is not revoked, and when it ends", r)
		}
	}
	if n := len(stillActive(t, as, held)); n != len(held) {
		t.Errorf("got %d tokens that are active, want all: nobody could show them", n)
	}
	s.stop()
	check(t, filepath.Join(s.dir, "audit"))
	noneIn(t, held, kept, s.dir)
}

// A token that the memory has no room for serves no call, and is revoked.
func TestAFullEscrowRefusesCallsUntilThereIsRoom(t *testing.T) {
	s, seen, kept := newTokens(t, testenv.OAuth(t, testenv.OAuthOptions{TTL: time.Hour}))
	inside := s.serveOn(kept)
	fillUp(t, filepath.Join(inside, "filler"))
	if got := s.call(); got.status != 200 || got.step != "lease" || got.kind != "unavailable" || !strings.Contains(got.reason, "cannot keep what it needs to revoke the new credential after a crash") {
		t.Errorf("with a full memory: got %+v", got)
	}
	if got := seen.take(); len(got) != 0 {
		t.Errorf("with a full memory: got %d tokens shown to the upstream", len(got))
	}
	await(t, "the revocation", time.Minute, func() bool { return len(issued(t, s, "revoke")) == 1 })
	if got := issued(t, s, "mint_failed"); len(got) != 1 || !strings.Contains(got[0].Reason, "no space left on device") {
		t.Errorf("got the records %+v, want one that says why", got)
	}
	if err := os.Remove(filepath.Join(inside, "filler")); err != nil {
		t.Fatal(err)
	}
	s.until("a call that is allowed", 20*time.Second, allowed)
	s.stop()
}

// holdAndKill has the broker mint a token for each agent, kills it, and returns them.
func holdAndKill(t *testing.T, s *site, seen *shown) []string {
	t.Helper()
	s.serve()
	callAll(t, s, new(atomic.Int64), new(atomic.Int64), tokens)
	s.kill()
	held := seen.take()
	if len(held) < tokens {
		t.Fatalf("got %d tokens shown to the upstream, want at least %d", len(held), tokens)
	}
	return held
}

// stillActive returns those tokens that the server takes.
func stillActive(t *testing.T, as *testenv.OAuthServer, all []string) (active []string) {
	t.Helper()
	for _, token := range all {
		if as.Active(t, token) {
			active = append(active, token)
		}
	}
	return active
}

// issued returns the issuance records of one event.
func issued(t *testing.T, s *site, event string) (all []audit.Record) {
	t.Helper()
	for r, err := range audit.Query(filepath.Join(s.dir, "audit"), audit.Filter{Kind: audit.Issuance}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Event == event {
			all = append(all, r)
		}
	}
	return all
}

// files returns every regular file below dir.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// noneIn demands that no file below the directories holds one of the tokens.
func noneIn(t *testing.T, secrets []string, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		for _, file := range files(t, dir) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range secrets {
				if bytes.Contains(content, []byte(secret)) {
					t.Errorf("a token is in %s", file)
				}
			}
		}
	}
}
