package broker_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const modernPolicy = `
@id("modern-agents-connect")
permit (principal, action in [Action::"connect", Action::"list"], resource)
when { [Agent::"spiffe://example.org/agent/shop", Agent::"spiffe://example.org/agent/clerk"].contains(principal) };

@id("modern-shop-reads")
permit (principal == Agent::"spiffe://example.org/agent/shop",
  action in [Action::"prompts/get", Action::"resources/read", Action::"completion/complete"], resource);

@id("modern-nobody-hidden")
forbid (principal, action == Action::"prompts/get", resource == Prompt::"modern/hidden");

@id("modern-only-scanned")
@hint("this agent has no passing scan")
forbid (principal, action == Action::"tools/call", resource in Upstream::"modern")
unless { context.posture has scan && context.posture.scan.value == "pass" };

@id("shop-connects")`

// modern returns a world with two upstreams beside the others, which are one
// stateless server: modern, whose era is learned, and stateless, which is
// registered as such.
func modern(t testing.TB, h http.Handler, change ...func(*setup)) *world {
	t.Helper()
	w := open(t, change...)
	entries := fmt.Sprintf(`
  modern: {url: "http://%[1]s/mcp", credentials: [{provider: token, scheme: bearer}]}
  stateless: {url: "http://%[1]s/mcp", protocol: stateless, credentials: [{provider: token, scheme: bearer}]}
  api: {kind: http`, serve(t, h, nil))
	for _, err := range []error{
		w.change("mintmark.yaml", "\n  api: {kind: http", entries),
		w.change("policies.cedar", `@id("shop-connects")`, modernPolicy),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// stateless is a server of the SDK that speaks MCP 2026-07-28 only: it refuses
// initialize, as such servers do.
type stateless struct {
	t       testing.TB
	handler http.Handler
	begun   chan struct{} // a call of lookup_wait has begun
	left    chan struct{} // it was ended from outside

	mu   sync.Mutex
	seen []seen
}

func newStateless(t testing.TB) *stateless {
	s := &stateless{t: t, begun: make(chan struct{}, 8), left: make(chan struct{}, 8)}
	server := mcp.NewServer(&mcp.Implementation{Name: "orders", Version: "3"}, &mcp.ServerOptions{
		Instructions:              "look up before you refund",
		SupportedProtocolVersions: []string{"2026-07-28"},
		CompletionHandler: func(context.Context, *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{"seven"}}}, nil
		},
	})
	for name, does := range map[string]mcp.ToolHandler{
		"lookup_order": s.order, "lookup_ask": s.ask, "lookup_wait": s.wait, "lookup_secret": s.secret,
		"lookup_url": s.url, "lookup_for_ever": s.forEver, "lookup_error": s.fails, "refund_one": s.order,
	} {
		server.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, does)
	}
	server.AddTool(&mcp.Tool{Name: "lookup_by_header", InputSchema: json.RawMessage(`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}`)}, s.order)
	for _, name := range []string{"greeting", "hidden"} {
		server.AddPrompt(&mcp.Prompt{Name: name}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return &mcp.GetPromptResult{Description: "greets"}, nil
		})
	}
	server.AddResource(&mcp.Resource{URI: "order://7", Name: "seven"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "order://7", Text: "seven boxes"}}}, nil
	})
	s.handler = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true, PropagateRequestCancellation: true})
	return s
}

// ServeHTTP implements http.Handler.
func (s *stateless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	s.seen = append(s.seen, seen{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body)})
	s.mu.Unlock()
	if r.Header.Get("Mcp-Protocol-Version") != "2026-07-28" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"unsupported","data":{"supported":["2026-07-28"],"requested":""}}}`)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// requests returns the bodies of what reached the server, of one method.
func (s *stateless) requests(method string) (found []seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.seen {
		var m struct{ Method string }
		mustJSON(s.t, []byte(r.body), &m)
		if m.Method == method {
			found = append(found, r)
		}
	}
	return found
}

func text(t string) (*mcp.CallToolResult, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: t}}}, nil
}

func (s *stateless) order(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if token := r.Params.GetProgressToken(); token != nil {
		for n := range 2 {
			if err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(n + 1)}); err != nil {
				return nil, err
			}
		}
	}
	return text("order " + string(r.Params.Arguments))
}

// ask wants a name, and then a size.
func (s *stateless) ask(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	want := func(key, state string) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{RequestState: state, InputRequests: mcp.InputRequestMap{key: &mcp.ElicitParams{
			Message: "which " + key + "?", RequestedSchema: json.RawMessage(`{"type":"object","properties":{"` + key + `":{"type":"string"}}}`),
		}}}, nil
	}
	given := func(key string) string {
		result, _ := r.Params.InputResponses[key].(*mcp.ElicitResult)
		if result == nil || result.Action != "accept" {
			return ""
		}
		return fmt.Sprint(result.Content[key])
	}
	switch {
	case r.Params.RequestState == "":
		return want("name", "<first>")
	case r.Params.RequestState == "<first>" && given("name") != "":
		return want("size", "second "+given("name"))
	case r.Params.RequestState == "<first>":
		return text("declined")
	}
	return text(cmp.Or(r.Params.RequestState, "?") + ", " + given("size"))
}

func (s *stateless) url(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"u": &mcp.ElicitParams{Mode: "url", Message: "m", URL: "https://example.org/"}}}, nil
}

func (s *stateless) forEver(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"n": &mcp.ElicitParams{Message: "again?", RequestedSchema: json.RawMessage(`{"type":"object","properties":{}}`)}}}, nil
}

func (s *stateless) wait(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if token := r.Params.GetProgressToken(); token != nil {
		if err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: 1}); err != nil {
			return nil, err
		}
	}
	s.begun <- struct{}{}
	<-ctx.Done()
	s.left <- struct{}{}
	return nil, ctx.Err()
}

// secret says back the credential that the broker put on the request.
func (s *stateless) secret(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return text("got " + r.Extra.Header.Get("Authorization"))
}

func (s *stateless) fails(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return nil, fmt.Errorf("no such order")
}

// client is a client of the SDK in a session of an earlier revision.
func (w *world) client(upstream, revision string, o *mcp.ClientOptions) *mcp.ClientSession {
	w.t.Helper()
	transport := &bearing{token: w.agent, received: &w.received}
	w.t.Cleanup(transport.base.CloseIdleConnections)
	c := mcp.NewClient(&mcp.Implementation{Name: "shop-client", Version: "2"}, o)
	session, err := c.Connect(w.t.Context(), &mcp.StreamableClientTransport{
		Endpoint: "http://" + w.plain + "/mcp/" + upstream, HTTPClient: &http.Client{Transport: transport}, MaxRetries: -1,
	}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		w.t.Fatalf("connect: %v", err)
	}
	w.t.Cleanup(func() { _ = session.Close() })
	return session
}

// session begins a session by hand and returns its handle.
func (w *world) session(upstream, initialize string, change ...func(*request)) string {
	w.t.Helper()
	got := w.wantOK(w.call(append([]func(*request){to("/mcp/" + upstream), body(initialize)}, change...)...), `"serverInfo"`)
	handle := got.header.Get("Mcp-Session-Id")
	if handle == "" {
		w.t.Fatalf("initialize: got no session in %q", got.body)
	}
	return handle
}
