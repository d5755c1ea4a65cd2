package broker_test

import (
	"net/http"
	"testing"

	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`

// begun returns the handle of a new session of agent/shop with an upstream.
func (w *world) begun(upstream string) string {
	w.t.Helper()
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Mcp-Session-Id", "upstreams-own-session")
		answerOK(rw, r)
	})
	handle := w.wantOK(w.call(to("/mcp/"+upstream), body(initialize)), "result").header.Get("Mcp-Session-Id")
	w.upstream.does(answerOK)
	if handle == "" || handle == "upstreams-own-session" {
		w.t.Fatalf("handle: got %q, want a sealed one", handle)
	}
	return handle
}

func TestASessionHandleOpensForItsOwnerAlone(t *testing.T) {
	w := open(t)
	handle := w.begun("orders")
	w.wantOK(w.call(with("Mcp-Session-Id", handle)), "result")
	if got := w.upstream.last(t).header.Get("Mcp-Session-Id"); got != "upstreams-own-session" {
		t.Errorf("session at the upstream: got %q, want its own", got)
	}
	ended := w.do(w.call(get("/mcp/orders"), method("DELETE"), with("Mcp-Session-Id", handle)))
	if ended.status != 200 || w.upstream.last(t).method != "DELETE" || w.lastAllowed().Method != "end" {
		t.Errorf("end of the session: got %d, %+v", ended.status, w.upstream.last(t))
	}
	unknown := want{404, -31404, "receive", fault.NotFound, "unknown session", "shop", false}
	anothers := unknown
	anothers.agent = "clerk"
	flipped := []byte(handle)
	flipped[len(flipped)/2] ^= 1
	w.run(t, []row{
		{"another agent", w.call(with("Mcp-Session-Id", handle), with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{}))), anothers},
		{"another upstream", w.call(to("/mcp/tools"), with("Mcp-Session-Id", handle)), unknown},
		{"the upstream's own id", w.call(with("Mcp-Session-Id", "upstreams-own-session")), unknown},
		{"one bit changed", w.call(with("Mcp-Session-Id", string(flipped))), unknown},
		{"padded", w.call(with("Mcp-Session-Id", handle+"=")), unknown},
		{"cut short", w.call(with("Mcp-Session-Id", handle[:len(handle)-2])), unknown},
		{"garbage", w.call(with("Mcp-Session-Id", "🙂")), unknown},
		{"of a broker that ended", w.call(with("Mcp-Session-Id", open(t).begun("orders"))), unknown},
		{"two handles", w.call(with("Mcp-Session-Id", handle, handle)), want{400, -32020, "receive", fault.Invalid, "once", "shop", false}},
	})
}

// A client ends a session whose id changes, so an upstream that repeats its own
// gets the agent its handle back.
func TestAHandleStaysTheSameWithinASession(t *testing.T) {
	w := open(t)
	handle := w.begun("orders")
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Mcp-Session-Id", r.Header.Get("Mcp-Session-Id"))
		answerOK(rw, r)
	})
	if got := w.wantOK(w.call(with("Mcp-Session-Id", handle)), "result").header.Get("Mcp-Session-Id"); got != handle {
		t.Errorf("handle: got %q, want %q as before", got, handle)
	}
	if rec := w.lastAllowed(); len(rec.Session) != 32 {
		t.Errorf("record: got session %q, want a digest of the handle", rec.Session)
	}
}

func TestAHandleSaysNothingOfTheSession(t *testing.T) {
	w := open(t)
	if a, b := w.begun("orders"), w.begun("orders"); a == b {
		t.Errorf("two handles of one session: got %q twice", a)
	}
}
