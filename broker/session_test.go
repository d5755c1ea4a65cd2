package broker_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/broker"
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
	t.Parallel()
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
		{"a nonce and no more", w.call(with("Mcp-Session-Id", "AAAAAAAAAAAAAAAA")), unknown},
		{"huge", w.call(with("Mcp-Session-Id", repeat("A", 24<<10))), unknown},
		{"of a broker that ended", w.call(with("Mcp-Session-Id", open(t).begun("orders"))), unknown},
		{"two handles", w.call(with("Mcp-Session-Id", handle, handle)), want{400, -32020, "receive", fault.Invalid, "once", "shop", false}},
	})
}

// A client ends a session whose id changes, so an upstream that repeats its own
// gets the agent its handle back.
func TestAHandleStaysTheSameWithinASession(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	w := open(t)
	if a, b := w.begun("orders"), w.begun("orders"); a == b {
		t.Errorf("two handles of one session: got %q twice", a)
	}
}

// A session is its workload's: neither another of the same trust domain nor one
// of the same name in another gets at it, by any method.
func TestASessionIsAnotherWorkloadsToNobody(t *testing.T) {
	t.Parallel()
	w := open(t)
	partner := trustdomain.New("partner.example", trustdomain.Options{})
	w.domain.Federate(partner)
	namesake := with("Authorization", "Bearer "+w.token(partner, "shop", trustdomain.JWTRequest{}))
	w.await("the broker to believe the partner", func() bool { return w.do(w.call(namesake)).status != http.StatusUnauthorized })
	clerk := with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{}))
	handle := with("Mcp-Session-Id", w.begun("orders"))
	before := w.upstream.taken()
	for agent, evidence := range map[string]func(*request){w.id("clerk").String(): clerk, partner.ID("agent", "shop").String(): namesake} {
		for name, call := range map[string]request{
			"POST": w.call(evidence, handle), "GET": w.call(get("/mcp/orders"), evidence, handle),
			"DELETE": w.call(get("/mcp/orders"), method("DELETE"), evidence, handle),
		} {
			got := w.do(call)
			said := got.refusal(t)
			if got.status != 404 || said.Code != -31404 || string(said.ID) != "null" || !strings.Contains(said.Text, "unknown session") {
				t.Errorf("%s of %s: got %d %s, want 404 that answers no id", name, agent, got.status, got.body)
			}
			if rec := w.decision(said.Call); rec.Agent != agent || rec.Allow || rec.Fault != "not_found" {
				t.Errorf("%s of %s: got record of %s, allow %t, fault %q", name, agent, rec.Agent, rec.Allow, rec.Fault)
			}
		}
	}
	if n := w.upstream.taken() - before; n != 0 {
		t.Errorf("%d requests reached the upstream, want none", n)
	}
	w.wantOK(w.call(handle), "result")
}

// Evidence is renewed and a workload may have two kinds of it: the session is
// the workload's all the same.
func TestASessionOutlivesTheEvidenceItWasBegunWith(t *testing.T) {
	t.Parallel()
	w := open(t)
	handle := with("Mcp-Session-Id", w.begun("orders"))
	fresh := w.token(w.domain, "shop", trustdomain.JWTRequest{Lifetime: time.Hour})
	if fresh == w.agent {
		t.Fatal("got the same token twice")
	}
	byCertificate := func(r *request) {
		presenting(w.certificate(w.domain, "shop", trustdomain.X509Request{}))(r)
		delete(r.header, "Authorization")
	}
	for name, evidence := range map[string]func(*request){
		"another token": with("Authorization", "Bearer "+fresh), "a certificate": byCertificate, "another certificate": byCertificate,
	} {
		w.wantOK(w.call(handle, evidence), "result")
		if got := w.upstream.last(t).header.Get("Mcp-Session-Id"); got != "upstreams-own-session" {
			t.Errorf("%s: got session %q at the upstream, want its own", name, got)
		}
	}
}

