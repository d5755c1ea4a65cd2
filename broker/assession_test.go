package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

const initializeAsking = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18",` +
	`"capabilities":{"elicitation":{}},"clientInfo":{"name":"shop","version":"1"}}}`

// The client of the SDK, held to the revisions with sessions, finds all that a
// stateless upstream has.
func TestASessionOnAStatelessUpstream(t *testing.T) {
	t.Parallel()
	for _, upstream := range []string{"modern", "stateless"} {
		for _, revision := range []string{"2025-03-26", "2025-06-18", "2025-11-25"} {
			t.Run(upstream+" "+revision, func(t *testing.T) {
				s := newStateless(t)
				w := modern(t, s)
				wantWhole(t, w, upstream, revision)
				for _, r := range s.requests("tools/call") {
					if r.header.Get("Mcp-Session-Id") != "" || r.header.Get("Mcp-Name") != "lookup_order" ||
						!strings.Contains(r.body, `"io.modelcontextprotocol/clientInfo":{"name":"shop-client","version":"2"}`) {
						t.Errorf("upstream: got %+v", r)
					}
				}
			})
		}
	}
}

func wantWhole(t *testing.T, w *world, upstream, revision string) {
	progress := make(chan float64, 8)
	c := w.client(upstream, revision, &mcp.ClientOptions{ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
		progress <- r.Params.Progress
	}})
	begun := c.InitializeResult()
	if begun.ProtocolVersion != revision || begun.ServerInfo.Name != "orders" || begun.Instructions != "look up before you refund" || c.ID() == "" {
		t.Errorf("initialize: got %+v", begun)
	}
	if got := begun.Capabilities; got.Tools == nil || got.Tools.ListChanged || got.Resources.Subscribe || got.Completions == nil {
		t.Errorf("capabilities: got %+v", got)
	}
	tools, err := c.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools.Tools {
		if !strings.HasPrefix(tool.Name, "lookup_") {
			t.Errorf("tools: got %s, which this agent may not call", tool.Name)
		}
	}
	if len(tools.Tools) != 7 {
		t.Errorf("tools: got %d, want 7", len(tools.Tools))
	}
	wantRead(t, c, upstream)
	params := &mcp.CallToolParams{Name: "lookup_order", Arguments: map[string]any{"order": 7}}
	params.SetProgressToken("p")
	if got, err := c.CallTool(t.Context(), params); err != nil || got.Content[0].(*mcp.TextContent).Text != `order {"order":7}` {
		t.Errorf("call: got %+v, %v", got, err)
	}
	for n := range 2 {
		if got := recv(t, "progress", progress); got != float64(n+1) {
			t.Errorf("progress: got %v", got)
		}
	}
	if err := c.Ping(t.Context(), nil); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// wantRead asks for prompts and resources.
func wantRead(t *testing.T, c *mcp.ClientSession, upstream string) {
	t.Helper()
	prompts, err := c.ListPrompts(t.Context(), nil)
	if want := map[string]int{"modern": 1, "stateless": 2}[upstream]; err != nil || len(prompts.Prompts) != want {
		t.Errorf("prompts: got %+v, %v, want %d", prompts, err, want)
	}
	if got, err := c.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "greeting"}); err != nil || got.Description != "greets" {
		t.Errorf("prompt: got %+v, %v", got, err)
	}
	if got, err := c.ListResources(t.Context(), nil); err != nil || len(got.Resources) != 1 {
		t.Errorf("resources: got %+v, %v", got, err)
	}
	if got, err := c.ListResourceTemplates(t.Context(), nil); err != nil || len(got.ResourceTemplates) != 0 {
		t.Errorf("templates: got %+v, %v", got, err)
	}
	if got, err := c.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "order://7"}); err != nil || got.Contents[0].Text != "seven boxes" {
		t.Errorf("resource: got %+v, %v", got, err)
	}
	completed, err := c.Complete(t.Context(), &mcp.CompleteParams{
		Ref: &mcp.CompleteReference{Type: "ref/prompt", Name: "greeting"}, Argument: mcp.CompleteParamsArgument{Name: "n", Value: "s"},
	})
	if err != nil || !slices.Equal(completed.Completion.Values, []string{"seven"}) {
		t.Errorf("completion: got %+v, %v", completed, err)
	}
}

