package broker_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/broker/bundle"
	"mintmark/internal/trustdomain"
)

const mergedConfiguration = `
trust_domain: example.org
trust: {workload_api: "unix://{{.Socket}}"}
listeners:
  - address: 127.0.0.1:0
  - {address: 127.0.0.1:0, plaintext: true}
attestors:
  - {kind: jwt-svid, audience: mintmark}
posture:
  scan: {kind: stated}
providers:
  token: {kind: oauth, token_url: "http://{{.Issuer}}/token", client_id: mintmark, client_secret: "file:client-secret", scopes: [orders]}
upstreams:
  modern: {url: "http://{{.Modern}}/mcp", credentials: [{provider: token, scheme: bearer}]}
  older: {url: "http://{{.Older}}/mcp", credentials: [{provider: token, scheme: bearer}]}
  odd: {url: "http://{{.Odd}}/mcp", credentials: [{provider: token, scheme: bearer}]}
  hidden: {url: "http://{{.Odd}}/mcp", credentials: [{provider: token, scheme: bearer}]}
  dead: {url: "http://{{.Dead}}/mcp", credentials: [{provider: token, scheme: bearer}]}
  slow: {url: "http://{{.Slow}}/mcp", timeout: 200ms, credentials: [{provider: token, scheme: bearer}]}
  api: {kind: http, url: "http://{{.Odd}}/v1", credentials: [{provider: token, scheme: bearer}]}
audit: {sync: grouped}
limits: {body: 64KiB, shutdown: 5s}
`

const mergedPolicy = `
@id("connects")
permit (principal, action in [Action::"connect", Action::"list", Action::"tools/call", Action::"prompts/get", Action::"resources/read", Action::"completion/complete"], resource)
when { principal in PathPrefix::"spiffe://example.org/agent" };

@id("not-the-hidden")
forbid (principal, action, resource in Upstream::"hidden");

@id("nobody-deletes")
@hint("nothing is deleted here")
forbid (principal, action == Action::"tools/call", resource)
when { resource.name like "delete_*" };

@id("scanned")
@hint("no passing scan")
forbid (principal, action == Action::"tools/call", resource)
unless { context.posture has scan && context.posture.scan.value == "pass" };

@id("nothing-for-the-guest-at-all")
@hint("a guest")
forbid (principal == Agent::"spiffe://example.org/agent/guest", action, resource);
`

// several is a world with several upstreams of both eras, of which one is dead and
// one answers nothing before the test ends.
type several struct {
	*world
	modern, older *sdk.Server
	odd           *scripted
}

func openSeveral(t testing.TB, change ...func(*setup)) *several {
	t.Helper()
	s := &several{odd: newScripted(), modern: realServer("modern", nil), older: realServer("older", []string{"2025-11-25", "2025-06-18"})}
	addresses := map[string]string{
		"Modern": serve(t, sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s.modern }, &sdk.StreamableHTTPOptions{Stateless: true}), nil),
		"Older":  serve(t, sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s.older }, nil), nil),
		"Odd":    serve(t, s.odd, nil),
		"Dead":   closedAddress(t),
	}
	s.world = open(t, change...)
	free := s.world.upstream.free
	s.world.upstream.does(func(http.ResponseWriter, *http.Request) { <-free.Done() })
	addresses["Slow"], addresses["Issuer"] = s.world.upstream.address, s.issuer.address
	addresses["Socket"] = filepath.Join(s.dir, "workload.sock")
	s.apply(addresses)
	s.scan.state(s.id("clerk"), "pass", time.Now())
	return s
}

func (s *several) apply(values map[string]string) {
	s.t.Helper()
	var yaml bytes.Buffer
	if err := template.Must(template.New("").Parse(mergedConfiguration)).Execute(&yaml, values); err != nil {
		s.t.Fatal(err)
	}
	for name, content := range map[string]string{"mintmark.yaml": yaml.String(), "policies.cedar": mergedPolicy} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	bd, err := bundle.Load(s.dir, s.kinds().Settings())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.broker.Apply(s.t.Context(), bd); err != nil {
		s.t.Fatal(err)
	}
}

// realServer is a server of the Go SDK with a little of everything. An empty list
// of revisions is all that it knows.
func realServer(name string, revisions []string) *sdk.Server {
	server := sdk.NewServer(&sdk.Implementation{Name: name, Version: "1"}, &sdk.ServerOptions{
		SupportedProtocolVersions: revisions, PageSize: 2,
		CompletionHandler: func(_ context.Context, r *sdk.CompleteRequest) (*sdk.CompleteResult, error) {
			return &sdk.CompleteResult{Completion: sdk.CompletionResultDetails{Values: []string{name + " " + r.Params.Ref.Name + r.Params.Ref.URI}}}, nil
		},
	})
	for _, tool := range []string{"lookup", "refund", "delete_all", "link"} {
		sdk.AddTool(server, &sdk.Tool{Name: tool}, func(_ context.Context, r *sdk.CallToolRequest, in map[string]any) (*sdk.CallToolResult, any, error) {
			content := []sdk.Content{&sdk.TextContent{Text: fmt.Sprintf("%s %s %v", name, r.Params.Name, in["order"])}}
			if r.Params.Name == "link" {
				content = append(content, &sdk.ResourceLink{URI: "file:///orders/7", Name: "order"},
					&sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: "file:///orders/8", Text: "eight"}})
			}
			return &sdk.CallToolResult{Content: content}, nil, nil
		})
	}
	read := func(_ context.Context, r *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{URI: r.Params.URI, Text: name + " has it"}}}, nil
	}
	server.AddResource(&sdk.Resource{URI: "file:///orders/7", Name: "order"}, read)
	server.AddResourceTemplate(&sdk.ResourceTemplate{URITemplate: "file:///orders/{id}", Name: "orders"}, read)
	server.AddPrompt(&sdk.Prompt{Name: "greet"}, func(context.Context, *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
		return &sdk.GetPromptResult{Messages: []*sdk.PromptMessage{{Role: "user", Content: &sdk.ResourceLink{URI: "file:///orders/7", Name: name}}}}, nil
	})
	return server
}