func TestHandlesEndWithTheBroker(t *testing.T) {
	t.Parallel()
	w := open(t)
	handle := w.begun("orders")
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.openBroker(setup{})
	got := w.wantRefused(w.call(with("Mcp-Session-Id", handle)), want{404, -31404, "receive", fault.NotFound, "unknown session", "shop", false})
	if string(got.ID) != "null" {
		t.Errorf("id: got %s, want null", got.ID)
	}
	w.wantOK(w.call(with("Mcp-Session-Id", w.begun("orders"))), "result")
}

// The parts that a handle is bound to can't run into each other, and an issuer
// is one of them.
func TestHandlesAreBoundToEachPart(t *testing.T) {
	const shop = "spiffe://example.org/shop"
	s := broker.OpenSessions(t)
	handle := s.Seal("own", "orders", identityOf("https://a.example", shop))
	if id, err := s.Open(handle, "orders", identityOf("https://a.example", shop)); id != "own" || err != nil {
		t.Errorf("its owner: got %q, %v", id, err)
	}
	for name, other := range map[string]struct {
		upstream string
		owner    attest.Identity
	}{
		"issuer":                           {"orders", identityOf("https://b.example", shop)},
		"no issuer":                        {"orders", identityOf("", shop)},
		"subject":                          {"orders", identityOf("https://a.example", shop+"s")},
		"upstream":                         {"order", identityOf("https://a.example", shop)},
		"upstream and issuer run together": {"ordersh", identityOf("ttps://a.example", shop)},
		"nobody":                           {"orders", attest.Identity{}},
	} {
		if id, err := s.Open(handle, other.upstream, other.owner); id != "" || fault.KindOf(err) != fault.NotFound {
			t.Errorf("another %s: got %q, %v, want not found", name, id, err)
		}
	}
	zeros := repeat("\x00", 8) // where a length stands
	handle = s.Seal("own", "a", identityOf("b"+zeros+"c", shop))
	if id, err := s.Open(handle, "a"+zeros+"b", identityOf("c", shop)); err == nil {
		t.Errorf("parts cut elsewhere: got %q", id)
	}
}

func identityOf(issuer, id string) attest.Identity {
	return attest.Proven(attest.Proof{ID: spiffeid.RequireFromString(id), Issuer: issuer})
}

// answering returns an upstream's answer as it stands.
func answering(status int, contentType, text string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			rw.Header().Set("Content-Type", contentType)
		}
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, text)
	}
}

func rpcError(code, message string) string {
	return `{"jsonrpc":"2.0","error":{"code":` + code + `,"message":"` + message + `"},"id":null}`
}

// The answers are those of real servers, byte for byte.
func TestADeadSessionIs404(t *testing.T) {
	t.Parallel()
	w := open(t)
	handle := with("Mcp-Session-Id", w.begun("orders"))
	for name, does := range map[string]http.HandlerFunc{
		"as the protocol has it": answering(404, "", ""),
		"Go SDK":                 answering(404, "text/plain; charset=utf-8", "session not found\n"),
		"Go SDK, closing":        answering(404, "text/plain; charset=utf-8", "session is closing\n"),
		"TypeScript SDK":         answering(404, "application/json", rpcError("-32001", "Session not found")),
		"TypeScript SDK, fresh":  answering(400, "application/json", rpcError("-32000", "Bad Request: Server not initialized")),
		"server-everything":      answering(400, "application/json; charset=utf-8", `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":1}`),
		"server-everything, GET": answering(400, "application/json; charset=utf-8", `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}`),
		"Python SDK":             answering(404, "application/json", rpcError("-32600", "Session not found")),
		"Python SDK, older":      answering(400, "text/plain; charset=utf-8", "Bad Request: No valid session ID provided"),
		"mcp-go, older":          answering(400, "text/plain; charset=utf-8", "Invalid session ID\n"),
		"mcp-go, terminated":     answering(404, "text/plain; charset=utf-8", "Session terminated\n"),
		"404 as a stream":        answering(404, "text/event-stream", ": hello\n\n"),
		"404 that is long":       answering(404, "text/html", repeat("<p>", 4<<10)),
		"400 without a length": func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(400)
			_ = http.NewResponseController(rw).Flush()
			_, _ = io.WriteString(rw, "Bad Request: No valid session ID provided")
		},
	} {
		w.upstream.does(does)
		over := want{404, -31404, "forward", fault.NotFound, "the upstream no longer knows this session; initialize a new one", "shop", true}
		for method, call := range map[string]request{
			"request":      w.call(handle),
			"notification": w.call(handle, body(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)),
			"GET":          w.call(handle, get("/mcp/orders")),
			"DELETE":       w.call(handle, get("/mcp/orders"), func(r *request) { r.method = "DELETE" }),
		} {
			t.Run(name+"/"+method, func(t *testing.T) {
				w.in(t)
				if said := w.wantRefused(call, over); string(said.ID) != "null" {
					t.Errorf("id: got %s, want null: a call that is answered is no session that ended", said.ID)
				}
			})
		}
	}
	w.in(t)
}

