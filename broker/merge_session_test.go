package broker_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

func mustQuote(t testing.TB, s string) []byte {
	t.Helper()
	quoted, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return quoted
}

const pingMessage = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

func TestASessionWithOneEndpointIsItsAgents(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	handle := s.begunHere()
	own := with("Mcp-Session-Id", handle)
	s.wantOK(s.call(to("/mcp"), own, body(pingMessage)), `"result":{}`)
	if got := s.do(s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","method":"notifications/initialized"}`))); got.status != http.StatusAccepted || got.body != "" {
		t.Errorf("initialized: got %d %q", got.status, got.body)
	}
	for what, c := range map[string]struct {
		r      request
		status int
	}{
		"another agent's":      {s.call(to("/mcp"), own, s.as("clerk"), body(pingMessage)), 404},
		"at a single upstream": {s.call(to("/mcp/odd"), own, body(pingMessage)), 404},
		"none":                 {s.call(to("/mcp"), body(pingMessage)), 400},
		"its own stream":       {s.call(get("/mcp"), own), 405},
		"to set a level":       {s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"debug"}}`)), 200},
		"to subscribe":         {s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"mintmark+odd:x"}}`)), 200},
		"to answer":            {s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":1,"result":{}}`)), 400},
		"a batch":              {s.call(to("/mcp"), own, body(`[`+pingMessage+`]`)), 400},
		"to listen":            {s.stateless("subscriptions/listen", "", "{"), 404},
		"its tasks":            {s.stateless("tasks/get", "x", `{"taskId":"x"`), 404},
		"a task":               {s.stateless("tools/call", "odd__x", `{"name":"odd__x","task":{}`), 400},
	} {
		if got := s.do(c.r); got.status != c.status || strings.Contains(got.body, `"result"`) {
			t.Errorf("%s: got %d %q, want %d", what, got.status, got.body, c.status)
		}
	}
	if got := s.do(s.call(get("/mcp"), method("DELETE"), own)); got.status != http.StatusOK {
		t.Errorf("end: got %d %q", got.status, got.body)
	}
}

func TestOneEndpointNegotiatesTheRevision(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	for asked, want := range map[string]string{"2025-03-26": "2025-03-26", "2025-11-25": "2025-11-25", "2024-11-05": "2025-11-25", "2026-07-28": "2025-11-25"} {
		s.wantOK(s.call(to("/mcp"), body(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"`+asked+`","capabilities":{}}}`)), `"protocolVersion":"`+want+`"`)
	}
}

// aging is a server with sessions by hand: it counts those that were begun, and
// knows one at a time.
type aging struct {
	begun, ended int
	current      string
	calls        func(w http.ResponseWriter, m rpc)
}

// serve makes s that server.
func (o *aging) serve(s *scripted) {
	s.handles("server/discover", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Bad Request", http.StatusBadRequest) })
	s.handles("initialize", func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		var m rpc
		_ = json.Unmarshal(content, &m)
		o.begun++
		o.current = fmt.Sprintf("session-%d", o.begun)
		w.Header().Set("Mcp-Session-Id", o.current)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"o","version":"1"}}}`))
	})
	s.handles("notifications/initialized", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	s.handles("", func(w http.ResponseWriter, r *http.Request) { // an answer, or the end
		if r.Method == http.MethodDelete {
			o.ended++
		}
		w.WriteHeader(http.StatusAccepted)
	})
	s.handles("tools/call", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Session-Id") != o.current || r.Header.Get("Mcp-Protocol-Version") != "2025-06-18" || r.Header.Get("Mcp-Name") != "" {
			http.Error(w, "session not found", http.StatusNotFound)
			return
		}
		content, _ := io.ReadAll(r.Body)
		var m rpc
		_ = json.Unmarshal(content, &m)
		o.calls(w, m)
	})
}

