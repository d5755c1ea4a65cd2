package broker_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/broker/audit"
	"mintmark/internal/trustdomain"
)

// older is an MCP server that keeps sessions, of the Go SDK.
type older struct {
	server *mcp.Server
	inner  atomic.Pointer[mcp.StreamableHTTPHandler]

	mu       sync.Mutex
	requests []olderRequest
	begun    chan struct{} // lookup_hang was called
	ended    chan error    // and what ended it
}

// olderRequest is a request as it reached the server.
type olderRequest struct {
	method  string // of HTTP
	header  http.Header
	body    string
	session string // that it was made in, or that it began
}

func newOlder() *older {
	o := &older{begun: make(chan struct{}, 8), ended: make(chan error, 8)}
	o.server = mcp.NewServer(&mcp.Implementation{Name: "older", Version: "3"}, &mcp.ServerOptions{Instructions: "ask politely",
		CompletionHandler: func(context.Context, *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{"monday"}}}, nil
		}})
	type in struct {
		Order string `json:"order,omitempty"`
	}
	add := func(name string, do func(context.Context, *mcp.CallToolRequest, string) (string, error)) {
		mcp.AddTool(o.server, &mcp.Tool{Name: name}, func(ctx context.Context, r *mcp.CallToolRequest, i in) (*mcp.CallToolResult, any, error) {
			text, err := do(ctx, r, i.Order)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, err
		})
	}
	add("lookup_order", func(_ context.Context, _ *mcp.CallToolRequest, order string) (string, error) { return "order " + order, nil })
	add("lookup_slow", o.slow)
	add("lookup_ask", func(ctx context.Context, r *mcp.CallToolRequest, _ string) (string, error) { return o.ask(ctx, r, "name") })
	add("lookup_twice", func(ctx context.Context, r *mcp.CallToolRequest, _ string) (string, error) {
		first, err := o.ask(ctx, r, "first")
		if err != nil {
			return "", err
		}
		second, err := o.ask(ctx, r, "second")
		return first + ", " + second, err
	})
	add("lookup_hang", func(ctx context.Context, _ *mcp.CallToolRequest, _ string) (string, error) {
		o.begun <- struct{}{}
		<-ctx.Done()
		o.ended <- ctx.Err()
		return "", ctx.Err()
	})
	add("lookup_secret", func(_ context.Context, r *mcp.CallToolRequest, _ string) (string, error) {
		return r.Extra.Header.Get("Authorization"), nil
	})
	add("delete_order", func(context.Context, *mcp.CallToolRequest, string) (string, error) { return "deleted", nil })
	o.server.AddPrompt(&mcp.Prompt{Name: "greet"}, func(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: "hello " + r.Params.Arguments["who"]}}}}, nil
	})
	o.server.AddPrompt(&mcp.Prompt{Name: "insult"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{}, nil
	})
	for _, name := range []string{"public", "internal"} {
		o.server.AddResource(&mcp.Resource{Name: name, URI: "file:///" + name}, func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "what is " + name}}}, nil
		})
	}
	o.restart()
	return o
}

// slow reports progress and logs before it answers.
func (o *older) slow(ctx context.Context, r *mcp.CallToolRequest, _ string) (string, error) {
	for i := range 2 {
		if token := r.Params.GetProgressToken(); token != nil {
			if err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(i + 1), Total: 2}); err != nil {
				return "", err
			}
		}
		if err := r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: mcp.LoggingLevel([]string{"debug", "warning"}[i]), Data: fmt.Sprintf("step %d", i+1)}); err != nil {
			return "", err
		}
	}
	return "done", nil
}

func (o *older) ask(ctx context.Context, r *mcp.CallToolRequest, what string) (string, error) {
	got, err := r.Session.Elicit(ctx, &mcp.ElicitParams{Message: "which " + what + "?", RequestedSchema: map[string]any{
		"type": "object", "properties": map[string]any{what: map[string]any{"type": "string"}}}})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %v", got.Action, got.Content[what]), nil
}

// restart forgets every session, as a server does that keeps them in memory.
func (o *older) restart() {
	o.inner.Store(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return o.server }, nil))
}

// ServeHTTP implements http.Handler.
func (o *older) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	seen := olderRequest{r.Method, r.Header.Clone(), string(body), r.Header.Get("Mcp-Session-Id")}
	o.mu.Lock()
	o.requests = append(o.requests, seen)
	o.mu.Unlock()
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer access-token-canary-") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	o.inner.Load().ServeHTTP(w, r)
}

