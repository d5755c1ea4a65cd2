package connect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/cmd/mintmark/connect"
	"mintmark/internal/trustdomain"
)

// A desktop client and a server with sessions, over TLS: everything that either
// side begins gets through, and the record says who called.
func TestDesktopClientAndSessions(t *testing.T) {
	w := newWorld(t, trustdomain.Options{})
	var progress, changes collected
	asked := make(chan string, 1)
	session, c := w.desktop(t, connect.Options{Broker: w.secure, BrokerID: "spiffe://example.org/mintmark", Upstream: "legacy"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { progress.add(r.Params.Progress) },
		ToolListChangedHandler:      func(context.Context, *mcp.ToolListChangedRequest) { changes.add("tools") },
		ElicitationHandler: func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			asked <- r.Params.Message
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"answer": "yes"}}, nil
		},
	})
	if v := session.InitializeResult().ProtocolVersion; v != "2025-11-25" {
		t.Errorf("revision: got %s, want one with sessions", v)
	}
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || !slices.ContainsFunc(tools.Tools, func(tool *mcp.Tool) bool { return tool.Name == "progress" }) {
		t.Errorf("tools: got %v, %v, want progress among them", tools, err)
	}
	if got := call(t, session, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"a": "é"}}); got != `{"a":"é"}` {
		t.Errorf("echo: got %s", got)
	}
	params := &mcp.CallToolParams{Name: "progress", Arguments: map[string]any{}}
	params.SetProgressToken("p")
	if got := call(t, session, params); got != "completed" {
		t.Errorf("progress: got %s", got)
	}
	await(t, "progress", func() bool { return slices.Equal(progress.get(), []string{"1", "2", "3"}) })

	tool(w.legacy, "ask", func(ctx context.Context, r *mcp.CallToolRequest) (string, error) {
		result, err := r.Session.Elicit(ctx, &mcp.ElicitParams{Message: "really?", RequestedSchema: json.RawMessage(`{"type":"object","properties":{"answer":{"type":"string"}}}`)})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %v", result.Action, result.Content["answer"]), nil
	})
	wantChange(t, w.legacy, &changes)
	if got := call(t, session, &mcp.CallToolParams{Name: "ask", Arguments: map[string]any{}}); got != "accept yes" {
		t.Errorf("ask: got %q, want the client's answer", got)
	}
	if got := recv(t, "the question", asked); got != "really?" {
		t.Errorf("ask: got %q", got)
	}
	w.wantNoSecret(t, session)
	if err := session.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	methods := map[string]bool{}
	for _, r := range w.allowed(t) {
		methods[r.Method] = true
		if r.Attestor != "x509-svid" || r.Agent != "spiffe://example.org/agent/shop" || r.Upstream != "legacy" {
			t.Errorf("record: got %+v, want the agent by its certificate", r)
		}
	}
	for _, method := range []string{"initialize", "notifications/initialized", "stream", "tools/list", "tools/call", "response", "end"} {
		if !methods[method] {
			t.Errorf("record: got %v, want %s among them", methods, method)
		}
	}
}

// wantNoSecret has the server repeat what it was sent, with the credential
// masked.
func (w *world) wantNoSecret(t *testing.T, session *mcp.ClientSession) {
	t.Helper()
	got := call(t, session, &mcp.CallToolParams{Name: "headers", Arguments: map[string]any{}})
	if !strings.Contains(got, `"Authorization":["Bearer ***`) || strings.Contains(got, accessToken) {
		t.Errorf("headers: got %s, want the credential masked", got)
	}
}

// A desktop client and a server without sessions, through a Unix socket.
func TestDesktopClientWithoutSessions(t *testing.T) {
	w := newWorld(t, trustdomain.Options{})
	var progress, changes collected
	session, c := w.desktop(t, connect.Options{Broker: w.socket, Upstream: "stateless"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { progress.add(r.Params.Progress) },
		ToolListChangedHandler:      func(context.Context, *mcp.ToolListChangedRequest) { changes.add("tools") },
	})
	if v := session.InitializeResult().ProtocolVersion; v != "2026-07-28" {
		t.Errorf("revision: got %s, want the one without sessions", v)
	}
	if got := call(t, session, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"a": 1}}); got != `{"a":1}` {
		t.Errorf("echo: got %s", got)
	}
	params := &mcp.CallToolParams{Name: "progress", Arguments: map[string]any{}}
	params.SetProgressToken("p")
	call(t, session, params)
	await(t, "progress", func() bool { return slices.Equal(progress.get(), []string{"1", "2", "3"}) })
	wantChange(t, w.stateless, &changes)
	w.wantNoSecret(t, session)
	if err := session.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	for _, r := range w.allowed(t) {
		if r.Attestor != "jwt-svid" || r.Agent != "spiffe://example.org/agent/shop" || r.Method == "end" || r.Session != "" {
			t.Errorf("record: got %+v, want the agent by its token, and no session", r)
		}
	}
}

