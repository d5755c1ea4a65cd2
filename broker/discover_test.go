package broker_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mintmark/broker/audit"
)

// An upstream that is down when it is first asked has said nothing of its era: the call
// fails, and the next one after it is back is bridged.
func TestAnUpstreamThatWasDownIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"cut off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the call was not sent to it; where it never answers that, an operator of the broker is to register its protocol"},
		"in an odd coding": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "x-odd")
			says(http.StatusOK, "application/json", "{}")(w, r)
		}, "in a coding that can't be undone; it can't be checked for secrets; that was when it was asked which form of MCP it speaks (server/discover); the call was not sent to it"},
		"behind a gateway": {says(http.StatusBadGateway, "text/html", "<html>"), "HTTP status 502; the call was not sent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, a, _ := learning(t)
			a.answers(c.answer)
			if got := w.do(w.lookedUp()); !strings.Contains(got.body, c.says) || !strings.Contains(got.body, "-3150") {
				t.Errorf("while it is down: got %d %s, want %q", got.status, got.body, c.says)
			}
			a.ask.Store(nil)
			w.wantOK(w.lookedUp(), `order 7`)
			if a.asked.Load() != 2 || a.asItIs() != 0 {
				t.Errorf("got %d questions and %d calls as they are, want 2 and none", a.asked.Load(), a.asItIs())
			}
		})
	}
}

// Once a key that the upstream refused is replaced, the next call is bridged, and not sent
// as it is for as long as what was learned is kept.
func TestARefusedCredentialTeachesNothing(t *testing.T) {
	t.Parallel()
	w, a, _ := learning(t)
	a.answers(says(http.StatusUnauthorized, "text/plain", ""))
	w.do(w.lookedUp())
	a.ask.Store(nil)
	w.wantOK(w.lookedUp(), `order 7`)
	if a.asked.Load() != 2 || a.asItIs() != 1 {
		t.Errorf("got %d questions and %d calls as they are, want 2 and the first", a.asked.Load(), a.asItIs())
	}
}

// Where many call an upstream that gives no answer, one asks, and the others fail with it.
func TestOneAsksForAll(t *testing.T) {
	t.Parallel()
	w, a, _ := learning(t)
	const calls = 8
	free := make(chan struct{})
	var at atomic.Int64
	a.answers(func(http.ResponseWriter, *http.Request) {
		if n := at.Add(1); n > 1 {
			t.Errorf("got %d questions at once, want one", n)
		}
		defer at.Add(-1)
		<-free
		panic(http.ErrAbortHandler)
	})
	var all sync.WaitGroup
	for range calls {
		r := w.lookedUp()
		all.Go(func() {
			if got := w.do(r); !strings.Contains(got.body, "the call was not sent to it") {
				t.Errorf("got %d %s, want why", got.status, got.body)
			}
		})
	}
	w.await("all calls", func() bool { return w.broker.Waiting() == calls && a.asked.Load() > 0 })
	close(free)
	all.Wait()
	if n := a.asItIs(); n != 0 {
		t.Errorf("got %d calls as they are, want none", n)
	}
}

func TestAnUpstreamThatIsNoMCPServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status     int
		kind, says string // to the agent
	}{
		"a page":               {http.StatusNotImplemented, "text/html; charset=utf-8", "expected an MCP server at the upstream's url"},
		"a page as an answer":  {http.StatusOK, "text/html", "got HTTP status 200 and text/html"},
		"a page of 404":        {http.StatusNotFound, "text/html; charset=utf-8", "got HTTP status 404 and text/html"},
		"an error in text":     {http.StatusNotImplemented, "text/plain", "<odd>"},
		"of another type":      {http.StatusNotImplemented, "text/odd", "<odd>"},
		"a page of a gateway":  {http.StatusForbidden, "text/html", "<odd>"},
		"no type of an answer": {http.StatusInternalServerError, "", "<odd>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := modern(t, says(c.status, c.kind, "<odd>"))
			got := w.do(w.lookedUp(to("/mcp/modern")))
			if !strings.Contains(got.body, c.says) {
				t.Errorf("got %d %s, want %q", got.status, got.body, c.says)
			}
			w.await("why on record", func() bool {
				for _, r := range w.recorded(audit.Filter{Kind: audit.Outcome}) {
					if r.Method == "server/discover" {
						if r.Fault != "bad_upstream" || r.Reason == "" || strings.Contains(r.Reason, "odd") {
							t.Errorf("got the outcome %s %q", r.Fault, r.Reason)
						}
						return true
					}
				}
				return false
			})
		})
	}
}

// A url that is wrong is most often answered with a page and 404, and says so to whoever calls, in
// either era: it is no session that ended. In a session that began, it is.
func TestAPageOf404IsNoServerWithSessions(t *testing.T) {
	t.Parallel()
	const says = "expected an MCP server at the upstream's url, which answers a request in JSON or an event stream, got HTTP status 404 and text/html"
	w := open(t)
	inSession := with("Mcp-Session-Id", w.begun("orders"))
	w.upstream.does(answering(http.StatusNotFound, "text/html", "<h1>Not Found</h1>"))
	for name, r := range map[string]request{
		"a call":       w.call(),
		"a new client": w.call(body(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)),
	} {
		if got := w.do(r); !strings.Contains(got.body, says) {
			t.Errorf("%s: got %d %s, want %q", name, got.status, got.body, says)
		}
	}
	if got := w.do(w.call(inSession)); got.status != http.StatusNotFound || !strings.Contains(got.body, "no longer knows this session") {
		t.Errorf("in a session: got %d %s, want its end", got.status, got.body)
	}
}
