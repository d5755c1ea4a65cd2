package broker_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// sessionServer is an MCP server that keeps sessions, of the Go SDK.
type sessionServer struct {
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

func newOlder() *sessionServer {
	o := &sessionServer{begun: make(chan struct{}, 8), ended: make(chan error, 8)}
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
	add("lookup_order", func(_ context.Context, _ *mcp.CallToolRequest, order string) (string, error) {
		return "order " + order, nil
	})
	add("lookup_slow", o.slow)
	add("lookup_ask", func(ctx context.Context, r *mcp.CallToolRequest, _ string) (string, error) {
		return o.ask(ctx, r, "name")
	})
	add("lookup_twice", func(ctx context.Context, r *mcp.CallToolRequest, _ string) (string, error) {
		if _, err := o.slow(ctx, r, ""); err != nil {
			return "", err
		}
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
	o.addOthers()
	o.restart()
	return o
}

// addOthers adds what is no tool.
func (o *sessionServer) addOthers() {
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
}

// slow reports progress and logs before it answers.
func (o *sessionServer) slow(ctx context.Context, r *mcp.CallToolRequest, _ string) (string, error) {
	for i := range 2 {
		if token := r.Params.GetProgressToken(); token != nil {
			if err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(i + 1), Total: 2}); err != nil {
				return "", err
			}
		}
		message := &mcp.LoggingMessageParams{Data: fmt.Sprintf("step %d", i+1)} //nolint:staticcheck // servers still do
		if message.Level = "debug"; i == 1 {
			message.Level = "warning"
		}
		if err := r.Session.Log(ctx, message); err != nil { //nolint:staticcheck // servers still do
			return "", err
		}
	}
	return "done", nil
}

func (o *sessionServer) ask(ctx context.Context, r *mcp.CallToolRequest, what string) (string, error) {
	got, err := r.Session.Elicit(ctx, &mcp.ElicitParams{Message: "which " + what + "?", RequestedSchema: map[string]any{
		"type": "object", "properties": map[string]any{what: map[string]any{"type": "string"}}}})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %v", got.Action, got.Content[what]), nil
}

// restart forgets every session, as a server does that keeps them in memory.
func (o *sessionServer) restart() {
	o.inner.Store(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return o.server }, nil))
}

// ServeHTTP implements http.Handler.
func (o *sessionServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
func (o *sessionServer) seen(text string) (found []olderRequest) {
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
func bridged(t *testing.T, change ...func(*setup)) (*world, *sessionServer) {
	t.Helper()
	o := newOlder()
	address := serve(t, o, nil)
	return open(t, append([]func(*setup){func(s *setup) { s.Upstream, s.Policy = address, bridgePolicy }}, change...)...), o
}

// newer is an agent that speaks 2026-07-28, with the client of the Go SDK.
type newer struct {
	*mcp.ClientSession
	sent     atomic.Int64
	progress chan *mcp.ProgressNotificationParams
}

func (w *world) statelessly(token string, change ...func(*mcp.ClientOptions)) *newer {
	w.t.Helper()
	a := &newer{progress: make(chan *mcp.ProgressNotificationParams, 16)}
	options := &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { a.progress <- r.Params },
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
func (a *newer) call(ctx context.Context, tool string) (string, error) {
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

func (a *newer) wantCall(t *testing.T, tool, want string) {
	t.Helper()
	if got, err := a.call(t.Context(), tool); got != want || err != nil {
		t.Fatalf("%s: got %q, %v, want %q", tool, got, err, want)
	}
}

// answers makes a client answer elicitation by f.
func answers(f func(message string) *mcp.ElicitResult) func(*mcp.ClientOptions) {
	return func(o *mcp.ClientOptions) {
		o.ElicitationHandler = func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return f(r.Params.Message), nil
		}
	}
}
