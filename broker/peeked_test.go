package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What is read of an error to see whether it ends the session is under the same watch as
// the rest of it: an upstream that begins one and says no more keeps no slot.
func TestAnErrorInASessionThatDoesNotGoOn(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"404": http.StatusNotFound, "400": http.StatusBadRequest} {
		for _, way := range over() {
			t.Run(name+" over "+way, func(t *testing.T) {
				t.Parallel()
				clock := &later{}
				w := open(t, func(s *setup) { s.Clock = clock.now })
				begun := make(chan struct{})
				w.registerOver(way, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Mcp-Session-Id") == "" {
						rw.Header().Set("Mcp-Session-Id", "upstreams-own-session")
						answerOK(rw, r)
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					rw.Header().Set("Content-Type", jsonType)
					rw.WriteHeader(status)
					_, _ = io.WriteString(rw, `{"jsonrpc":`)
					_ = http.NewResponseController(rw).Flush()
					close(begun)
					<-r.Context().Done()
				}))
				handle := w.wantOK(w.call(to("/mcp/slow"), body(initialize)), "result").header.Get("Mcp-Session-Id")
				got := make(chan answer, 1)
				go func() { got <- w.do(w.call(to("/mcp/slow"), with("Mcp-Session-Id", handle))) }()
				recv(t, "the error to begin", begun)
				w.answered(clock, got)
				w.await("the call's slot", func() bool { return w.broker.Waiting() == 0 })
			})
		}
	}
}

// An upstream that opens a stream when it is asked which form of MCP it speaks, and says
// nothing on it, is waited for as long as for any answer: others wait with who asked.
func TestAnUpstreamThatDoesNotSayItsEra(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Policy = bridgePolicy })
	address := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Method") != "server/discover" {
			answerOK(rw, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		rw.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(rw, ": alive\n\n")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	}), nil)
	if err := w.change("mintmark.yaml", "\nupstreams:\n", fmt.Sprintf("\nupstreams:\n  either: {url: \"http://%s\", timeout: 1s, credentials: [{provider: token, scheme: bearer}]}\n", address)); err != nil {
		t.Fatal(err)
	}
	got := make(chan answer, 2)
	for range 2 {
		r := w.lookedUp(to("/mcp/either"))
		go func() { got <- w.do(r) }()
	}
	for range 2 {
		if a := recv(t, "an answer", got); !strings.Contains(a.body, "the call was not sent") {
			t.Errorf("got %d %s, want it to say that no call was sent", a.status, a.body)
		}
	}
}
