package broker_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
)

const ownToken = "own-canary-"

// mint is a provider that counts what it makes, and knows what was revoked.
type mint struct {
	made atomic.Int64

	mu      sync.Mutex
	revoked []string
}

// Mint implements providers.Provider.
func (m *mint) Mint(context.Context, providers.Request) (providers.Credential, error) {
	n := fmt.Sprintf("%08d", m.made.Add(1))
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(ownToken + n)},
		providers.Terms{NotAfter: time.Now().Add(time.Hour), Lease: n}), nil
}

// Revoke implements providers.Revoker.
func (m *mint) Revoke(_ context.Context, h providers.Held) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked = append(m.revoked, ownToken+h.Lease)
	return nil
}

func (m *mint) ended() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.revoked)
}

func (m *mint) isGood(token string) bool { return !slices.Contains(m.ended(), token) }

// owning returns a world with upstreams for which each agent has a credential of its
// own of one provider: mine, also and stateless; and ours, for which all have one.
func owning(t *testing.T) (*world, *mint) {
	t.Helper()
	m := &mint{}
	w := open(t, func(s *setup) { s.Minted = map[string]providers.Provider{"own": m} })
	for old, added := range map[string]string{
		"\nproviders:\n": "\nproviders:\n  own: {kind: own, per_agent: true}\n  shared: {kind: own}\n",
		"\nupstreams:\n": fmt.Sprintf("\nupstreams:\n  mine: {url: %[1]q, protocol: sessions, credentials: [{provider: own, scheme: bearer}]}\n"+
			"  also: {url: %[1]q, protocol: sessions, credentials: [{provider: own, scheme: bearer}]}\n"+
			"  stateless: {url: %[1]q, protocol: stateless, credentials: [{provider: own, scheme: bearer}]}\n"+
			"  ours: {url: %[1]q, protocol: sessions, credentials: [{provider: shared, scheme: bearer}]}\n", "http://"+w.upstream.address+"/mcp"),
	} {
		w.rewriteOnly("mintmark.yaml", old, added)
	}
	if err := w.change("policies.cedar", "@id(\"shop-connects\")", `@id("clerk-connects")
permit (principal == Agent::"spiffe://example.org/agent/clerk", action in [Action::"connect", Action::"list"], resource);

@id("shop-connects")`); err != nil {
		t.Fatal(err)
	}
	return w, m
}

// visit begins a session of its own with an upstream.
func (w *world) visit(upstream string, change ...func(*request)) func(*request) {
	w.t.Helper()
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Session-Id") == "" {
			rw.Header().Set("Mcp-Session-Id", "session-"+fmt.Sprint(w.upstream.taken()))
		}
		answerOK(rw, r)
	})
	handle := w.wantOK(w.call(append(change, to("/mcp/"+upstream), body(initialize))...), "result").header.Get("Mcp-Session-Id")
	if handle == "" {
		w.t.Fatal("got no session")
	}
	return with("Mcp-Session-Id", handle)
}

func (w *world) leave(upstream string, change ...func(*request)) answer {
	return w.do(w.call(append([]func(*request){get("/mcp/" + upstream), method("DELETE")}, change...)...))
}

// The timer of what rests is 30 s, which no test waits for.
func TestTheEndOfTheLastSessionRevokesAtOnce(t *testing.T) {
	t.Parallel()
	w, m := owning(t)
	first := w.visit("mine")
	w.wantOK(w.call(to("/mcp/mine"), first), "result")
	w.leave("mine", first)
	w.await("the revocation", func() bool { return len(m.ended()) == 1 })
	made := w.records(audit.Filter{Kind: audit.Issuance, Credential: w.lastAllowed().Credential}, 2)
	if made[0].Event != "mint" || made[1].Event != "revoke" {
		t.Errorf("got the records %q and %q, want its mint and its revocation", made[0].Event, made[1].Event)
	}

	// Two sessions, with two upstreams of one provider: the credential ends with the last.
	first, second := w.visit("mine"), w.visit("also")
	w.leave("mine", first)
	w.wantOK(w.call(to("/mcp/also"), second), "result")
	if n := m.made.Load(); n != 2 || len(m.ended()) != 1 {
		t.Errorf("with a session open: got %d credentials and %v revoked, want the second one kept", n, m.ended())
	}
	w.leave("also", second)
	w.await("the revocation", func() bool { return len(m.ended()) == 2 })
}

