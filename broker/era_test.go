package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker"
	"mintmark/internal/trustdomain"
)

// What is learned of an upstream's era serves all agents, so that no one of them
// may decide it: neither one that may not ask, nor one that does not wait.

// asker stands before a server and answers the broker's question of its era by
// itself as long as ask is set.
type asker struct {
	inner http.Handler
	ask   atomic.Pointer[http.HandlerFunc]
	asked atomic.Int64

	mu   sync.Mutex
	seen []string // what else it was asked
}

// ServeHTTP implements http.Handler.
func (a *asker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Header.Get("Mcp-Method")
	if method == "server/discover" {
		a.asked.Add(1)
		if ask := a.ask.Load(); ask != nil {
			(*ask)(w, r)
			return
		}
	} else {
		a.mu.Lock()
		a.seen = append(a.seen, method)
		a.mu.Unlock()
	}
	a.inner.ServeHTTP(w, r)
}

func (a *asker) answers(h http.HandlerFunc) { a.ask.Store(&h) }

// asItIs returns how many requests came in the form of the stateless revision.
func (a *asker) asItIs() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, method := range a.seen {
		if method != "" {
			n++
		}
	}
	return n
}

const clerkMayNotAsk = `
@id("clerk-may-not-ask")
forbid (principal == Agent::"spiffe://example.org/agent/clerk", action == Action::"server/discover", resource);
`

// learning returns a world whose upstream keeps sessions, behind an asker, and how
// its clock is put forward.
func learning(t *testing.T) (*world, *asker, *atomic.Int64) {
	t.Helper()
	a, later := &asker{inner: newOlder()}, &atomic.Int64{}
	address := serve(t, a, nil)
	w := open(t, func(s *setup) {
		s.Upstream, s.Policy = address, bridgePolicy+clerkMayNotAsk
		s.Clock = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	w.agent = w.token(w.domain, "shop", trustdomain.JWTRequest{Lifetime: time.Hour})
	w.scan.state(w.id("clerk"), "pass", time.Now())
	return w, a, later
}

func (w *world) asClerk() func(*request) {
	w.t.Helper()
	return with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{Lifetime: time.Hour}))
}

func (w *world) lookedUp(change ...func(*request)) request {
	return w.stateless2026("tools/call", 1, `"name":"lookup_order","arguments":{"order":"7"}`, "", change...)
}

func TestAnAgentThatMayNotAskTeachesNothing(t *testing.T) {
	w, a, later := learning(t)
	w.do(w.lookedUp(w.asClerk())) // passes as it is, and the server makes of it what it will
	if a.asked.Load() != 0 || a.asItIs() != 1 {
		t.Fatalf("the clerk's call: got %d questions and %d calls as they are, want none and 1", a.asked.Load(), a.asItIs())
	}
	w.wantOK(w.lookedUp(), `order 7`) // bridged, at the same moment
	if a.asked.Load() != 1 || a.asItIs() != 1 {
		t.Errorf("the shop's call: got %d questions and %d calls as they are, want 1 and the clerk's alone", a.asked.Load(), a.asItIs())
	}
	w.wantOK(w.lookedUp(w.asClerk()), `order 7`) // by what the shop's call taught

	later.Store(int64(6 * time.Minute)) // so that it is to be asked again
	w.do(w.lookedUp(w.asClerk()))
	asItIs := a.asItIs()
	w.wantOK(w.lookedUp(), `order 7`)
	if got := a.asItIs(); got != asItIs {
		t.Errorf("the shop's call after the clerk's: got %d calls as they are, want them bridged", got-asItIs)
	}
}

func TestAnAgentThatDoesNotWaitTeachesNothing(t *testing.T) {
	w, a, _ := learning(t)
	begun, left := make(chan struct{}), make(chan struct{})
	a.answers(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // before that a server does not see its client leave
		close(begun)
		<-r.Context().Done()
		close(left)
	})
	conn := w.write(w.lookedUp())
	recv(t, "the question", begun)
	_ = conn.Close()
	recv(t, "the end of the question", left)
	w.await("the end of the call", func() bool { return w.broker.Waiting() == 0 })
	a.ask.Store(nil)
	w.wantOK(w.lookedUp(), `order 7`)
	if a.asked.Load() != 2 || a.asItIs() != 0 {
		t.Errorf("got %d questions and %d calls as they are, want the second call to ask anew and to be bridged", a.asked.Load(), a.asItIs())
	}
}

