package connect_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"mintmark/cmd/mintmark/connect"
	"mintmark/internal/trustdomain"
)

// request is one that the fake broker got.
type request struct {
	method, path, body string
	header             http.Header
	gone               <-chan struct{} // closed when the client closes it
}

// fake is what stands where a broker listens on a Unix socket: it shows the wire
// as it is, and answers as a test wants. It takes only the agent's own JWT-SVID.
type fake struct {
	*place
	t       *testing.T
	address string
	seen    chan request
	free    chan struct{} // closed at the end

	mu     sync.Mutex
	handle func(w http.ResponseWriter, r request)
}

// newFake serves handle until the test ends.
func newFake(t *testing.T, handle func(w http.ResponseWriter, r request)) *fake {
	t.Helper()
	f := &fake{place: newPlace(t, trustdomain.Options{}), t: t, seen: make(chan request, 1024), free: make(chan struct{}), handle: handle}
	f.serve()
	return f
}

func (f *fake) serve() {
	f.t.Helper()
	socket := filepath.Join(f.dir, "broker.sock")
	f.address = "unix://" + socket
	l, err := new(net.ListenConfig).Listen(f.t.Context(), "unix", socket)
	if err != nil {
		f.t.Fatal(err)
	}
	server := &http.Server{Handler: f, ReadHeaderTimeout: patience}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	f.t.Cleanup(func() { close(f.free); _ = server.Close(); <-done })
}

// ServeHTTP implements http.Handler.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Errorf("read the body: %v", err)
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	svid, err := jwtsvid.ParseAndValidate(token, f.domain.Bundle(), []string{"mintmark"})
	if err != nil || svid.ID != f.domain.ID("agent", "shop") {
		f.t.Errorf("%s: got evidence of %v, %v, want the agent's", r.Method, svid, err)
	}
	got := request{r.Method, r.URL.Path, string(body), r.Header, r.Context().Done()}
	f.seen <- got
	f.mu.Lock()
	handle := f.handle
	f.mu.Unlock()
	handle(w, got)
}

// run starts connect before the fake broker.
func (f *fake) run(o connect.Options) *program {
	f.t.Helper()
	o.Broker = f.address
	return f.place.run(f.t, o)
}

// next returns the next request.
func (f *fake) next() request {
	f.t.Helper()
	return recv(f.t, "a request", f.seen)
}

// wait waits for c, or the end of the test.
func (f *fake) wait(c <-chan struct{}) {
	select {
	case <-c:
	case <-f.free:
	}
}

// inform answers with JSON.
func inform(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// result is the answer to the request of an id.
func result(id string) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, id) }

// stream answers with pieces of an event stream, as they stand.
func stream(w http.ResponseWriter, pieces ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, p := range pieces {
		_, _ = io.WriteString(w, p)
	}
	_ = http.NewResponseController(w).Flush()
}

const (
	initialize  = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`
	initialized = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	agreed      = `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}`
	sessionID   = "session-1"
)

// withSession answers initialize with a session, what has no answer with 202,
// and no GET; the rest is for handle.
func withSession(handle func(w http.ResponseWriter, r request)) func(http.ResponseWriter, request) {
	return func(w http.ResponseWriter, r request) {
		switch {
		case r.method == http.MethodDelete:
		case strings.Contains(r.body, `"initialize"`):
			w.Header().Set("Mcp-Session-Id", sessionID)
			inform(w, http.StatusOK, agreed)
		case r.method == http.MethodGet && handle == nil:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case strings.Contains(r.body, `"notifications/`) || strings.Contains(r.body, `"result"`):
			w.WriteHeader(http.StatusAccepted)
		default:
			handle(w, r)
		}
	}
}

// begin goes through the beginning of a session.
func (f *fake) begin(c *program) {
	f.t.Helper()
	c.send(initialize)
	c.want(agreed)
	c.send(initialized)
	f.next()
	f.next()
}

// until drops requests until one is as wanted.
func (f *fake) until(what string, is func(request) bool) request {
	f.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case r := <-f.seen:
			if is(r) {
				return r
			}
		case <-deadline:
			f.t.Fatalf("wait for %s: got none within %s", what, patience)
		}
	}
}

// ended makes a value of the closing of a channel.
func ended(c <-chan struct{}) <-chan bool {
	over := make(chan bool, 1)
	go func() {
		<-c
		over <- true
	}()
	return over
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