func TestAnAgentsClientIsAskedForInput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ action, want string }{{"accept", "second seven, seven"}, {"decline", "declined"}, {"cancel", "declined"}} {
		t.Run(c.action, func(t *testing.T) {
			s := newStateless(t)
			w := modern(t, s)
			client := w.client("modern", "2025-11-25", &mcp.ClientOptions{ElicitationHandler: func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
				result := &mcp.ElicitResult{Action: c.action}
				if c.action == "accept" {
					key, _ := strings.CutPrefix(strings.TrimSuffix(r.Params.Message, "?"), "which ")
					result.Content = map[string]any{key: "seven"}
				}
				return result, nil
			}})
			got, err := client.CallTool(t.Context(), &mcp.CallToolParams{Name: "lookup_ask", Arguments: map[string]any{"order": 7}})
			if err != nil || got.Content[0].(*mcp.TextContent).Text != c.want {
				t.Fatalf("call: got %+v, %v, want %q", got, err, c.want)
			}
			wantRounds(t, w, s)
		})
	}
}

// wantRounds looks at what reached the upstream: the same call under ever new
// ids, each decided on its own.
func wantRounds(t *testing.T, w *world, s *stateless) {
	t.Helper()
	ids := map[string]bool{}
	rounds := s.requests("tools/call")
	for _, r := range rounds {
		var m struct {
			ID     json.RawMessage
			Params struct{ Arguments json.RawMessage }
		}
		mustJSON(t, []byte(r.body), &m)
		if ids[string(m.ID)] || string(m.Params.Arguments) != `{"order":7}` {
			t.Errorf("round: got %s", r.body)
		}
		ids[string(m.ID)] = true
	}
	call := w.lastAllowedOf("tools/call").Call
	decisions := w.records(audit.Filter{Kind: audit.Decision, Call: call}, len(rounds))
	for _, d := range decisions {
		if !d.Allow || d.Method != "tools/call" || d.Tool != "lookup_ask" || d.Session == "" || d.Credential == "" {
			t.Errorf("decision: got %+v", d)
		}
	}
	w.records(audit.Filter{Kind: audit.Outcome, Call: call}, len(rounds))
}

func (w *world) lastAllowedOf(method string) (last audit.Record) {
	w.t.Helper()
	for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Decision, Outcome: "allow"}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Method == method {
			last = r
		}
	}
	return last
}

// asked begins a call that needs input, and returns the id it is asked by.
func (w *world) asked(handle string) (*exchange, string) {
	w.t.Helper()
	x := w.begin(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), body(toolCall("lookup_ask"))))
	return x, x.request("elicitation/create")
}

// request reads an event that asks the client for something.
func (x *exchange) request(method string) string {
	x.t.Helper()
	event, err := x.event()
	if err != nil {
		x.t.Fatalf("event: got %q, %v", event, err)
	}
	var m struct{ ID, Method string }
	_, data, _ := strings.Cut(event, "data: ")
	mustJSON(x.t, []byte(data), &m)
	if m.Method != method || len(m.ID) < 26 {
		x.t.Fatalf("event: got %q, want %s", event, method)
	}
	return m.ID
}

