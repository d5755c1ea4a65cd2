package connect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"text/template"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/attest"
	"mintmark/attest/jwtsvid"
	"mintmark/attest/x509svid"
	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/cmd/mintmark/connect"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/oauth"
)

// accessToken is what the upstreams want, and no agent may see.
const accessToken = "access-token-canary-4f2a9c01"

// world is a broker before two MCP servers, one of each era, which take only
// the token that the broker gets.
type world struct {
	*place
	secure, socket string // where the broker listens
	log            string // directory of its log

	legacy, stateless *mcp.Server
}

const configuration = `
trust_domain: example.org
trust: {workload_api: "{{.Workload}}"}
listeners:
  - address: 127.0.0.1:0
  - {address: "unix://{{.Dir}}/agents.sock", plaintext: true}
attestors:
  - kind: x509-svid
  - {kind: jwt-svid, audience: mintmark}
providers:
  token: {kind: oauth, token_url: "http://{{.Upstream}}/token", client_id: mintmark, client_secret: "file:client-secret"}
upstreams:
  legacy: {url: "http://{{.Upstream}}/legacy", credentials: [{provider: token, scheme: bearer}]}
  stateless: {url: "http://{{.Upstream}}/stateless", credentials: [{provider: token, scheme: bearer}]}
`

const policy = `
@id("shop") permit (principal == Agent::"spiffe://example.org/agent/shop", action, resource);
@id("no-refunds") @hint("refunds are made by people") forbid (principal, action == Action::"tools/call", resource) when { resource.name == "refund" };
`

// newWorld opens a world that ends with the test.
func newWorld(t *testing.T, o trustdomain.Options) *world {
	t.Helper()
	w := &world{place: newPlace(t, o), legacy: newServer(), stateless: newServer()}
	w.socket, w.log = "unix://"+filepath.Join(w.dir, "agents.sock"), filepath.Join(w.dir, "audit")
	var yaml bytes.Buffer
	err := template.Must(template.New("").Parse(configuration)).Execute(&yaml, map[string]string{
		"Workload": w.serveWorkloadAPI(t, "mintmark"), "Dir": w.dir, "Upstream": w.serveUpstreams(t)})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"mintmark.yaml": yaml.String(), "policies.cedar": policy, "client-secret": "client-secret-canary"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.openBroker(t)
	return w
}

// serveUpstreams serves both servers and the issuer of their tokens.
func (w *world) serveUpstreams(t *testing.T) string {
	t.Helper()
	guarded := func(server *mcp.Server, o mcp.StreamableHTTPOptions) http.Handler {
		h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &o)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+accessToken {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/legacy", guarded(w.legacy, mcp.StreamableHTTPOptions{EventStore: mcp.NewMemoryEventStore(nil)}))
	mux.Handle("/stateless", guarded(w.stateless, mcp.StreamableHTTPOptions{Stateless: true, PropagateRequestCancellation: true}))
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		inform(w, http.StatusOK, `{"access_token":"`+accessToken+`","token_type":"Bearer","expires_in":3600}`)
	})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return l.Addr().String()
}

func (w *world) openBroker(t *testing.T) {
	t.Helper()
	kinds := broker.Kinds{
		Attestors: map[string]broker.Kind[broker.AttestorEnv, attest.Attestor]{
			"x509-svid": broker.KindOf(func(c x509svid.Config, env broker.AttestorEnv) (attest.Attestor, error) {
				return x509svid.Open(c, env.Trust)
			}),
			"jwt-svid": broker.KindOf(func(c jwtsvid.Config, env broker.AttestorEnv) (attest.Attestor, error) {
				return jwtsvid.Open(c, env.Trust)
			}),
		},
		Providers: map[string]broker.Kind[providers.Env, providers.Provider]{"oauth": broker.KindOf(oauth.Open)},
	}
	bd, err := bundle.Load(w.dir, kinds.Settings())
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(t.Context(), broker.Options{Bundle: bd, Kinds: kinds, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.secure = "https://" + b.Addresses()[0].String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("broker: %v", err)
		}
		if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("broker: %v", err)
		}
	})
}

// allowed returns the decisions that allowed the agent something.
func (w *world) allowed(t *testing.T) (list []audit.Record) {
	t.Helper()
	for r, err := range audit.Query(w.log, audit.Filter{Kind: audit.Decision, Outcome: "allow"}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// desktop is a client that starts its server as a program: here connect.Run
// between pipes.
func (w *world) desktop(t *testing.T, o connect.Options, co *mcp.ClientOptions) (*mcp.ClientSession, *program) {
	t.Helper()
	in, stdin := io.Pipe()
	out, stdout := io.Pipe()
	c := &program{t: t, in: stdin, ended: make(chan error, 1)}
	c.start(w.place, o, in, stdout)
	t.Cleanup(c.end)
	seen := struct {
		io.Reader
		io.Closer
	}{io.TeeReader(out, &c.stdout), out}
	client := mcp.NewClient(&mcp.Implementation{Name: "desktop", Version: "1"}, co)
	var revision *mcp.ClientSessionOptions
	if o.Upstream == "legacy" { // through the bridge it would have no stream of the server's own
		revision = &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"}
	}
	session, err := client.Connect(t.Context(), &mcp.IOTransport{Reader: seen, Writer: stdin}, revision)
	if err != nil {
		t.Fatalf("connect: %v\nstderr: %s", err, c.stderr.String())
	}
	t.Cleanup(func() { _ = session.Close() })
	return session, c
}

// newServer returns an MCP server with tools of each sort.
func newServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	tool(server, "echo", func(_ context.Context, r *mcp.CallToolRequest) (string, error) {
		return string(r.Params.Arguments), nil
	})
	tool(server, "refund", func(context.Context, *mcp.CallToolRequest) (string, error) { return "refunded", nil })
	tool(server, "headers", func(_ context.Context, r *mcp.CallToolRequest) (string, error) {
		text, err := json.Marshal(r.Extra.Header)
		return string(text), err
	})
	tool(server, "progress", func(ctx context.Context, r *mcp.CallToolRequest) (string, error) {
		for n := 1.0; n <= 3; n++ {
			if err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: n}); err != nil {
				return "", err
			}
		}
		return "completed", nil
	})
	return server
}

func tool(server *mcp.Server, name string, do func(context.Context, *mcp.CallToolRequest) (string, error)) {
	server.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		text, err := do(ctx, r)
		if err != nil {
			return nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil
	})
}

// call calls a tool and returns its text.
func call(t *testing.T, s *mcp.ClientSession, params *mcp.CallToolParams) string {
	t.Helper()
	result, err := s.CallTool(t.Context(), params)
	if err != nil || len(result.Content) != 1 {
		t.Fatalf("call %s: got %v, %v", params.Name, result, err)
	}
	return result.Content[0].(*mcp.TextContent).Text
}

// collected is a list for several writers.
type collected struct {
	mu   sync.Mutex
	list []string
}

func (c *collected) add(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, fmt.Sprint(v))
}

func (c *collected) get() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.list...)
}