// rpc is a message as a scripted server reads it.
type rpc struct {
	ID     json.RawMessage
	Method string
	Params struct {
		Name, URI, Cursor string
		Ref               map[string]string
	}
	raw    string
	header http.Header
}

// scripted is a stateless server that answers as a test says: by a result, or
// whatever a handler makes of it.
type scripted struct {
	mu      sync.Mutex
	results map[string]func(rpc) string
	handler map[string]http.HandlerFunc
	seen    []rpc
}

func newScripted() *scripted {
	return &scripted{handler: map[string]http.HandlerFunc{}, results: map[string]func(rpc) string{
		"server/discover": func(rpc) string {
			return `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}`
		},
	}}
}

func (s *scripted) answers(method string, result func(rpc) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results[method] = result
}

func (s *scripted) handles(method string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler[method] = h
}

// last returns the newest message of a method.
func (s *scripted) last(t testing.TB, method string) rpc {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range slices.Backward(s.seen) {
		if m.Method == method {
			return m
		}
	}
	t.Fatalf("no %s reached the server", method)
	return rpc{}
}

// taken returns how many messages reached the server.
func (s *scripted) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// ServeHTTP implements http.Handler.
func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(content))
	m := rpc{raw: string(content), header: r.Header.Clone()}
	_ = json.Unmarshal(content, &m)
	s.mu.Lock()
	s.seen = append(s.seen, m)
	result, handler := s.results[m.Method], s.handler[m.Method]
	s.mu.Unlock()
	if handler != nil {
		handler(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if result == nil {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}`, cmp.Or(string(m.ID), "null"))
		return
	}
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result(m))
}

// connect returns a client of the Go SDK at /mcp. An empty revision is the newest.
func (s *several) connect(t *testing.T, agent, revision string) *sdk.ClientSession {
	t.Helper()
	return s.connectWith(t, agent, revision, nil)
}

func (s *several) connectWith(t *testing.T, agent, revision string, options *sdk.ClientOptions) *sdk.ClientSession {
	t.Helper()
	bearing := &bearing{token: s.token(s.domain, agent, trustdomain.JWTRequest{}), received: &s.received}
	t.Cleanup(bearing.base.CloseIdleConnections)
	client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, options)
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{
		Endpoint: "http://" + s.plain + "/mcp", HTTPClient: &http.Client{Transport: bearing},
	}, &sdk.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// bearing adds an agent's token, and keeps what comes back.
type bearing struct {
	base     http.Transport
	token    string
	received io.Writer
}

// RoundTrip implements http.RoundTripper.
func (b *bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	resp, err := b.base.RoundTrip(r)
	if err == nil {
		resp.Body = teed{io.TeeReader(resp.Body, b.received), resp.Body}
	}
	return resp, err
}

type teed struct {
	io.Reader
	io.Closer
}

// stateless returns a raw call to /mcp in the stateless revision. params is
// JSON without its closing brace.
func (s *several) stateless(method, name, params string, change ...func(*request)) request {
	meta := `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}`
	if params != "{" {
		params += ","
	}
	r := s.call(to("/mcp"), body(`{"jsonrpc":"2.0","id":"a","method":"`+method+`","params":`+params+meta+`}`),
		with("MCP-Protocol-Version", "2026-07-28"), with("Mcp-Method", method))
	if name != "" {
		r.header["Mcp-Name"] = []string{name}
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

// as makes r come from another agent.
func (s *several) as(agent string) func(*request) {
	return with("Authorization", "Bearer "+s.token(s.domain, agent, trustdomain.JWTRequest{}))
}

// begunHere opens a session with /mcp by hand and returns its handle.
func (s *several) begunHere() string {
	s.t.Helper()
	got := s.wantOK(s.call(to("/mcp"), body(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)), `"2025-06-18"`)
	handle := got.header.Get("Mcp-Session-Id")
	if handle == "" {
		s.t.Fatal("got no handle")
	}
	return handle
}

// mergedResult is a list's answer, or why there is none.
type mergedResult struct {
	Result struct {
		Tools []struct {
			Name string
		}
		NextCursor string
		Meta       struct {
			Unavailable []string `json:"io.mintmark/unavailable"`
		} `json:"_meta"`
		ResultType, CacheScope string
	}
	Error struct {
		Code    int
		Message string
	}
}

func (a answer) merged(t testing.TB) (m mergedResult) {
	t.Helper()
	mustJSON(t, []byte(a.body), &m)
	return m
}

func (m mergedResult) names() (names []string) {
	for _, tool := range m.Result.Tools {
		names = append(names, tool.Name)
	}
	return names
}

func wantNames(t testing.TB, what string, got []string, want string) {
	t.Helper()
	if strings.Join(got, " ") != want {
		t.Errorf("%s: got %s\nwant %s", what, strings.Join(got, " "), want)
	}
}