// The agent gets the broker's words when it is refused, and the next call
// passes.
func TestRefusalOfTheBroker(t *testing.T) {
	for name, upstream := range map[string]string{"sessions": "legacy", "no sessions": "stateless"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, trustdomain.Options{})
			session, _ := w.desktop(t, connect.Options{Broker: w.secure, Upstream: upstream}, nil)
			_, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "refund", Arguments: map[string]any{}})
			refusal, ok := errors.AsType[*jsonrpc.Error](err)
			if !ok || refusal.Code != -31403 || !strings.HasPrefix(refusal.Message, "mintmark: ") || !strings.HasSuffix(refusal.Message, "refunds are made by people") {
				t.Errorf("refund: got %v, want the broker's refusal", err)
			}
			call(t, session, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{}})
		})
	}
}

// What the client cancels is cancelled at the server, in either era.
func TestDesktopClientCancels(t *testing.T) {
	for name, upstream := range map[string]string{"sessions": "legacy", "no sessions": "stateless"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, trustdomain.Options{})
			begun, cancelled := make(chan struct{}, 1), make(chan struct{}, 1)
			for _, server := range []*mcp.Server{w.legacy, w.stateless} {
				tool(server, "wait", func(ctx context.Context, _ *mcp.CallToolRequest) (string, error) {
					begun <- struct{}{}
					<-ctx.Done()
					cancelled <- struct{}{}
					return "", ctx.Err()
				})
			}
			session, _ := w.desktop(t, connect.Options{Broker: w.secure, Upstream: upstream}, nil)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				_, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "wait", Arguments: map[string]any{}})
				ended <- err
			}()
			recv(t, "the call", begun)
			cancel()
			if err := recv(t, "the end of the call", ended); !errors.Is(err, context.Canceled) {
				t.Errorf("call: got %v", err)
			}
			recv(t, "the cancellation", cancelled)
			call(t, session, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{}})
		})
	}
}

// A server that closes the connection of an answer on purpose is asked for the
// rest through the broker.
func TestDesktopClientAndPolling(t *testing.T) {
	w := newWorld(t, trustdomain.Options{})
	tool(w.legacy, "poll", func(_ context.Context, r *mcp.CallToolRequest) (string, error) {
		r.Extra.CloseSSEStream(mcp.CloseSSEStreamArgs{RetryAfter: 10 * time.Millisecond})
		return "polled", nil
	})
	session, c := w.desktop(t, connect.Options{Broker: w.secure, Upstream: "legacy"}, nil)
	for range 5 {
		if got := call(t, session, &mcp.CallToolParams{Name: "poll", Arguments: map[string]any{}}); got != "polled" {
			t.Errorf("poll: got %q", got)
		}
	}
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	streams := 0
	for _, r := range w.allowed(t) {
		if r.Method == "stream" {
			streams++
		}
	}
	if streams < 5 {
		t.Errorf("record: got %d streams, want one for each answer", streams)
	}
}

// What a tool wants repeated in headers is, once its list was seen.
func TestDesktopClientAndMarkedArguments(t *testing.T) {
	w := newWorld(t, trustdomain.Options{})
	w.stateless.AddTool(&mcp.Tool{Name: "query", InputSchema: json.RawMessage(
		`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}`)},
		func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: r.Extra.Header.Get("Mcp-Param-Region")}}}, nil
		})
	session, _ := w.desktop(t, connect.Options{Broker: w.secure, Upstream: "stateless"}, nil)
	if _, err := session.ListTools(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := call(t, session, &mcp.CallToolParams{Name: "query", Arguments: map[string]any{"region": "us-west1"}}); got != "us-west1" {
		t.Errorf("query: the server got %q in the header", got)
	}
}

// The broker ends the server's own stream with the evidence that it was opened
// by; it is opened anew by what the platform gives next.
func TestStreamOutlivesItsEvidence(t *testing.T) {
	for name, over := range map[string]struct {
		address func(*world) string
		o       trustdomain.Options
	}{
		"X.509-SVID": {func(w *world) string { return w.secure }, trustdomain.Options{X509Lifetime: 4 * time.Second}},
		"JWT-SVID":   {func(w *world) string { return w.socket }, trustdomain.Options{JWTLifetime: 4 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, over.o)
			var changes collected
			w.desktop(t, connect.Options{Broker: over.address(w), Upstream: "legacy"}, &mcp.ClientOptions{
				ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changes.add("tools") },
			})
			streams := func() (n int) {
				for _, r := range w.allowed(t) {
					if r.Method == "stream" {
						n++
					}
				}
				return n
			}
			await(t, "the stream to be opened again", func() bool { return streams() >= 2 })
			wantChange(t, w.legacy, &changes)
		})
	}
}

// wantChange changes the server's tools until the client hears of it: what was
// changed before anybody listened is lost. The server waits for the end of a
// run of changes, so they come apart.
func wantChange(t *testing.T, server *mcp.Server, changes *collected) {
	t.Helper()
	polls := 0
	await(t, "a change of the tools", func() bool {
		if polls%50 == 0 {
			tool(server, fmt.Sprint("new-", polls), func(context.Context, *mcp.CallToolRequest) (string, error) { return "", nil })
		}
		polls++
		return len(changes.get()) > 0
	})
}
