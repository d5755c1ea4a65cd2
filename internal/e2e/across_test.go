//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/internal/testenv"
)

// toolCall is a tool and its arguments.
type toolCall struct {
	Name      string         `json:"name"`
	Arguments map[string]any `json:"arguments"`
}

// acrossPlan is what testdata/across.mjs is to do.
type acrossPlan struct {
	SDK          string         `json:"sdk"` // "v1" or "v2"
	URL          string         `json:"url"`
	Capabilities map[string]any `json:"capabilities"`
	Text         toolCall       `json:"text"`
	Progress     toolCall       `json:"progress"`
	Asks         []toolCall     `json:"asks"`
	Prompt       string         `json:"prompt"`
	Resource     string         `json:"resource,omitempty"` // "": the first that is listed
	Hang         struct {
		URL  string   `json:"url"`
		Call toolCall `json:"call"`
	} `json:"hang"`
}

// acrossFound is what it found.
type acrossFound struct {
	Revision, Session, Text, Prompt, Cancelled string
	Tools, Prompts, Resources, Asked, Answers  []string
	Resource                                   struct{ URI, Text, Blob string }
	Progress                                   []float64
}

// across runs the plan on the broker, by an agent that the shim speaks for, with a
// server that hangs behind the upstream "hangs".
func (m *mintmark) across(t *testing.T, upstream string, plan acrossPlan) (got acrossFound) {
	t.Helper()
	shim := m.shim(t, shopID)
	plan.URL, plan.Hang.URL, plan.Hang.Call = shim+"/mcp/"+upstream, shim+"/mcp/hangs", toolCall{"hang", map[string]any{}}
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	out := runNode(t, testenv.InstalledNode(t), filepath.Join("testdata", "across.mjs"), string(text))
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("across: got %q: %v", out, err)
	}
	return got
}

// hanging returns a server with the tool hang, which says once how far it is and
// then waits for its end, and a channel that tells of that end.
func hanging() (*mcp.Server, <-chan error) {
	server, ended := newServer(), make(chan error, 1)
	addTool(server, "hang", func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (string, error) {
		err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: 1})
		if err == nil {
			<-ctx.Done()
			err = ctx.Err()
		}
		ended <- err
		return "", err
	})
	return server, ended
}

// The client of the first TypeScript SDK, in a session, on servers that have none.
func testSessionsClientOnStateless(t *testing.T, w *world) {
	server, ended := hanging()
	hangs := newUpstream(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true, PropagateRequestCancellation: true}))
	m := w.serve(t, site{policies: permitShop, config: fmt.Sprintf(`
upstreams:
  everything: {url: %q, protocol: stateless, unauthenticated: true}
  hangs: {url: %q, protocol: stateless, unauthenticated: true}
`, testenv.ConformanceStateless(t).URL, hangs.url)})
	got := m.across(t, "everything", acrossPlan{
		SDK: "v1", Capabilities: map[string]any{"elicitation": map[string]any{}, "sampling": map[string]any{}, "roots": map[string]any{}},
		Text: toolCall{Name: "test_simple_text"}, Progress: toolCall{Name: "test_tool_with_progress"},
		Prompt: "test_simple_prompt", Resource: "test://static-text",
		Asks: []toolCall{
			{Name: "test_input_required_result_elicitation"}, {Name: "test_input_required_result_sampling"},
			{Name: "test_input_required_result_list_roots"}, {Name: "test_input_required_result_multiple_inputs"},
			{Name: "test_input_required_result_multi_round"},
		},
	})
	if got.Revision != "2025-11-25" || got.Session == "" {
		t.Errorf("session: got revision %q and id %q, want one with sessions", got.Revision, got.Session)
	}
	got.wantTour(t, "test_simple_text", "This is a simple text response for testing.", "test_simple_prompt", "This is a simple prompt for testing.", []float64{0, 50, 100})
	if slices.Contains(got.Tools, "test_x_mcp_header") {
		t.Errorf("tools: got %v, want none that needs its arguments in headers", got.Tools)
	}
	want := []string{
		"Hello, Ada!", "Sampling response: from the agent", "Client exposed 1 root(s): file:///home",
		"from the agent Ada — 1 root(s) visible", "Multi-round complete: Ada likes green",
	}
	if !slices.Equal(got.Answers, want) || len(got.Asked) != 4 {
		t.Errorf("input: got %q after %q, want %q", got.Answers, got.Asked, want)
	}
	got.wantCancelled(t, recv(t, "the end of the tool", ended))
	m.wantMethods(t, "everything", "initialize", "server/discover", "tools/list", "tools/call", "prompts/list", "prompts/get", "resources/list", "resources/read", "response", "end")
	m.wantMethods(t, "hangs", "tools/call", "notifications/cancelled")
}