// What an upstream keeps in a session goes on over an agent's calls, and is no
// other's.
func TestOneEndpointHoldsTheSessionsOfUpstreams(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	o := &aging{calls: func(w http.ResponseWriter, m rpc) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":{"content":[]}}`))
	}}
	o.serve(s.odd)
	call := s.stateless("tools/call", "odd__x", `{"name":"odd__x"`)
	s.wantOK(call, `"resultType":"complete"`)
	s.wantOK(call, `"resultType":"complete"`)
	if o.begun != 1 {
		t.Errorf("one agent: got %d sessions, want 1", o.begun)
	}
	if got := s.odd.last(t, "tools/call"); strings.Contains(got.raw, "_meta") {
		t.Errorf("the upstream got %s, want nothing of another revision", got.raw)
	}
	o.current = "" // it forgets
	s.wantOK(call, `"resultType":"complete"`)
	if o.begun != 2 {
		t.Errorf("after it forgot: got %d sessions, want 2", o.begun)
	}
	known := o.current
	s.wantOK(s.stateless("tools/call", "odd__x", `{"name":"odd__x"`, s.as("clerk")), `"resultType":"complete"`)
	if o.begun != 3 || o.current == known {
		t.Errorf("another agent: got %d sessions, want 3", o.begun)
	}
	own := with("Mcp-Session-Id", s.begunHere())
	s.wantOK(s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"odd__x"}}`)), `"content":[]`)
	if got := s.do(s.call(get("/mcp"), method("DELETE"), own)); got.status != http.StatusOK || o.begun != 4 || o.ended != 1 {
		t.Errorf("end: got %d, %d begun, %d ended; want 200, 4, 1", got.status, o.begun, o.ended)
	}
}

// One agent can't have the sessions of another forgotten.
func TestOneEndpointHoldsSoManySessionsOfAWorkload(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	o := &aging{calls: func(w http.ResponseWriter, m rpc) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":{"content":[]}}`))
	}}
	o.serve(s.odd)
	clerk := s.stateless("tools/call", "odd__x", `{"name":"odd__x"`, s.as("clerk"))
	s.wantOK(clerk, "content")
	known := o.current
	for range 70 { // more than the broker holds of one workload
		own := with("Mcp-Session-Id", s.begunHere())
		s.wantOK(s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"odd__x"}}`)), "content")
	}
	o.current = known
	begun := o.begun
	s.wantOK(clerk, "content")
	if o.begun != begun {
		t.Error("the clerk's session was begun anew")
	}
}

// flowing begins a call at /mcp that odd answers with events.
func (s *several) flowing(r request) (*exchange, *events) {
	s.t.Helper()
	e := newEvents()
	s.odd.handles("tools/call", e.ServeHTTP)
	x := s.begin(r)
	if x.resp.StatusCode != 200 || x.resp.Header.Get("X-Accel-Buffering") != "no" {
		s.t.Fatalf("head of the stream: got %d with %v", x.resp.StatusCode, x.resp.Header)
	}
	return x, e
}

const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}`

func TestOneEndpointStreams(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	call := s.stateless("tools/call", "odd__x", `{"name":"odd__x"`)
	x, e := s.flowing(call)
	e.event(t, "data: "+progress+"\n\n")
	x.want("event: message\ndata: " + progress + "\n\n")
	e.event(t, ": anything, as a sign of life\n\n")
	x.want(": waiting\n\n")
	e.event(t, `data: {"jsonrpc":"2.0","id":"a","result":{"resultType":"input_required","requestState":"s"}}`+"\n\n")
	x.want(`event: message` + "\n" + `data: {"jsonrpc":"2.0","id":"a","result":{"resultType":"input_required","requestState":"s"}}` + "\n\n")
	recv(t, "the end of the upstream's request", e.left)

	x, e = s.flowing(call)
	s.scan.state(s.id("shop"), "fail", time.Now()) // and the stream is idle
	if got, _ := x.event(); !strings.Contains(got, `"id":"a"`) || !strings.Contains(got, "no passing scan") {
		t.Errorf("after the posture turned bad: got %q", got)
	}
	recv(t, "the end of the upstream's request", e.left)
	s.scan.state(s.id("shop"), "pass", time.Now())

	x, e = s.flowing(call)
	_ = x.conn.Close()
	recv(t, "the end of the upstream's request", e.left)
	s.await("the outcome", func() bool {
		all := s.recorded(audit.Filter{Kind: audit.Outcome})
		return all[len(all)-1].Reason == "the agent's connection ended before the answer was whole"
	})
}

// A server with sessions is told of what is no longer wanted, as the end of a
// connection tells it nothing.
func TestOneEndpointCallsOff(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	begun, told, free := make(chan string, 1), make(chan string, 1), make(chan struct{})
	defer close(free)
	o := &aging{calls: func(w http.ResponseWriter, m rpc) {
		begun <- string(m.ID)
		<-free
	}}
	o.serve(s.odd)
	s.odd.handles("notifications/cancelled", func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		told <- string(content)
		w.WriteHeader(http.StatusAccepted)
	})
	conn := s.write(s.stateless("tools/call", "odd__x", `{"name":"odd__x"`))
	id := recv(t, "the call", begun)
	_ = conn.Close()
	if got := recv(t, "the cancellation", told); !strings.Contains(got, `"requestId":`+id) {
		t.Errorf("got %s, want it to name %s", got, id)
	}
}

