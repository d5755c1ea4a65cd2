package broker_test

import (
	"fmt"
	"net/http"
	"testing"

	"mintmark/internal/fault"
)

// A session that is forgotten goes on as it was: it is its agent's alone, with the id
// that its upstream gave it, and policy judges each of its calls. Its agent's
// credential is revoked all the same with the last that is known.
func TestAForgottenSessionGoesOn(t *testing.T) {
	t.Parallel()
	w, m := owning(t)
	w.vouching()
	first := w.visit("mine")
	own := w.upstream.taken()
	var others []func(*request)
	for range 1024 {
		others = append(others, w.visit("also"))
	}
	for _, session := range others {
		w.leave("also", session)
	}
	w.await("the revocation", func() bool { return len(m.ended()) == 1 })

	said := make(chan string, 1)
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		said <- r.Header.Get("Mcp-Session-Id")
		answerOK(rw, r)
	})
	w.wantRefused(w.call(to("/mcp/mine"), first, body(toolCall("drop_table"))), want{200, -31403, "decide", fault.Denied, "", "shop", false})
	if got := w.do(w.call(to("/mcp/mine"), first, vouchedFor("two.example"))); got.status != http.StatusNotFound {
		t.Errorf("by another agent: got %d, want no such session", got.status)
	}
	w.wantOK(w.call(to("/mcp/mine"), first), "result")
	if got := recv(t, "the call", said); got != fmt.Sprint("session-", own) {
		t.Errorf("got the session %q, want the %dth", got, own)
	}
	w.upstream.does(answerOK)
	w.leave("mine", first)
	w.await("the revocation", func() bool { return len(m.ended()) == 2 })
	if n := m.made.Load(); n != 2 {
		t.Errorf("got %d credentials, want both of them revoked", n)
	}
}