// What was known stands while the upstream gives no word, whoever asks.
func TestAnUpstreamThatDoesNotSayIsWhatItWas(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"down":                says(http.StatusServiceUnavailable, "text/plain", "later"),
		"a refusal of anyone": says(http.StatusTooManyRequests, "text/plain", "slowly"),
		"of the caller":       says(http.StatusForbidden, "text/plain", "not you"),
		"of the credential":   says(http.StatusUnauthorized, "text/plain", ""),
		"cut off": func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, later := learning(t)
			w.wantOK(w.lookedUp(), `order 7`)
			a.answers(answer)
			later.Store(int64(6 * time.Minute))
			w.wantOK(w.lookedUp(), `order 7`)
			if a.asked.Load() != 2 || a.asItIs() != 0 {
				t.Errorf("got %d questions and %d calls as they are, want it asked again and bridged", a.asked.Load(), a.asItIs())
			}
		})
	}
}

// A refusal of the caller is not how a server with sessions refuses the revision:
// a stateless server would be sent what it can't read, for all agents.
func TestARefusalOfTheCallerIsNoEra(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			s := newStateless(t)
			a := &asker{inner: s}
			a.answers(says(status, "text/plain", ""))
			w := modern(t, a)
			call := w.lookedUp(to("/mcp/modern"))
			w.wantOK(call, `order`)
			if got := s.requests("initialize"); len(got) != 0 || a.asked.Load() != 1 {
				t.Errorf("got %d sessions begun after %d questions, want none after 1", len(got), a.asked.Load())
			}
			got := s.requests("tools/call")
			if len(got) != 1 || got[0].header.Get("Mcp-Protocol-Version") != "2026-07-28" || !strings.Contains(got[0].body, `"lookup_order"`) {
				t.Errorf("at the server: got %+v, want the call as it is", got)
			}
		})
	}
}

// An agent's trace is its own: what a server says to one that is too long for it is
// nothing that it says to all.
func TestAnAgentsTraceSaysNothingOfTheEra(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	s.odd.answers("tools/call", func(rpc) string { return `{"resultType":"complete","content":[]}` })
	describe := s.odd.results["server/discover"]
	s.odd.handles("server/discover", func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header.Get("Tracestate")) > 1<<10 {
			http.Error(w, "Request Header Or Cookie Too Large", http.StatusBadRequest)
			return
		}
		content, _ := io.ReadAll(r.Body)
		var m rpc
		mustJSON(t, content, &m)
		says(http.StatusOK, "application/json", `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":`+describe(m)+`}`)(w, r)
	})
	call := func(change ...func(*request)) request {
		return s.stateless("tools/call", "odd__x", `{"name":"odd__x"`, change...)
	}
	s.do(call(s.as("clerk"), with("Tracestate", "a="+strings.Repeat("x", 4<<10))))
	s.wantOK(call(), `"content":[]`)
}

// Who may not ask for an upstream's era is not judged for it again within seconds, and
// nobody else is taken for it.
func TestWhoMayNotAskForAnEra(t *testing.T) {
	var b broker.Barred
	now := time.Unix(1_800_000_000, 0)
	if b.Has("shop", now) {
		t.Fatal("got an agent that was not judged")
	}
	b.Add("shop")
	for _, c := range []struct {
		agent string
		after time.Duration
		want  bool
	}{{"shop", 9 * time.Second, true}, {"till", 9 * time.Second, false}, {"shop", 10 * time.Second, false}, {"shop", 11 * time.Second, false}} {
		if got := b.Has(c.agent, now.Add(c.after)); got != c.want {
			t.Errorf("%s after %s: got %t, want %t", c.agent, c.after, got, c.want)
		}
	}
	for i := range 10_000 {
		b.Add(fmt.Sprint("agent-", i))
	}
	if b.Has("agent-9999", now.Add(12*time.Second)) || !b.Has("agent-1", now.Add(12*time.Second)) {
		t.Error("got as many agents as there are, want no more than a table's worth")
	}
}