// What an upstream says of something else reaches the agent as it is.
func TestOtherErrorsInASessionAreTheUpstreams(t *testing.T) {
	t.Parallel()
	w := open(t)
	inSession := with("Mcp-Session-Id", w.begun("orders"))
	without := func(*request) {}
	for name, c := range map[string]struct {
		session func(*request)
		status  int
		text    string
	}{
		"bad arguments":                 {inSession, 400, rpcError("-32602", "No valid session ID in arguments.session")},
		"our reading of a header":       {inSession, 400, rpcError("-32020", "session not found")},
		"a tool's own sessions":         {inSession, 400, rpcError("-32000", "Browser session not found")},
		"a protocol version":            {inSession, 400, "Bad Request: Unsupported protocol version (supported versions: 2025-11-25)\n"},
		"an Accept header":              {inSession, 400, "Accept must contain both 'application/json' and 'text/event-stream'\n"},
		"a session, as a JSON string":   {inSession, 400, `"Session not found"`},
		"nothing":                       {inSession, 400, ""},
		"JSON of another form":          {inSession, 400, `{"error":"Session not found"}`},
		"a text too long for an error":  {inSession, 400, "Session not found " + repeat("x", 5<<10)},
		"a method, under 404":           {inSession, 404, rpcError("-32601", "Method not found")},
		"a session, under 403":          {inSession, 403, "session user mismatch\n"},
		"a session, under 500":          {inSession, 500, rpcError("-32000", "Session not found")},
		"a missing session, with none":  {without, 400, rpcError("-32000", "Bad Request: Mcp-Session-Id header is required")},
		"an unknown session, with none": {without, 400, rpcError("-32000", "Bad Request: No valid session ID provided")},
		"a path, with none":             {without, 404, "404 page not found\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			w.upstream.does(answering(c.status, "application/json", c.text))
			got := w.do(w.call(c.session))
			if got.status != c.status || got.body != c.text || got.err != nil {
				t.Errorf("got %d %q, %v, want the upstream's %d %q", got.status, got.body, got.err, c.status, c.text)
			}
			if rec := w.outcome(w.lastAllowed().Call); rec.Status != c.status || rec.Fault != "" || rec.Bytes != int64(len(c.text)) {
				t.Errorf("outcome: got status %d, fault %q, %d bytes", rec.Status, rec.Fault, rec.Bytes)
			}
		})
	}
	w.in(t)
}

// An answer that is read for what it says is watched like one that is relayed.
func TestAnErrorThatDoesNotEndIsCut(t *testing.T) {
	t.Parallel()
	w := open(t)
	handle := with("Mcp-Session-Id", w.begun("orders"))
	begun := make(chan struct{})
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(400)
		_, _ = io.WriteString(rw, "Bad Request: No valid")
		_ = http.NewResponseController(rw).Flush()
		close(begun)
		<-r.Context().Done()
	})
	ended := make(chan answer, 1)
	go func() { ended <- w.do(w.call(handle)) }()
	recv(t, "the upstream's answer", begun)
	w.scan.state(w.id("shop"), "fail", time.Now())
	if got := recv(t, "the end of the call", ended); got.err == nil {
		t.Errorf("got %d %q, want an answer that is cut", got.status, got.body)
	}
	if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "denied" || !strings.Contains(rec.Reason, "no passing scan") {
		t.Errorf("outcome: got %q, %q", rec.Fault, rec.Reason)
	}
}