// The client of the second TypeScript SDK, in the stateless revision, on servers
// that keep sessions.
func testStatelessClientOnSessions(t *testing.T, w *world) {
	server, ended := hanging()
	hangs := newUpstream(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	m := w.serve(t, site{policies: permitShop, config: fmt.Sprintf(`
upstreams:
  everything: {url: %q, unauthenticated: true}
  hangs: {url: %q, protocol: sessions, unauthenticated: true}
`, testenv.Everything(t).URL, hangs.url)})
	got := m.across(t, "everything", acrossPlan{
		SDK: "v2", Capabilities: map[string]any{"elicitation": map[string]any{}, "sampling": map[string]any{}},
		Text:     toolCall{"echo", map[string]any{"message": "hello"}},
		Progress: toolCall{"trigger-long-running-operation", map[string]any{"duration": 0.3, "steps": 3}},
		Prompt:   "simple-prompt",
		Asks: []toolCall{
			{"trigger-elicitation-request", map[string]any{}}, {"trigger-sampling-request", map[string]any{"prompt": "say"}},
		},
	})
	if got.Revision != "2026-07-28" || got.Session != "" {
		t.Errorf("session: got revision %q and id %q, want the one without", got.Revision, got.Session)
	}
	got.wantTour(t, "echo", "Echo: hello", "simple-prompt", "This is a simple prompt without arguments.", []float64{1, 2, 3})
	if len(got.Answers) != 2 || !strings.Contains(got.Answers[0], "Name: Ada") || !strings.Contains(got.Answers[1], "from the agent") || len(got.Asked) != 1 {
		t.Errorf("input: got %q after %q, want what the user and the model gave", got.Answers, got.Asked)
	}
	got.wantCancelled(t, recv(t, "the end of the tool", ended))
	m.wantMethods(t, "everything", "server/discover", "initialize", "notifications/initialized", "tools/list", "tools/call", "prompts/list", "prompts/get", "resources/list", "resources/read", "response")
	m.wantMethods(t, "hangs", "initialize", "tools/call", "notifications/cancelled")
}

// wantTour demands what is the same on both ways, in the words of the server.
func (got acrossFound) wantTour(t *testing.T, tool, text, prompt, promptText string, progress []float64) {
	t.Helper()
	if !slices.Contains(got.Tools, tool) || got.Text != text {
		t.Errorf("tools: got %v and %q, want %s and %q", got.Tools, got.Text, tool, text)
	}
	if !slices.Contains(got.Prompts, prompt) || got.Prompt != promptText {
		t.Errorf("prompts: got %v and %q, want %s and %q", got.Prompts, got.Prompt, prompt, promptText)
	}
	if !slices.Contains(got.Resources, got.Resource.URI) || got.Resource.Text+got.Resource.Blob == "" {
		t.Errorf("resources: got %v and %+v, want one with content", got.Resources, got.Resource)
	}
	if !slices.Equal(got.Progress, progress) {
		t.Errorf("progress: got %v, want %v", got.Progress, progress)
	}
}

// wantCancelled demands that the client gave up by its own will, and that this
// ended the tool.
func (got acrossFound) wantCancelled(t *testing.T, ended error) {
	t.Helper()
	if !strings.Contains(got.Cancelled, "enough") {
		t.Errorf("cancelled call: got %q, want the client's own reason", got.Cancelled)
	}
	if !errors.Is(ended, context.Canceled) {
		t.Errorf("end of the tool: got %v, want it cancelled", ended)
	}
}