// A call under way has its credential to its end.
func TestACallUnderWayKeepsTheCredentialOfAnEndedSession(t *testing.T) {
	t.Parallel()
	w, m := owning(t)
	session := w.visit("mine")
	arrived, goOn := make(chan string, 1), make(chan struct{})
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			arrived <- r.Header.Get("Authorization")
			<-goOn
		}
		answerOK(rw, r)
	})
	answers := make(chan answer, 1)
	go func() { answers <- w.do(w.call(to("/mcp/mine"), session)) }()
	token := strings.TrimPrefix(recv(t, "the call", arrived), "Bearer ")
	if got := w.leave("mine", session); got.status != 200 {
		t.Errorf("end of the session: got %d", got.status)
	}
	w.upstream.does(answerOK)
	w.wantOK(w.call(to("/mcp/mine")), "result") // has come and gone meanwhile
	if !m.isGood(token) || m.made.Load() != 1 {
		t.Errorf("with a call under way: got %v revoked of %d, want its credential good", m.ended(), m.made.Load())
	}
	close(goOn)
	if got := recv(t, "the answer", answers); got.status != 200 || got.err != nil {
		t.Errorf("the call: got %d, %v", got.status, got.err)
	}
	w.await("the revocation", func() bool { return !m.isGood(token) })
}

// A session that begins before the last call has ended keeps the credential.
func TestANewSessionKeepsTheCredential(t *testing.T) {
	t.Parallel()
	w, m := owning(t)
	session := w.visit("mine")
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			arrived <- struct{}{}
			<-goOn
		}
		answerOK(rw, r)
	})
	answers := make(chan answer, 1)
	go func() { answers <- w.do(w.call(to("/mcp/mine"), session)) }()
	recv(t, "the call", arrived)
	w.leave("mine", session)
	next := w.visit("mine")
	close(goOn)
	recv(t, "the answer", answers)
	w.await("the end of all calls", func() bool { return w.broker.Waiting() == 0 })
	w.wantOK(w.call(to("/mcp/mine"), next), "result")
	if m.made.Load() != 1 || len(m.ended()) != 0 {
		t.Errorf("got %d credentials and %v revoked, want the one kept", m.made.Load(), m.ended())
	}
}

// A session ends also where its upstream says that it knows none, and where it is one
// with the broker alone.
func TestOtherEndsOfASessionRevokeToo(t *testing.T) {
	t.Parallel()
	w, m := owning(t)
	session := w.visit("mine")
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) })
	if got := w.do(w.call(to("/mcp/mine"), session)); got.status != 404 {
		t.Errorf("session that expired: got %d", got.status)
	}
	w.await("the revocation of what the expired session had", func() bool { return len(m.ended()) == 1 })

	session = w.visit("mine")
	merged := with("Mcp-Session-Id", w.wantOK(w.call(to("/mcp"), body(initialize)), "result").header.Get("Mcp-Session-Id"))
	w.leave("mine", session)
	w.do(w.call(get("/mcp"), method("DELETE"), merged))
	w.await("the revocation with the session of all upstreams", func() bool { return len(m.ended()) == 2 })

	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		answerJSON(rw, map[string]any{"jsonrpc": "2.0", "id": 1, "result": map[string]any{
			"resultType": "complete", "supportedVersions": []string{"2026-07-28"}, "capabilities": map[string]any{}, "ttlMs": 0, "cacheScope": "private",
			"_meta": map[string]any{"io.modelcontextprotocol/serverInfo": map[string]any{"name": "x", "version": "1"}}}})
	})
	bridged := with("Mcp-Session-Id", w.wantOK(w.call(to("/mcp/stateless"), body(initialize)), "result").header.Get("Mcp-Session-Id"))
	if n := m.made.Load(); n != 3 || len(m.ended()) != 2 {
		t.Fatalf("a session with the broker: got %d credentials, %v revoked", n, m.ended())
	}
	w.leave("stateless", bridged)
	w.await("the revocation with the session with the broker", func() bool { return len(m.ended()) == 3 })
}

// A session with the broker alone is open as long as it is used, like any other.
func TestTheUseOfASessionWithTheBrokerIsSeen(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/mcp", "/mcp/stateless"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			w, m := owning(t)
			discover := func(rw http.ResponseWriter, _ *http.Request) {
				answerJSON(rw, map[string]any{"jsonrpc": "2.0", "id": 1, "result": map[string]any{
					"resultType": "complete", "supportedVersions": []string{"2026-07-28"}, "capabilities": map[string]any{}, "ttlMs": 0, "cacheScope": "private",
					"_meta": map[string]any{"io.modelcontextprotocol/serverInfo": map[string]any{"name": "x", "version": "1"}}}})
			}
			w.upstream.does(discover)
			bridged := with("Mcp-Session-Id", w.wantOK(w.call(to(path), body(initialize)), "result").header.Get("Mcp-Session-Id"))
			w.do(w.call(get(path), method("DELETE"), bridged)) // its handle stays good
			w.wantOK(w.call(to(path), body(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), bridged), "result")
			ended := len(m.ended())
			w.leave("mine", w.visit("mine"))
			made := m.made.Load()
			w.wantOK(w.call(to("/mcp/mine")), "result")
			if len(m.ended()) > ended+1 || m.made.Load() != made {
				t.Errorf("with a session open that is used: got %v revoked of %d, want the last one kept", m.ended(), m.made.Load())
			}
		})
	}
}

