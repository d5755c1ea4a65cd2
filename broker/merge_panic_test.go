package broker_test

import (
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// throwingClock tells the time, but once to whoever ends a held session, when armed.
type throwingClock struct{ armed atomic.Bool }

func (c *throwingClock) now() time.Time {
	if c.armed.Load() && strings.Contains(string(debug.Stack()), ".endHeld(") && c.armed.Swap(false) {
		panic("hunter2")
	}
	return time.Now()
}

// A panic over an upstream's session that ends with the agent's own is that session's,
// and ends neither the broker nor the agent's call.
func TestAPanicOverAHeldSessionEndsNothingElse(t *testing.T) {
	t.Parallel()
	clock := &throwingClock{}
	s := openSeveral(t, func(s *setup) { s.Clock = clock.now })
	o := &aging{calls: func(w http.ResponseWriter, m rpc) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"content":[]}}`)
	}}
	o.serve(s.odd)
	own := with("Mcp-Session-Id", s.begunHere())
	call := s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"odd__x"}}`))
	s.wantOK(call, `"content":[]`)
	clock.armed.Store(true)
	if got := s.do(s.call(get("/mcp"), method("DELETE"), own)); got.status != http.StatusOK || clock.armed.Load() {
		t.Errorf("end: got %d, thrown %t, want 200 and a panic", got.status, !clock.armed.Load())
	}
	if log := string(s.logged.bytes()); !strings.Contains(log, "a call panicked") || strings.Contains(log, "hunter2") {
		t.Errorf("got log %s, want the panic in it and not what was thrown", log)
	}
	s.wantOK(call, `"content":[]`)
}
