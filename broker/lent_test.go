package broker_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mintmark/broker/audit"
)

func largeLimits(s *setup) { s.Limits = "body: 1MiB, shutdown: 5s" }

// Bodies take turns in the same memory. None is another's, at the upstream or in the
// record, whatever became of the call that had the memory before.
func TestBodiesAreNeverAnothers(t *testing.T) {
	t.Parallel()
	var whole sync.Map // of bodies that came, by digest
	w := open(t, largeLimits, func(s *setup) {
		s.Upstream = serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Traceparent") != "" { // answered before it has come
				http.Error(rw, "no", http.StatusTeapot)
				return
			}
			body, _ := io.ReadAll(r.Body)
			whole.Store(fmt.Sprintf("%x", sha256.Sum256(body)), true)
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, okAnswer)
		}), nil)
	})
	early := with("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	bodies, arguments := map[string]bool{}, map[string]bool{}
	digest := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	var agents sync.WaitGroup
	for i := range 6 {
		var calls []request
		for n := range 8 {
			long := `{"text":"` + strings.Repeat(string(rune('a'+i)), 5000+n*15_000) + fmt.Sprint(n) + `"}`
			text := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_order","arguments":` + long + `}}`
			calls = append(calls, w.call(body(text)), w.call(body(text), early), w.call(body(text[:len(text)-1])))
			bodies[digest(text)], arguments[digest(long)] = true, true
		}
		agents.Go(func() {
			for n, call := range calls {
				if got, want := w.do(call), []int{200, http.StatusTeapot, 400}[n%3]; got.status != want {
					t.Errorf("got %d %.200q %v, want %d", got.status, got.body, got.err, want)
				}
			}
		})
	}
	agents.Wait()
	for got := range whole.Range {
		if !bodies[got.(string)] {
			t.Error("the upstream got a body that nobody sent")
		}
	}
	for _, rec := range w.records(audit.Filter{Kind: audit.Decision, Outcome: "allow"}, 6*8*2) {
		if !bodies[rec.Body] || !arguments[rec.Arguments] {
			t.Errorf("got a record of a body %s with arguments %s that nobody sent", rec.Body, rec.Arguments)
		}
	}
}

// A body that is worded anew for its upstream is on record as that, and not as what
// the agent sent.
func TestTheRecordHasTheDigestOfWhatIsWordedAnew(t *testing.T) {
	t.Parallel()
	w, server := bridged(t, largeLimits)
	long := `{"order":"` + strings.Repeat("7", 64<<10) + `"}`
	call := w.stateless2026("tools/call", 1, `"name":"lookup_order","arguments":`+long, "")
	if got := w.do(call); got.status != http.StatusOK {
		t.Fatalf("got %d %.200q", got.status, got.body)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	sent := server.requests[len(server.requests)-1].body
	for _, r := range server.requests {
		if strings.Contains(r.body, "tools/call") {
			sent = r.body
		}
	}
	digest := func(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }
	rec := w.lastAllowedOf("tools/call")
	if sent == call.body || rec.Body != digest([]byte(sent)) || rec.Arguments != digest([]byte(long)) || !bytes.Contains([]byte(sent), []byte(long)) {
		t.Errorf("got body %s and arguments %s on record, want those of the %d bytes that were sent", rec.Body, rec.Arguments, len(sent))
	}
}