// What is another agent's, or all agents', stays.
func TestTheEndOfASessionEndsNothingOfOthers(t *testing.T) {
	t.Parallel()
	w, m := owning(t)
	clerk := with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{}))
	mine := w.visit("mine")
	anothers := w.visit("mine", clerk)
	ours := w.visit("ours")
	if n := m.made.Load(); n != 3 {
		t.Fatalf("got %d credentials, want one for each agent and one for all", n)
	}
	w.leave("ours", ours)
	w.leave("mine", mine)
	w.await("the revocation", func() bool { return len(m.ended()) == 1 })
	if token := w.upstream.last(t).header.Get("Authorization"); strings.TrimPrefix(token, "Bearer ") != m.ended()[0] {
		t.Errorf("got %v revoked, want what went with the last DELETE", m.ended())
	}
	w.wantOK(w.call(to("/mcp/ours")), "result")
	w.wantOK(w.call(to("/mcp/mine"), body(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), clerk, anothers), "result")
	if n := m.made.Load(); n != 3 {
		t.Errorf("got %d credentials, want no more", n)
	}
}

// An agent that begins one session after the other has none of another's forgotten,
// but its own: the one that it did not use for longest.
func TestAnAgentForgetsItsOwnSessions(t *testing.T) {
	t.Parallel()
	const shop = "spiffe://example.org/agent/shop"
	greedy, modest := identityOf("one.example", shop), identityOf("two.example", shop)
	open := broker.NewSessionsInUse()
	open.Begins(modest, "left")
	open.Begins(modest, "first")
	open.Begins(greedy, "first")
	for i := range 1 << 16 {
		open.Begins(greedy, fmt.Sprint("session-", i))
		if !open.Open(greedy, "first") {
			t.Fatalf("got the one forgotten that is used all the while, after %d others", i)
		}
		open.Begins(greedy, "first")
	}
	if all, own := open.Len(greedy); all != 1026 || own != 1024 || !open.Open(greedy, "first") || open.Open(greedy, "session-0") || !open.Open(greedy, "session-65535") {
		t.Errorf("of one agent: got %d sessions of %d, want those 1024 that were used last", own, all)
	}
	if !open.Open(modest, "left") || !open.Open(modest, "first") {
		t.Error("got another agent's session forgotten")
	}

	// Many agents still have the one forgotten that was not used for longest of all.
	open.Begins(modest, "first")
	for i := range 63 {
		another := identityOf(fmt.Sprint("issuer-", i), shop)
		for n := range 1024 {
			open.Begins(another, fmt.Sprint("session-", n))
		}
	}
	if all, _ := open.Len(greedy); all != 1<<16 || open.Open(modest, "left") || !open.Open(modest, "first") {
		t.Errorf("of 65 agents: got %d sessions, want 65536 without the one that was left", all)
	}
}

// However calls and the ends of sessions meet, none reaches its upstream with a
// credential that was revoked before, nor has it revoked before its answer.
func TestNoCallHasARevokedCredential(t *testing.T) {
	t.Parallel()
	w, m := owning(t)
	var bad, all atomic.Int64
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		session, before := r.Header.Get("Mcp-Session-Id"), m.isGood(token)
		if session == "" {
			rw.Header().Set("Mcp-Session-Id", "session-"+fmt.Sprint(w.upstream.taken()))
		}
		if r.Method == http.MethodPost && session != "" && (!before || !m.isGood(token)) {
			bad.Add(1)
		}
		all.Add(1)
		answerOK(rw, r)
	})
	var agents sync.WaitGroup
	for range 4 {
		agents.Go(func() {
			for range 20 {
				begun := w.do(w.call(to("/mcp/mine"), body(initialize)))
				session := with("Mcp-Session-Id", begun.header.Get("Mcp-Session-Id"))
				done := make(chan struct{})
				go func() {
					defer close(done)
					if got := w.do(w.call(to("/mcp/mine"), session)); got.status != 200 || !strings.Contains(got.body, "result") {
						t.Errorf("a call beside the end of its session: got %d %s", got.status, got.body)
					}
				}()
				w.leave("mine", session)
				<-done
			}
		})
	}
	agents.Wait()
	if bad.Load() != 0 || all.Load() < 240 {
		t.Errorf("%d of %d calls had a credential that was revoked", bad.Load(), all.Load())
	}
	w.await("the revocation of all", func() bool { return int64(len(m.ended())) >= m.made.Load()-1 })
}