// A client with sessions can't repeat arguments in headers.
func TestOneEndpointListsWhatAClientCanCall(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	s.odd.answers("tools/list", func(rpc) string {
		return `{"tools":[{"name":"x","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"A"}}}},{"name":"y","inputSchema":{"type":"object"}}]}`
	})
	wantNames(t, "stateless", s.do(s.stateless("tools/list", "", "{")).merged(t).names(), "modern__link odd__x odd__y older__link")
	list := s.call(to("/mcp"), with("Mcp-Session-Id", s.begunHere()), body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	wantNames(t, "sessions", s.do(list).merged(t).names(), "modern__link odd__y older__link")
}

// Nobody can call at /mcp what can be called as a task only, whatever the client
// and the upstream speak.
func TestOneEndpointListsNoToolsThatNeedATask(t *testing.T) {
	t.Parallel()
	const tools = `{"tools":[{"name":"a","execution":{"taskSupport":"required"}},{"name":"b","execution":{"taskSupport":"optional"}},` +
		`{"name":"c","execution":{"taskSupport":"forbidden"}},{"name":"d","execution":{"tasksupport":"required"}},{"name":"e"}]}`
	for upstream, behaves := range map[string]func(*several){
		"stateless": func(s *several) { s.odd.answers("tools/list", func(rpc) string { return tools }) },
		"sessions": func(s *several) {
			(&aging{}).serve(s.odd)
			s.odd.answers("tools/list", func(rpc) string { return tools })
		},
	} {
		t.Run(upstream, func(t *testing.T) {
			s := openSeveral(t)
			behaves(s)
			wantNames(t, "stateless", s.do(s.stateless("tools/list", "", "{")).merged(t).names(), "modern__link odd__b odd__c odd__e older__link")
			list := s.call(to("/mcp"), with("Mcp-Session-Id", s.begunHere()), body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
			wantNames(t, "sessions", s.do(list).merged(t).names(), "modern__link odd__b odd__c odd__e older__link")
		})
	}
}

// A call that asks for a task is refused before anything is asked of the upstream,
// and an upstream learns of no client that could take one.
func TestOneEndpointCarriesNoTasks(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	own := with("Mcp-Session-Id", s.begunHere())
	for what, r := range map[string]request{
		"stateless":              s.stateless("tools/call", "odd__x", `{"name":"odd__x","task":{"ttl":1}`),
		"stateless, with a null": s.stateless("tools/call", "odd__x", `{"name":"odd__x","task":null`),
		"sessions":               s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"odd__x","task":{"ttl":1}}}`)),
		"a session's prompt":     s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"odd__x","task":{}}}`)),
	} {
		if said := s.do(r).refusal(t); said.Code != mcp.CodeInvalidParams || !strings.Contains(said.Text, "tasks are served at /mcp/NAME") {
			t.Errorf("%s: got %+v", what, said)
		}
	}
	if n := s.odd.taken(); n != 0 {
		t.Errorf("upstream: got %d messages, want none", n)
	}

	s.odd.answers("tools/call", func(rpc) string { return `{"resultType":"task","taskId":"t"}` })
	call := s.stateless("tools/call", "odd__x", `{"name":"odd__x"`)
	call.body = strings.Replace(call.body, `clientCapabilities":{}`, `clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{},"org.example/other":{}}}`, 1)
	inSession := s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"odd__x"}}`))
	for _, r := range []request{inSession, call} {
		if said := s.do(r).refusal(t); said.Kind != fault.BadUpstream.String() || !strings.Contains(said.Text, "tasks are served at /mcp/NAME") {
			t.Errorf("a task for an answer: got %+v", said)
		}
	}
	if got := s.odd.last(t, "tools/call").raw; strings.Contains(got, "/tasks") || !strings.Contains(got, "org.example/other") {
		t.Errorf("upstream: got %s, want the other extension alone", got)
	}
}

func TestAnAgentThatLeavesEndsTheListsOfOneEndpoint(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	e := newEvents()
	s.odd.handles("tools/list", e.ServeHTTP)
	conn := s.write(s.stateless("tools/list", "", "{"))
	e.event(t, "data: "+progress+"\n\n")
	_ = conn.Close()
	recv(t, "the end of the upstream's request", e.left)
	s.await("the outcomes", func() bool { return len(s.ownOutcomes("tools/list")) == 1 })
	own := s.ownOutcomes("tools/list")[0]
	if own.Reason != "the agent's connection ended before the answer was whole" {
		t.Errorf("outcome: got %+v", own)
	}
}

// A list that stops halfway holds nothing up for longer than its time: this one
// is never whole.
func TestAListThatStopsHalfwayIsMissing(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	// Time enough for the question to get there, however busy the machine.
	if err := s.change("mintmark.yaml", "timeout: 200ms", "timeout: 3s, protocol: stateless"); err != nil {
		t.Fatal(err)
	}
	e := newEvents()
	s.upstream.does(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Method") == "tools/list" {
			e.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"mintmark","result":{"supportedVersions":["2026-07-28"]}}`)
	})
	got := s.wantOK(s.stateless("tools/list", "", "{"), "modern__link").merged(t)
	wantNames(t, "unavailable", got.Result.Meta.Unavailable, "dead slow")
	recv(t, "the end of the upstream's request", e.left)
}