// seen returns the requests whose body holds text.
func (o *older) seen(text string) (found []olderRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.requests {
		if strings.Contains(r.body, text) {
			found = append(found, r)
		}
	}
	return found
}

const bridgePolicy = `
@id("shop-and-clerk-use-the-bridge")
permit (
  principal in PathPrefix::"spiffe://example.org/agent",
  action in [Action::"connect", Action::"list"],
  resource in Upstream::"orders"
);

@id("clerk-looks-up")
permit (principal == Agent::"spiffe://example.org/agent/clerk", action == Action::"tools/call", resource)
when { resource.name like "lookup_*" };

@id("shop-greets")
permit (principal, action in [Action::"prompts/get", Action::"completion/complete"], resource == Prompt::"orders/greet");

@id("shop-reads")
permit (principal, action == Action::"resources/read", resource == Resource::"orders/file:///public");
`

// bridged returns a world whose upstream keeps sessions.
func bridged(t *testing.T, change ...func(*setup)) (*world, *older) {
	t.Helper()
	o := newOlder()
	address := serve(t, o, nil)
	return open(t, append([]func(*setup){func(s *setup) { s.Upstream, s.Policy = address, bridgePolicy }}, change...)...), o
}

// stateless is an agent that speaks 2026-07-28, with the client of the Go SDK.
type stateless struct {
	*mcp.ClientSession
	sent     atomic.Int64
	progress chan *mcp.ProgressNotificationParams
	logs     chan *mcp.LoggingMessageParams
}

func (w *world) stateless(token string, change ...func(*mcp.ClientOptions)) *stateless {
	w.t.Helper()
	a := &stateless{progress: make(chan *mcp.ProgressNotificationParams, 16), logs: make(chan *mcp.LoggingMessageParams, 16)}
	options := &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { a.progress <- r.Params },
		LoggingMessageHandler:       func(_ context.Context, r *mcp.LoggingMessageRequest) { a.logs <- r.Params },
	}
	for _, c := range change {
		c(options)
	}
	base := &http.Transport{}
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		a.sent.Add(1)
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := base.RoundTrip(r)
		if err == nil {
			_ = resp.Header.Write(&w.received)
			resp.Body = teeBody{io.TeeReader(resp.Body, &w.received), resp.Body}
		}
		return resp, err
	})}
	var err error
	a.ClientSession, err = mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, options).Connect(w.t.Context(),
		&mcp.StreamableClientTransport{Endpoint: "http://" + w.plain + "/mcp/orders", HTTPClient: client, MaxRetries: -1, DisableStandaloneSSE: true}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = a.Close(); base.CloseIdleConnections() })
	if got := a.InitializeResult().ProtocolVersion; got != "2026-07-28" {
		w.t.Fatalf("revision: got %q, want the stateless one", got)
	}
	return a
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type teeBody struct {
	io.Reader
	io.Closer
}

// call returns the text of a tool's answer.
func (a *stateless) call(ctx context.Context, tool string) (string, error) {
	result, err := a.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: map[string]any{"order": "7"}})
	if err != nil {
		return "", err
	}
	var text string
	for _, c := range result.Content {
		text += c.(*mcp.TextContent).Text
	}
	if result.IsError {
		return "", fmt.Errorf("tool: %s", text)
	}
	return text, nil
}

func (a *stateless) wantCall(t *testing.T, tool, want string) {
	t.Helper()
	if got, err := a.call(t.Context(), tool); got != want || err != nil {
		t.Fatalf("%s: got %q, %v, want %q", tool, got, err, want)
	}
}

// answers makes a client answer elicitation by f.
func answers(f func(message string) *mcp.ElicitResult) func(*mcp.ClientOptions) {
	return func(o *mcp.ClientOptions) {
		o.ElicitationHandler = func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) { return f(r.Params.Message), nil }
	}
}

