//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/internal/testenv"
)

// everything registers the MCP server of that name, which asks for no
// credential, and lets both agents use it.
func (w *world) everything(t *testing.T) *mintmark {
	t.Helper()
	return w.serve(t, site{
		config: fmt.Sprintf(`
upstreams:
  everything: {url: %q, unauthenticated: true}
`, testenv.Everything(t).URL),
		policies: permitShop + strings.ReplaceAll(strings.ReplaceAll(permitShop, shopID, rivalID), `"shop"`, `"rival"`),
	})
}

// The revisions with sessions pass whole: SSE answers, progress, what the
// server asks its client, the GET stream, and the end of the session.
func testSessions(t *testing.T, w *world) {
	m := w.everything(t)
	progress, sampled, logged := make(chan float64, 16), make(chan string, 1), make(chan string, 16)
	client := listener(progress, sampled, logged)
	for name, e := range map[string]evidence{"certificate": {id: shopID}, "token": {id: shopID, bearer: true}} {
		t.Run(name, func(t *testing.T) {
			session := m.agent(t, e).connectIn(t, "2025-11-25", "everything", client)
			if v := session.InitializeResult().ProtocolVersion; v != "2025-11-25" || session.ID() == "" {
				t.Errorf("session: got revision %s and id %q, want one with sessions", v, session.ID())
			}
			tools, err := session.ListTools(t.Context(), nil)
			if err != nil || !slices.ContainsFunc(tools.Tools, func(tool *mcp.Tool) bool { return tool.Name == "echo" }) {
				t.Errorf("list tools: got %v, %v, want echo among them", tools, err)
			}
			if got := call(t, session, "echo", map[string]any{"message": "hello"}); got != "Echo: hello" {
				t.Errorf("echo: got %q", got)
			}
			wantProgress(t, session, progress)
			if got := call(t, session, "trigger-sampling-request", map[string]any{"prompt": "say"}); !strings.Contains(got, "from the agent") {
				t.Errorf("sampling: got %q, want the client's answer", got)
			}
			if got := recv(t, "the server's request", sampled); !strings.Contains(got, "say") {
				t.Errorf("sampling request: got %q", got)
			}
			// What the server says by itself comes on the GET stream.
			call(t, session, "toggle-simulated-logging", map[string]any{})
			for !strings.Contains(recv(t, "the server's log", logged), "message - SessionId") {
			}
			m.wantSessionEnds(t, session)
		})
	}
	var methods []string
	for _, r := range m.records(t, "--kind", "decision", "--outcome", "allow") {
		methods = append(methods, r.Method)
	}
	for _, method := range []string{"initialize", "notifications/initialized", "stream", "tools/list", "tools/call", "response", "end"} {
		if !slices.Contains(methods, method) {
			t.Errorf("records: got methods %v, want %s among them", methods, method)
		}
	}
}

// listener hears what a server says to its client, and answers what it asks.
//
//nolint:staticcheck // sampling and logging are deprecated, and in use where there are sessions
func listener(progress chan<- float64, sampled, logged chan<- string) *mcp.ClientOptions {
	return &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { progress <- r.Params.Progress },
		LoggingMessageHandler:       func(_ context.Context, r *mcp.LoggingMessageRequest) { logged <- fmt.Sprint(r.Params.Data) },
		CreateMessageHandler: func(_ context.Context, r *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			sampled <- r.Params.Messages[0].Content.(*mcp.TextContent).Text
			return &mcp.CreateMessageResult{Model: "none", Role: "assistant", Content: &mcp.TextContent{Text: "from the agent"}}, nil
		},
	}
}

// wantProgress calls a tool that tells how far it is, over and over: streams of
// several messages are where proxies hang once in a while.
func wantProgress(t *testing.T, session *mcp.ClientSession, progress <-chan float64) {
	t.Helper()
	for n := range 20 {
		params := &mcp.CallToolParams{Name: "trigger-long-running-operation", Arguments: map[string]any{"duration": 0.03, "steps": 3}}
		params.SetProgressToken(fmt.Sprint("p", n))
		if result, err := session.CallTool(t.Context(), params); err != nil || !strings.Contains(textOf(result), "completed") {
			t.Fatalf("long call %d: got %v, %v", n, result, err)
		}
		for want := 1.0; want <= 3; want++ {
			if got := recv(t, "progress", progress); got != want {
				t.Errorf("call %d: got progress %v, want %v", n, got, want)
			}
		}
	}
}

