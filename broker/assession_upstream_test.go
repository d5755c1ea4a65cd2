package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

const describes = `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}}`

// saying is a stateless upstream that describes itself, and answers every other
// request with one text.
func saying(kind, text string, status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		if r.Header.Get("Mcp-Method") == "server/discover" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, describes)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	})
}

// What an upstream answers is read strictly: a client of an earlier revision
// gets an answer of its own revision or the reason why there is none.
func TestAnUpstreamThatBreaksTheProtocolIsNotRelayed(t *testing.T) {
	t.Parallel()
	const whole, stream = "application/json", "text/event-stream"
	for _, c := range []struct {
		what, kind, text string
		status           int
		want             string
	}{
		{"as JSON", whole, `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[],"ttlMs":5,"cacheScope":"public"}}`, 200, `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`},
		{"an error", whole, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such tool"}}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such tool"}}`},
		{"an error without an id", whole, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"unread"}}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"unread"}}`},
		{"another id", whole, `{"jsonrpc":"2.0","id":2,"result":{}}`, 200, "answered another request"},
		{"an id of another type", whole, `{"jsonrpc":"2.0","id":"1","result":{}}`, 200, "answered another request"},
		{"a task", whole, `{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t"}}`, 200, `got \"task\", which sessions have no words for`},
		{"a type that is no text", whole, `{"jsonrpc":"2.0","id":1,"result":{"resultType":7}}`, 200, "breaks the protocol"},
		{"input without a word", whole, `{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required"}}`, 200, "got neither"},
		{"an unknown request for input", whole, `{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"shell/run"}}}}`, 200, `got \"shell/run\"`},
		{"names twice", whole, `{"jsonrpc":"2.0","id":1,"result":{"content":[],"content":[]}}`, 200, "can't be read in one way only"},
		{"a request of its own", stream, "data: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"sampling/createMessage\"}\n\n", 200, "sent a request of its own"},
		{"no answer", stream, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1}}\n\n", 200, "ended without a JSON-RPC answer"},
		{"a page", "text/html", "<h1>busy</h1>", 500, "(HTTP status 500) ended without a JSON-RPC answer"},
		{"notices that were not asked for", stream, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\n data: \"result\":{}}\n\n", 200, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := modern(t, saying(c.kind, c.text, c.status))
			handle := w.session("stateless", initializeAsking)
			got := w.do(w.call(to("/mcp/stateless"), with("Mcp-Session-Id", handle), body(toolCall("lookup_order"))))
			if got.err != nil || got.status != 200 || !strings.Contains(got.body, c.want) {
				t.Errorf("got %d %q, %v, want %q", got.status, got.body, got.err, c.want)
			}
			if strings.Contains(got.body, "list_changed") || strings.Contains(got.body, "<h1>") {
				t.Errorf("got %q, which this client has no words for", got.body)
			}
		})
	}
}

// An upstream that is busy is asked again with its state, a few times.
func TestAnUpstreamThatIsBusyIsAskedAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	w := modern(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		text, _ := io.ReadAll(r.Body)
		id := string(text[strings.Index(string(text), `"id":`)+5:])
		id = id[:strings.IndexByte(id, ',')]
		switch {
		case r.Header.Get("Mcp-Method") == "server/discover":
			_, _ = io.WriteString(rw, describes)
		case asked.Add(1) == 1:
			_, _ = fmt.Fprintf(rw, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"input_required","requestState":"a\u002fb"}}`, id)
		case strings.Contains(string(text), `"requestState":"a\u002fb"`) && id != "1":
			_, _ = fmt.Fprintf(rw, `{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`, id)
		}
	}))
	handle := w.session("stateless", initializeAsking)
	w.wantOK(w.call(to("/mcp/stateless"), with("Mcp-Session-Id", handle), body(toolCall("lookup_order"))), `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`)
}

// An upstream of both eras serves each agent in its own.
func TestAnUpstreamOfBothErasIsNotBridged(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Protocol-Version") == "2026-07-28" {
			s.ServeHTTP(rw, r)
			return
		}
		rw.Header().Set("Mcp-Session-Id", "upstreams-own-session")
		answerOK(rw, r)
	}))
	discover := `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	w.wantOK(w.call(to("/mcp/modern"), body(discover), with("Mcp-Protocol-Version", "2026-07-28"), with("Mcp-Method", "server/discover")), "supportedVersions")
	got := w.wantOK(w.call(to("/mcp/modern"), body(initializeAsking)), okAnswer)
	w.wantOK(w.call(to("/mcp/modern"), with("Mcp-Session-Id", got.header.Get("Mcp-Session-Id"))), okAnswer)
}

// A handle outlives what was learned of the upstream, and not what is registered.
func TestABridgedSessionEndsWithTheRegistrationOfItsEra(t *testing.T) {
	t.Parallel()
	w := modern(t, newStateless(t))
	handle := w.session("stateless", initializeAsking)
	call := w.call(to("/mcp/stateless"), with("Mcp-Session-Id", handle))
	w.wantOK(call, "order")
	if err := w.change("mintmark.yaml", "protocol: stateless", "protocol: sessions"); err != nil {
		t.Fatal(err)
	}
	if got := w.do(call); got.status != 404 {
		t.Errorf("got %d %q, want an unknown session", got.status, got.body)
	}
}

// Nor does one of an upstream's own session outlive that its upstream had sessions.
func TestASessionEndsWithTheRegistrationOfItsEra(t *testing.T) {
	t.Parallel()
	w, _ := owning(t)
	session := w.visit("mine")
	registered := "mine: {url: \"http://" + w.upstream.address + "/mcp\", protocol: "
	if err := w.change("mintmark.yaml", registered+"sessions", registered+"stateless"); err != nil {
		t.Fatal(err)
	}
	for _, got := range []answer{w.do(w.call(to("/mcp/mine"), session)), w.leave("mine", session)} {
		if got.status != 404 {
			t.Errorf("got %d %q, want an unknown session", got.status, got.body)
		}
	}
}