func TestAStatelessAgentUsesAServerWithSessions(t *testing.T) {
	w, o := bridged(t)
	a := w.stateless(w.agent)
	found := a.InitializeResult()
	if found.ServerInfo.Name != "older" || found.Instructions != "ask politely" || found.Capabilities.Tools == nil || found.Capabilities.Tools.ListChanged ||
		found.Capabilities.Resources == nil || found.Capabilities.Resources.Subscribe || found.Capabilities.Completions == nil {
		t.Errorf("discovery: got %+v with %+v", found, found.Capabilities)
	}
	a.wantCall(t, "lookup_order", "order 7")
	prompt, err := a.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "greet", Arguments: map[string]string{"who": "you"}})
	if err != nil || prompt.Messages[0].Content.(*mcp.TextContent).Text != "hello you" {
		t.Errorf("prompt: got %+v, %v", prompt, err)
	}
	resource, err := a.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "file:///public"})
	if err != nil || resource.Contents[0].Text != "what is public" || resource.CacheScope != "private" {
		t.Errorf("resource: got %+v, %v", resource, err)
	}
	completion, err := a.Complete(t.Context(), &mcp.CompleteParams{Ref: &mcp.CompleteReference{Type: "ref/prompt", Name: "greet"}, Argument: mcp.CompleteParamsArgument{Name: "who", Value: "m"}})
	if err != nil || !slices.Equal(completion.Completion.Values, []string{"monday"}) {
		t.Errorf("completion: got %+v, %v", completion, err)
	}
	if n := len(o.seen(`"initialize"`)); n != 1 {
		t.Errorf("sessions begun: got %d, want 1", n)
	}
	got := o.seen(`"tools/call"`)[0]
	if got.header.Get("Mcp-Protocol-Version") != "2025-11-25" || got.session == "" || got.header["Mcp-Method"] != nil || got.header["Mcp-Name"] != nil || strings.Contains(got.body, "io.modelcontextprotocol/") {
		t.Errorf("at the server: got %+v", got)
	}
}

func TestTheBridgeListsWhatMayBeCalled(t *testing.T) {
	w, _ := bridged(t)
	a := w.stateless(w.agent)
	tools, err := a.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range tools.Tools {
		names = append(names, tool.Name)
	}
	if want := []string{"lookup_ask", "lookup_hang", "lookup_order", "lookup_secret", "lookup_slow", "lookup_twice"}; !slices.Equal(names, want) || tools.CacheScope != "private" {
		t.Errorf("tools: got %q, scope %q, want %q", names, tools.CacheScope, want)
	}
	prompts, err := a.ListPrompts(t.Context(), nil)
	if err != nil || len(prompts.Prompts) != 1 || prompts.Prompts[0].Name != "greet" {
		t.Errorf("prompts: got %+v, %v", prompts, err)
	}
	resources, err := a.ListResources(t.Context(), nil)
	if err != nil || len(resources.Resources) != 1 || resources.Resources[0].URI != "file:///public" {
		t.Errorf("resources: got %+v, %v", resources, err)
	}
	if _, err := a.call(t.Context(), "delete_order"); err == nil || !strings.Contains(err.Error(), "mintmark: ") {
		t.Errorf("a tool that is not listed: got %v, want a refusal", err)
	}
	if _, err := a.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "file:///internal"}); err == nil || !strings.Contains(err.Error(), "mintmark: ") {
		t.Errorf("a resource that is not listed: got %v, want a refusal", err)
	}
}

func TestProgressAndLogsPassTheBridge(t *testing.T) {
	w, _ := bridged(t)
	a := w.stateless(w.agent)
	params := &mcp.CallToolParams{Name: "lookup_slow", Meta: mcp.Meta{"io.modelcontextprotocol/logLevel": "info"}}
	params.SetProgressToken("tok")
	result, err := a.CallTool(t.Context(), params)
	if err != nil || result.Content[0].(*mcp.TextContent).Text != "done" {
		t.Fatalf("call: got %+v, %v", result, err)
	}
	for want := range 2 {
		if p := recv(t, "progress", a.progress); p.Progress != float64(want+1) || p.ProgressToken != "tok" {
			t.Errorf("progress: got %+v, want %d", p, want+1)
		}
	}
	if l := recv(t, "a log message", a.logs); l.Level != "warning" || l.Data != "step 2" {
		t.Errorf("log: got %+v, want the warning alone", l)
	}
}

