package broker_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/internal/fault"
)

// piecemeal is an answer of a type that comes piece by piece; length is that of its
// body, or "" where it does not say so.
func piecemeal(kind, length string) *events {
	e := newEvents()
	e.head = http.Header{"Content-Type": {kind}}
	if length != "" {
		e.head.Set("Content-Length", length)
	}
	return e
}

// later is a clock that a test sets forward.
type later struct{ by atomic.Int64 }

func (l *later) now() time.Time { return time.Now().Add(time.Duration(l.by.Load())) }

// An answer that has an end goes on, whichever version of HTTP it comes over; one
// that has none may be silent.
func TestAnAnswerGoesOn(t *testing.T) {
	t.Parallel()
	const kib = 1 << 10
	for name, c := range map[string]struct {
		target, kind, length string
		piece                int // bytes
		every                time.Duration
		pieces               int
		cut                  bool
	}{
		"silent, of an API":           {"/http/slow-api/x", "text/plain", "", 1, 11 * time.Second, 20, true},
		"silent, of MCP":              {"/mcp/slow", jsonType, "", 1, 11 * time.Second, 20, true},
		"byte by byte, of MCP":        {"/mcp/slow", jsonType, "", 1, 4 * time.Second, 20, true},
		"byte by byte, of a length":   {"/http/slow-api/x", "text/plain", "100", 1, 4 * time.Second, 20, true},
		"byte by byte, of an API":     {"/http/slow-api/x", "text/plain", "", 1, 4 * time.Second, 20, false},
		"slow, of a length":           {"/http/slow-api/x", "text/plain", "20480", kib, 900 * time.Millisecond, 20, false},
		"events":                      {"/mcp/slow", "text/event-stream", "", 1, time.Minute, 5, false},
		"a watch, of an API":          {"/http/slow-api/x", "application/json;stream=watch", "", 1, time.Minute, 5, false},
		"called a watch, of MCP":      {"/mcp/slow", "application/json;stream=watch", "", 1, 11 * time.Second, 20, true},
		"lines of JSON, of an API":    {"/http/slow-api/x", "application/x-ndjson", "", 1, time.Minute, 5, false},
		"an error of MCP that stalls": {"/mcp/slow", "text/plain", "", 1, 11 * time.Second, 20, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, way := range over() {
				t.Run(way, func(t *testing.T) {
					clock := &later{}
					w := open(t, func(s *setup) {
						s.Clock = clock.now
						s.Policy = `permit (principal == Agent::"spiffe://example.org/agent/shop", action in Action::"http", resource);`
					})
					p := piecemeal(c.kind, c.length)
					w.registerOver(way, p)
					got := make(chan answer, 1)
					go func() { got <- w.do(w.call(to(c.target))) }()
					w.passing(p, clock, strings.Repeat(" ", c.piece), c.every, c.pieces)
					a := recv(t, "the end of the answer", got)
					if whole := a.err == nil && a.status == 200 && len(a.body) == c.piece*c.pieces; whole == c.cut {
						t.Fatalf("got %d with %d bytes and %v, want it cut: %t", a.status, len(a.body), a.err, c.cut)
					}
					rec := w.outcome(w.lastAllowed().Call)
					if c.cut {
						recv(t, "the end of the upstream's request", p.left)
					}
					if cut := rec.Fault == fault.BadUpstream.String() && strings.Contains(rec.Reason, "did not go on within its time limit"); cut != c.cut {
						t.Errorf("outcome: got %q %q, want it cut: %t", rec.Fault, rec.Reason, c.cut)
					}
					w.await("the call's slot", func() bool { return w.broker.Waiting() == 0 })
				})
			}
		})
	}
}

// registerOver registers an upstream that h serves, as an MCP server and as an API.
func (w *world) registerOver(way string, h http.Handler) {
	w.t.Helper()
	url, also := w.serveOver(way, h)
	two := fmt.Sprintf("\nupstreams:\n"+
		"  slow: {url: %[1]q, %[2]sprotocol: sessions, timeout: 10s, credentials: [{provider: token, scheme: bearer}]}\n"+
		"  slow-api: {kind: http, url: %[1]q, %[2]stimeout: 10s, credentials: [{provider: token, scheme: bearer}]}\n", url, also)
	if err := w.change("mintmark.yaml", "\nupstreams:\n", two); err != nil {
		w.t.Fatal(err)
	}
}

// passing has the upstream say pieces, and the time pass before each is read, to the
// end of the answer.
func (w *world) passing(e *events, clock *later, piece string, every time.Duration, pieces int) {
	w.t.Helper()
	for n := range pieces + 1 {
		next := piece
		if n == pieces {
			next = ""
		}
		at := clock.now()
		select {
		case e.send <- next:
		case <-e.left: // it was cut
			return
		}
		if next == "" {
			return
		}
		w.await("the piece to be read", func() bool {
			select {
			case <-e.left:
				return true
			default:
				return w.broker.WaitsSince().After(at) || w.broker.Waiting() == 0 // it was the last
			}
		})
		clock.by.Add(int64(every))
		w.broker.Look()
	}
}

// lists asks for a list that p has begun when it returns.
func (w *world) lists(p *events) <-chan answer {
	w.t.Helper()
	got := make(chan answer, 1)
	go func() {
		got <- w.do(w.call(to("/mcp/slow"), body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)))
	}()
	p.event(w.t, `{"jsonrpc":`)
	return got
}

// answered has the time pass until the agent has its answer, and returns it.
func (w *world) answered(clock *later, got <-chan answer) (a answer) {
	w.t.Helper()
	w.await("the answer", func() bool {
		clock.by.Add(int64(time.Second))
		w.broker.Look()
		select {
		case a = <-got:
			return true
		default:
			return false
		}
	})
	return a
}

// A list is read whole before any of it is shown: one that stops is a refusal.
func TestAListThatDoesNotGoOnIsRefused(t *testing.T) {
	t.Parallel()
	for _, way := range over() {
		t.Run(way, func(t *testing.T) {
			clock := &later{}
			w := open(t, func(s *setup) { s.Clock = clock.now })
			p := piecemeal(jsonType, "")
			w.registerOver(way, p)
			got := w.lists(p)
			if said := w.answered(clock, got).refusal(t); said.Step != "answer" || !strings.Contains(said.Text, "did not go on within its time limit") {
				t.Errorf("got %+v, want it refused for its pace", said)
			}
			recv(t, "the end of the upstream's request", p.left)
		})
	}
}

// A list that its agent may no longer see is refused for that while it is read.
func TestAListThatIsDeniedWhileItIsReadSaysSo(t *testing.T) {
	t.Parallel()
	clock := &later{}
	w := open(t, func(s *setup) {
		s.Clock = clock.now
		s.Policy = `@id("all") permit (principal == Agent::"spiffe://example.org/agent/shop", action, resource);`
	})
	p := piecemeal(jsonType, "")
	w.registerOver("http", p)
	got := w.lists(p)
	if err := w.change("policies.cedar", "permit (", "forbid ("); err != nil {
		t.Fatal(err)
	}
	if said := w.answered(clock, got).refusal(t); said.Step != "decide" {
		t.Errorf("got %+v, want it refused by policy", said)
	}
	recv(t, "the end of the upstream's request", p.left)
}