// wantSessionEnds ends a session, after which its handle opens nothing.
func (m *mintmark) wantSessionEnds(t *testing.T, session *mcp.ClientSession) {
	t.Helper()
	handle := session.ID()
	if err := session.Close(); err != nil {
		t.Fatalf("end session: %v", err)
	}
	end := m.last(t, "--kind", "decision", "--upstream", "everything", "--outcome", "allow")
	if end.Method != "end" || m.outcome(t, end).Status != http.StatusOK {
		t.Errorf("end of session: got record %+v, want the upstream to have ended it", end)
	}
	// The server at hand says 400 where the specification says 404, on which
	// alone clients begin a new session.
	got := m.agent(t, evidence{id: shopID}).message(t, "everything", handle, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	if got.status != http.StatusNotFound || !strings.Contains(got.body, "no longer knows this session") {
		t.Errorf("ended session: got %d %s, want 404", got.status, got.body)
	}
	dead := m.last(t, "--kind", "decision", "--upstream", "everything", "--outcome", "allow")
	if o := m.outcome(t, dead); o.Status != http.StatusNotFound || o.Fault != "not_found" || o.Step != "forward" {
		t.Errorf("ended session: got outcome %+v, want not_found", o)
	}
}

// message posts one message in a session.
func (a *agent) message(t *testing.T, upstream, handle, body string) answer {
	t.Helper()
	headers := http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {"2025-11-25"},
	}
	if handle != "" {
		headers.Set("Mcp-Session-Id", handle)
	}
	return a.do(t, http.MethodPost, "/mcp/"+upstream, body, headers)
}

// A session is a handle of its agent: nobody else's requests reach it, and a
// made-up one is none.
func testSessionOfAnother(t *testing.T, w *world) {
	m := w.everything(t)
	shop, rival := m.agent(t, evidence{id: shopID, bearer: true}), m.agent(t, evidence{id: rivalID, bearer: true})
	session := shop.connectIn(t, "2025-11-25", "everything", nil)
	const list = `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`
	if got := shop.message(t, "everything", session.ID(), list); got.status != http.StatusOK || !strings.Contains(got.body, `"echo"`) {
		t.Errorf("its own agent: got %d %s, want the list", got.status, got.body)
	}
	altered := []byte(session.ID())
	altered[3] ^= 1
	for name, try := range map[string]struct {
		agent          *agent
		method, handle string
	}{
		"another agent's POST":   {rival, http.MethodPost, session.ID()},
		"another agent's GET":    {rival, http.MethodGet, session.ID()},
		"another agent's DELETE": {rival, http.MethodDelete, session.ID()},
		"an unknown session":     {shop, http.MethodPost, "5e55-10n"},
		"an altered handle":      {shop, http.MethodPost, string(altered)},
	} {
		var got answer
		if try.method == http.MethodPost {
			got = try.agent.message(t, "everything", try.handle, list)
		} else {
			got = try.agent.do(t, try.method, "/mcp/everything", "", http.Header{"Mcp-Session-Id": {try.handle}, "Accept": {"text/event-stream"}})
		}
		if got.status != http.StatusNotFound || !strings.Contains(got.body, "unknown session") {
			t.Errorf("%s: got %d %s, want 404 by the broker", name, got.status, got.body)
		}
	}
	if got := call(t, session, "echo", map[string]any{"message": "still here"}); got != "Echo: still here" {
		t.Errorf("after the others' tries: got %q", got)
	}
	denied := m.last(t, "--kind", "decision", "--agent", rivalID)
	if denied.Allow || denied.Fault != "not found" && denied.Fault != "not_found" {
		t.Errorf("record: got %+v, want the other agent's try", denied)
	}
	_ = session.Close()
}

// The revision without sessions passes as it is: its headers, and nothing of
// the other.
func testStateless(t *testing.T, w *world) {
	server := newServer()
	mcp.AddTool(server, &mcp.Tool{Name: "größe"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "42"}}}, nil, nil
	})
	sized := newUpstream(t, stateless(server))
	m := w.serve(t, site{policies: permitShop, config: fmt.Sprintf("\nupstreams:\n  sized: {url: %q, unauthenticated: true}\n", sized.url)})
	session := m.agent(t, evidence{id: shopID}).connect(t, "sized", nil)
	if v := session.InitializeResult().ProtocolVersion; v != "2026-07-28" || session.ID() != "" {
		t.Errorf("session: got revision %s and id %q, want the one without", v, session.ID())
	}
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) != 2 {
		t.Errorf("list tools: got %v, %v, want both", tools, err)
	}
	if got := call(t, session, "headers", nil); !strings.Contains(got, `"Mcp-Name":["headers"]`) {
		t.Errorf("upstream: got %s, want the name in its header", got)
	}
	for _, r := range sized.requests() {
		if r.Header.Get("Mcp-Protocol-Version") != "2026-07-28" || r.Header.Get("Mcp-Method") == "" || r.Header["Mcp-Session-Id"] != nil {
			t.Errorf("upstream: got %v, want the headers of the stateless revision", r.Header)
		}
	}
	if decision := m.last(t, "--kind", "decision", "--outcome", "allow"); decision.Tool != "headers" || decision.Method != "tools/call" {
		t.Errorf("record: got %+v, want the call of the tool", decision)
	}
}