func accepting(id, key string) func(*request) {
	return body(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":{"action":"accept","content":{%q:"s"}}}`, id, key))
}

// A handle and an id that others know serve them nothing.
func TestOnlyTheSessionThatIsAskedAnswers(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, s)
	handle := w.session("modern", initializeAsking)
	x, id := w.asked(handle)
	clerk := with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{}))
	clerks := w.session("modern", initializeAsking, clerk)
	others := w.session("modern", initializeAsking)
	answer := func(handle string, more ...func(*request)) request {
		return w.call(append([]func(*request){to("/mcp/modern"), with("Mcp-Session-Id", handle), accepting(id, "name")}, more...)...)
	}
	for _, c := range []struct {
		what   string
		r      request
		status int
	}{
		{"another agent with the handle", answer(handle, clerk), 404},
		{"another agent in a session of its own", answer(clerks, clerk), 400},
		{"another session of the agent", answer(others), 400},
		{"another upstream", answer(handle, to("/mcp/stateless")), 404},
		{"another id", answer(handle, accepting(id+"x", "name")), 400},
		{"no object", answer(handle, body(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":7}`, id))), 400},
	} {
		got := w.do(c.r)
		if got.status != c.status || got.refusal(t).Call == "" {
			t.Errorf("%s: got %d %q, want %d", c.what, got.status, got.body, c.status)
		}
		if c.what == "no object" && !strings.Contains(got.body, "expected the result to be an object, got a number") {
			t.Errorf("%s: got %q", c.what, got.body)
		}
	}
	if got := w.do(answer(handle)); got.status != 202 {
		t.Fatalf("its own: got %d %q", got.status, got.body)
	}
	if got := w.do(answer(handle)); got.status != 400 {
		t.Errorf("the same twice: got %d %q", got.status, got.body)
	}
	second := x.request("elicitation/create")
	if got := w.do(answer(handle, accepting(second, "size"))); got.status != 202 {
		t.Fatalf("second round: got %d %q", got.status, got.body)
	}
	if event, err := x.event(); err != nil || !strings.Contains(event, `"id":1,"result":`) || !strings.Contains(event, "second s, s") {
		t.Errorf("answer: got %q, %v", event, err)
	}
	if rest, err := io.ReadAll(x.body); err != nil || len(rest) != 0 {
		t.Errorf("end: got %q, %v", rest, err)
	}
}

// What can't be asked for ends the call with a reason, and so does a client that
// answers with an error.
func TestInputThatIsNotToBeHadEndsTheCall(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, s)
	call := func(handle, tool string) request {
		return w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), body(toolCall(tool)))
	}
	silent := w.session("modern", strings.Replace(initializeAsking, `"elicitation":{}`, "", 1))
	if got := w.do(call(silent, "lookup_ask")); !strings.Contains(got.body, `"code":-31502`) || !strings.Contains(got.body, "got a request for elicitation/create") {
		t.Errorf("a client without elicitation: got %q", got.body)
	}
	handle := w.session("modern", initializeAsking)
	if got := w.do(call(handle, "lookup_url")); !strings.Contains(got.body, `"code":-31502`) || !strings.Contains(got.body, "elicitation by URL") {
		t.Errorf("a client without URLs: got %q", got.body)
	}
	x, id := w.asked(handle)
	refused := body(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"error":{"code":-1,"message":"no"}}`, id))
	if got := w.do(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), refused)); got.status != 202 {
		t.Fatalf("the error: got %d %q", got.status, got.body)
	}
	if event, err := x.event(); err != nil || !strings.Contains(event, "the client answered elicitation/create with an error") {
		t.Errorf("answer: got %q, %v", event, err)
	}
	if rec := w.outcome(w.lastAllowedOf("tools/call").Call); rec.Fault != "invalid" {
		t.Errorf("outcome: got %+v", rec)
	}
}

// A client that is asked and does not answer keeps nothing for longer than a person
// may take: the call ends with the reason, and what comes later is no answer.
func TestInputThatDoesNotComeInTimeEndsTheCall(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, s, func(s *setup) { s.InputTime = 300 * time.Millisecond })
	handle := w.session("modern", initializeAsking)
	x, id := w.asked(handle)
	event, err := x.event()
	if err != nil || !strings.Contains(event, `"id":1,`) || !strings.Contains(event, `"code":-31503`) || !strings.Contains(event, "did not give the input that the upstream asked for in time") {
		t.Fatalf("answer: got %q, %v", event, err)
	}
	if rest, err := io.ReadAll(x.body); err != nil || len(rest) != 0 {
		t.Errorf("end: got %q, %v", rest, err)
	}
	if rec := w.outcome(w.lastAllowedOf("tools/call").Call); rec.Fault != "unavailable" || !strings.Contains(rec.Reason, "in time") {
		t.Errorf("outcome: got %+v", rec)
	}
	if got := w.do(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), accepting(id, "name"))); got.status != 400 {
		t.Errorf("an answer that comes late: got %d %q", got.status, got.body)
	}
	w.await("the end of the call", func() bool { return w.broker.Waiting() == 0 })
	if _, again := w.asked(handle); again == id {
		t.Error("the same id twice")
	}
}

func TestAnUpstreamThatAsksForEverIsLeft(t *testing.T) {
	t.Parallel()
	w := modern(t, newStateless(t))
	asked := 0
	client := w.client("modern", "2025-06-18", &mcp.ClientOptions{ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
		asked++
		return &mcp.ElicitResult{Action: "accept", Content: map[string]any{}}, nil
	}})
	_, err := client.CallTool(t.Context(), &mcp.CallToolParams{Name: "lookup_for_ever"})
	if err == nil || !strings.Contains(err.Error(), "the upstream asked for input too often") || asked != 15 {
		t.Errorf("got %v after %d times", err, asked)
	}
}

func TestMasksACredentialInABridgedAnswer(t *testing.T) {
	t.Parallel()
	w := modern(t, newStateless(t))
	got, err := w.client("modern", "2025-06-18", nil).CallTool(t.Context(), &mcp.CallToolParams{Name: "lookup_secret"})
	if err != nil || !strings.HasPrefix(got.Content[0].(*mcp.TextContent).Text, "got Bearer ****") {
		t.Errorf("call: got %+v, %v", got, err)
	}
	if rec := w.outcome(w.lastAllowedOf("tools/call").Call); rec.ScrubHits != 1 {
		t.Errorf("outcome: got %d hits, want 1", rec.ScrubHits)
	}
}

func TestABridgedHandleOpensForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	w := modern(t, newStateless(t))
	handle, native := w.session("modern", initializeAsking), w.begun("orders")
	clerk := with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{}))
	list := body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	unknown := want{404, -31404, "receive", fault.NotFound, "unknown session", "shop", false}
	anothers := unknown
	anothers.agent = "clerk"
	w.run(t, []row{
		{"another agent", w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), list, clerk), anothers},
		{"another upstream", w.call(to("/mcp/orders"), with("Mcp-Session-Id", handle), list), unknown},
		{"another stateless upstream", w.call(to("/mcp/stateless"), with("Mcp-Session-Id", handle), list), unknown},
		{"of an upstream's own session", w.call(to("/mcp/stateless"), with("Mcp-Session-Id", native), list), unknown},
		{"none", w.call(to("/mcp/stateless"), list), want{400, -32600, "receive", fault.Invalid, "expected the header Mcp-Session-Id", "shop", false}},
		{"a stream for another agent", w.call(get("/mcp/modern"), with("Mcp-Session-Id", handle), clerk), anothers},
		{"the end by another agent", w.call(get("/mcp/modern"), method("DELETE"), with("Mcp-Session-Id", handle), clerk), anothers},
	})
}

// What can't keep its meaning says so, and nothing of it reaches the upstream.
func TestWhatHasNoCounterpartIsRefused(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, s)
	if err := w.change("policies.cedar", "@id(\"modern-shop-reads\")", "@id(\"all\")\npermit (principal, action, resource) when { resource in Upstream::\"modern\" };\n@id(\"modern-shop-reads\")"); err != nil {
		t.Fatal(err)
	}
	handle := w.session("modern", initializeAsking)
	for method, params := range map[string]string{
		"resources/subscribe": `{"uri":"order://7"}`, "resources/unsubscribe": `{"uri":"order://7"}`,
		"logging/setLevel": `{"level":"info"}`, "tasks/list": `{}`, "tasks/get": `{"taskId":"t"}`, "server/discover": `{}`, "subscriptions/listen": `{}`,
	} {
		got := w.do(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), body(fmt.Sprintf(`{"jsonrpc":"2.0","id":5,"method":%q,"params":%s}`, method, params))))
		if said := got.refusal(t); got.status != 200 || said.Code != -32601 || string(said.ID) != "5" || !strings.Contains(said.Text, "where "+method+" has no counterpart") {
			t.Errorf("%s: got %d %q", method, got.status, got.body)
		}
		if n := len(s.requests(method)); n > 1 || n == 1 && method != "server/discover" {
			t.Errorf("%s: %d reached the upstream", method, n)
		}
	}
	if got := w.do(w.call(get("/mcp/modern"), with("Mcp-Session-Id", handle))); got.status != 405 || got.header.Get("Allow") != "POST, DELETE" {
		t.Errorf("stream: got %d %v", got.status, got.header)
	}
	if got := w.do(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), body(toolCall("lookup_error")))); got.status != 200 || !strings.Contains(got.body, "no such order") {
		t.Errorf("an upstream's error: got %d %q", got.status, got.body)
	}
}

// Evidence that ends on the way to the upstream is asked for as any other.
func TestEvidenceThatEndsOnTheWayIsAskedFor(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	s := newScripted()
	w := modern(t, s, func(s *setup) { s.Clock = func() time.Time { return time.Now().Add(time.Duration(later.Load())) } })
	w.agent = w.token(w.domain, "shop", trustdomain.JWTRequest{Lifetime: 10 * time.Minute})
	handle := w.session("modern", initializeAsking)
	later.Store(int64(6 * time.Minute)) // so that the upstream is asked for its era again
	s.answers("server/discover", func(rpc) string {
		later.Store(int64(20 * time.Minute))
		return `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}`
	})
	got := w.do(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), body(question("tools/list"))))
	if got.status != http.StatusUnauthorized || !strings.HasPrefix(got.header.Get("Www-Authenticate"), "Bearer") {
		t.Errorf("got %d %q, want 401 with a challenge", got.status, got.header.Get("Www-Authenticate"))
	}
}

// A denied call is refused as it is anywhere, by one record.
func TestADeniedCallIsNotBridged(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, s)
	handle := w.session("modern", initializeAsking)
	got := w.do(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), body(toolCall("refund_one"))))
	said := got.refusal(t)
	if got.status != 200 || said.Code != -31403 || len(s.requests("tools/call")) != 0 {
		t.Errorf("got %d %q", got.status, got.body)
	}
	if rec := w.decision(said.Call); rec.Allow || rec.Tool != "refund_one" || rec.Session == "" {
		t.Errorf("decision: got %+v", rec)
	}
}

// An upstream that refuses initialize for another reason than its era keeps its
// own words.
func TestARefusalOfInitializeByAnUpstreamWithSessionsStands(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"closed on sundays"}}`)
	})
	if got := w.do(w.call(body(initializeAsking))); got.status != 400 || !strings.Contains(got.body, "closed on sundays") || got.header.Get("Mcp-Session-Id") != "" {
		t.Errorf("got %d %q", got.status, got.body)
	}
}