func TestSessionIDsThatAreNone(t *testing.T) {
	t.Parallel()
	w := open(t)
	bad := want{200, -31502, "forward", fault.BadUpstream, "session id is not one of at most 2048 visible ASCII characters", "shop", true}
	answers := func(ids ...string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			rw.Header()["Mcp-Session-Id"] = ids
			answerOK(rw, r)
		}
	}
	for name, ids := range map[string][]string{
		"a space": {"a b"}, "a tab": {"a\tb"}, "not ASCII": {"sitzung-ä"}, "not UTF-8": {"a\xffb"}, "too long": {repeat("x", 2049)},
		"two": {"a", "b"}, "one twice": {"a", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			w.upstream.does(answers(ids...))
			w.wantRefused(w.call(body(initialize)), bad)
		})
	}
	w.in(t)
	longest := repeat("~", 2048)
	w.upstream.does(answers(longest))
	handle := w.wantOK(w.call(body(initialize)), "result").header.Get("Mcp-Session-Id")
	w.upstream.does(answerOK)
	w.wantOK(w.call(with("Mcp-Session-Id", handle)), "result")
	if got := w.upstream.last(t).header.Get("Mcp-Session-Id"); got != longest || len(handle) > 3<<10 {
		t.Errorf("the longest: got %d bytes at the upstream by a handle of %d, want 2048 by at most 3072", len(got), len(handle))
	}
	// Plain HTTP has no such sessions.
	w.upstream.does(answers("a b"))
	w.wantOK(w.call(get("/http/api/x")), "result")
}

// client is an agent's HTTP client: it adds the token, and finds the broker
// where it is.
type client struct {
	base  http.Transport
	token string
	at    atomic.Pointer[string]
}

// RoundTrip implements http.RoundTripper.
func (c *client) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host, r.Host = *c.at.Load(), ""
	r.Header.Set("Authorization", "Bearer "+c.token)
	return c.base.RoundTrip(r)
}

func (c *client) connect(t *testing.T) *mcp.ClientSession {
	t.Helper()
	transport := &mcp.StreamableClientTransport{Endpoint: "http://broker/mcp/orders", HTTPClient: &http.Client{Transport: c}}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "shop", Version: "1"}, nil).Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.ListTools(t.Context(), nil); err != nil || session.ID() == "" {
		t.Fatalf("list: got %v in session %q, want a session", err, session.ID())
	}
	return session
}

// The Go SDK on both sides: its client learns that its server ended the session,
// and that a broker which was started anew knows it no longer.
func TestTheGoClientLearnsThatItsSessionEnded(t *testing.T) {
	t.Parallel()
	server := mcp.NewServer(&mcp.Implementation{Name: "orders", Version: "1"}, nil)
	at := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	defer at.Close()
	defer at.CloseClientConnections()
	w := open(t, func(s *setup) { s.Upstream, s.Limits = strings.TrimPrefix(at.URL, "http://"), "shutdown: 100ms" })
	c := &client{token: w.agent}
	defer c.base.CloseIdleConnections()
	c.at.Store(new(w.plain))
	wantMissing := func(session *mcp.ClientSession) {
		t.Helper()
		if _, err := session.ListTools(t.Context(), nil); !errors.Is(err, mcp.ErrSessionMissing) {
			t.Errorf("list: got %v, want that the session is missing", err)
		}
		_ = session.Close()
	}
	session := c.connect(t)
	for s := range server.Sessions() {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantMissing(session)
	session = c.connect(t)
	_ = w.stop() // it cuts the server's own stream, which the client has open
	w.openBroker(setup{})
	c.at.Store(new(w.plain))
	wantMissing(session)
	_ = c.connect(t).Close()
}