// Neither does it while the broker tells a server with sessions that nobody waits
// for its list, and that one is as slow to take it.
func TestACancellationThatIsNotTakenHoldsUpNoList(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	// It is the list's time that is over, and never the server's for its answer: the
	// call ends with whichever comes first, and a server is not told of its own.
	if err := s.change("mintmark.yaml", "  odd: {", "  odd: {timeout: 1m, "); err != nil {
		t.Fatal(err)
	}
	(&aging{}).serve(s.odd)
	asked, told := make(chan struct{}, 8), make(chan struct{}, 8)
	hangs := func(on chan<- struct{}) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			on <- struct{}{}
			<-r.Context().Done()
		}
	}
	s.odd.handles("tools/list", hangs(asked))
	s.odd.handles("notifications/cancelled", hangs(told))
	// Its time may be over before the session is begun, which goes on: the next list
	// finds that.
	s.await("a list that reaches the server", func() bool {
		got := s.wantOK(s.stateless("tools/list", "", "{"), "modern__link").merged(t)
		wantNames(t, "unavailable", got.Result.Meta.Unavailable, "dead odd slow")
		return len(asked) > 0
	})
	recv(t, "the cancellation", told)
	var ends []string
	s.await("the end of the cancellation", func() bool {
		ends = nil
		for r, err := range audit.Query(s.logDir(), audit.Filter{Kind: audit.Outcome}) {
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, strings.TrimSpace(r.Method+" "+r.Upstream))
		}
		return slices.Contains(ends, "notifications/cancelled odd")
	})
	slices.Reverse(ends) // the last list is the one that got there
	if list, tell := slices.Index(ends, "tools/list"), slices.Index(ends, "notifications/cancelled odd"); list < tell {
		t.Errorf("got the ends of %q, the last first, want the list's before the broker no longer tries to tell the server", ends)
	}
}

func TestOneEndpointCancelsInASession(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	own := with("Mcp-Session-Id", s.begunHere())
	call := s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","id":"\u0061","method":"tools/call","params":{"name":"odd__x"}}`))
	x, e := s.flowing(call)
	if got := s.do(call); got.status != 400 {
		t.Errorf("the same id: got %d %q, want 400", got.status, got.body)
	}
	if got := s.do(s.call(to("/mcp"), own, body(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}`))); got.status != 202 {
		t.Errorf("cancelled: got %d %q", got.status, got.body)
	}
	recv(t, "the end of the upstream's request", e.left)
	if got, _ := x.event(); got != "" {
		t.Errorf("got %q, want no answer", got)
	}
	x, e = s.flowing(call)
	if got := s.do(s.call(get("/mcp"), method("DELETE"), own)); got.status != http.StatusOK {
		t.Errorf("end: got %d %q", got.status, got.body)
	}
	recv(t, "the end of the upstream's request", e.left)
	_ = x
}

// Each entry is judged, which all that are listed wait for, so that an upstream may
// list so many on a page.
func TestAnUpstreamThatListsTooMuch(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	for n, missing := range map[int]bool{4096: false, 4097: true} {
		tools := make([]string, n)
		for i := range tools {
			tools[i] = fmt.Sprintf(`{"name":"t%d"}`, i)
		}
		s.odd.answers("tools/list", func(rpc) string { return `{"resultType":"complete","tools":[` + strings.Join(tools, ",") + `]}` })
		got := s.wantOK(s.stateless("tools/list", "", "{"), `"io.mintmark/unavailable"`)
		if got := slices.Contains(got.merged(t).Result.Meta.Unavailable, "odd"); got != missing {
			t.Errorf("%d entries: got it missing: %t, want %t", n, got, missing)
		}
	}
}