func TestAServerAsksThroughTheBridge(t *testing.T) {
	w, o := bridged(t)
	asked := atomic.Int64{}
	a := w.stateless(w.agent, answers(func(message string) *mcp.ElicitResult {
		asked.Add(1)
		what := strings.TrimSuffix(strings.TrimPrefix(message, "which "), "?")
		return &mcp.ElicitResult{Action: "accept", Content: map[string]any{what: what + "!"}}
	}))
	a.wantCall(t, "lookup_ask", "accept name!")
	a.wantCall(t, "lookup_twice", "accept first!, accept second!")
	if asked.Load() != 3 || len(o.seen(`"initialize"`)) != 1 {
		t.Errorf("asked %d times in %d sessions, want 3 in 1", asked.Load(), len(o.seen(`"initialize"`)))
	}
	// Each repeated request was judged and recorded, and so was each answer.
	w.await("outcomes", func() bool { return w.count(audit.Outcome, "tools/call", "") == 5 })
	if calls, responses := w.count(audit.Decision, "tools/call", ""), w.count(audit.Decision, "response", ""); calls != 5 || responses != 3 {
		t.Errorf("decisions: got %d on calls and %d on answers, want 5 and 3", calls, responses)
	}
	no := w.stateless(w.agent, answers(func(string) *mcp.ElicitResult { return &mcp.ElicitResult{Action: "decline"} }))
	no.wantCall(t, "lookup_ask", "decline <nil>")
}

// count returns how many records of a kind and method there are, of a call or of
// all.
func (w *world) count(kind audit.Kind, method, call string) (n int) {
	w.t.Helper()
	for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: kind, Call: call}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Method == method {
			n++
		}
	}
	return n
}

func TestAnAgentThatCantBeAskedIsNot(t *testing.T) {
	w, _ := bridged(t)
	a := w.stateless(w.agent)
	if got, err := a.call(t.Context(), "lookup_ask"); err == nil || !strings.Contains(err.Error(), "elicitation") {
		t.Errorf("got %q, %v, want the server's own error", got, err)
	}
}

func TestCancellationPassesTheBridge(t *testing.T) {
	w, o := bridged(t)
	a := w.stateless(w.agent)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { _, err := a.call(ctx, "lookup_hang"); failed <- err }()
	recv(t, "the call at the server", o.begun)
	cancel()
	recv(t, "the end of the call", failed)
	if err := recv(t, "the end of the tool", o.ended); err == nil {
		t.Error("end of the tool: got no error, want a cancelled context")
	}
	if got := o.seen(`"notifications/cancelled"`); len(got) != 1 {
		t.Errorf("cancelled at the server: got %+v, want one", got)
	}
	w.await("the record", func() bool { return w.count(audit.Decision, "notifications/cancelled", "") == 1 })
}

func TestADeadSessionIsBegunAnew(t *testing.T) {
	w, o := bridged(t)
	a := w.stateless(w.agent)
	a.wantCall(t, "lookup_order", "order 7")
	o.restart()
	a.wantCall(t, "lookup_order", "order 7")
	if n := len(o.seen(`"initialize"`)); n != 2 {
		t.Errorf("sessions begun: got %d, want 2", n)
	}
}

func TestIdentitiesNeverShareASession(t *testing.T) {
	w, o := bridged(t)
	shop := w.stateless(w.agent)
	clerk := w.stateless(w.token(w.domain, "clerk", trustdomain.JWTRequest{}))
	w.scan.state(w.id("clerk"), "pass", time.Now())
	shop.wantCall(t, "lookup_order", "order 7")
	clerk.wantCall(t, "lookup_order", "order 7")
	again := w.stateless(w.token(w.domain, "shop", trustdomain.JWTRequest{})) // fresh evidence of the same agent
	again.wantCall(t, "lookup_order", "order 7")
	calls := o.seen(`"tools/call"`)
	if len(calls) != 3 || calls[0].session == calls[1].session || calls[0].session != calls[2].session {
		t.Errorf("sessions: got %q, %q, %q; want the first agent's, another, the first's", calls[0].session, calls[1].session, calls[2].session)
	}
}

func TestOneSessionHoweverManyWait(t *testing.T) {
	w, o := bridged(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			got := w.do(w.stateless2026("tools/call", i, `"name":"lookup_order","arguments":{"order":"7"}`, ""))
			if got.status != 200 || !strings.Contains(got.body, `"order 7"`) || !strings.Contains(got.body, fmt.Sprintf(`"id":%d`, i%2)) {
				t.Errorf("call %d: got %d %s", i, got.status, got.body)
			}
		})
	}
	group.Wait()
	if n := len(o.seen(`"initialize"`)); n != 1 {
		t.Errorf("sessions begun: got %d, want 1", n)
	}
}

func TestMasksACredentialThatComesThroughTheBridge(t *testing.T) {
	w, _ := bridged(t)
	a := w.stateless(w.agent)
	if got, err := a.call(t.Context(), "lookup_secret"); err != nil || !strings.HasPrefix(got, "Bearer ****") {
		t.Errorf("got %q, %v, want it masked", got, err)
	}
}
