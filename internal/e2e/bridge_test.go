//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// An agent of the stateless revision uses a real server that knows sessions
// only: lists, calls, progress, prompts, resources, and what the server asks.
func testStatelessOnSessions(t *testing.T, w *world) {
	m := w.everything(t)
	progress, sampled := make(chan float64, 16), make(chan string, 1)
	client := listener(progress, sampled, make(chan string, 16))
	client.ElicitationHandler = func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
		return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada", "check": true}}, nil
	}
	session := m.agent(t, evidence{id: shopID, bearer: true}).connect(t, "everything", client)
	if v := session.InitializeResult(); v.ProtocolVersion != "2026-07-28" || session.ID() != "" || v.ServerInfo == nil || v.Instructions == "" {
		t.Fatalf("discovery: got %+v, want the stateless revision", v)
	}
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || !slices.ContainsFunc(tools.Tools, func(tool *mcp.Tool) bool { return tool.Name == "echo" }) {
		t.Errorf("list tools: got %v, %v, want echo among them", tools, err)
	}
	if got := call(t, session, "echo", map[string]any{"message": "hello"}); got != "Echo: hello" {
		t.Errorf("echo: got %q", got)
	}
	wantProgress(t, session, progress)
	await(t, "the tools for clients that can be asked", func() bool {
		tools, err := session.ListTools(t.Context(), nil)
		return err == nil && slices.ContainsFunc(tools.Tools, func(tool *mcp.Tool) bool { return tool.Name == "trigger-elicitation-request" })
	})
	if got := call(t, session, "trigger-sampling-request", map[string]any{"prompt": "say"}); !strings.Contains(got, "from the agent") {
		t.Errorf("sampling: got %q, want the client's answer", got)
	}
	if got := recv(t, "the server's request", sampled); !strings.Contains(got, "say") {
		t.Errorf("sampling request: got %q", got)
	}
	if got := call(t, session, "trigger-elicitation-request", map[string]any{}); !strings.Contains(got, "Name: Ada") {
		t.Errorf("elicitation: got %q, want what the user gave", got)
	}
	m.wantPromptAndResource(t, session)
	var methods []string
	for _, r := range m.records(t, "--kind", "decision", "--outcome", "allow") {
		methods = append(methods, r.Method)
	}
	for _, method := range []string{"server/discover", "initialize", "notifications/initialized", "tools/list", "tools/call", "prompts/get", "resources/read", "response"} {
		if !slices.Contains(methods, method) {
			t.Errorf("records: got methods %v, want %s among them", methods, method)
		}
	}
}

// wantPromptAndResource reads one of each of the example server's.
func (m *mintmark) wantPromptAndResource(t *testing.T, session *mcp.ClientSession) {
	t.Helper()
	prompts, err := session.ListPrompts(t.Context(), nil)
	if err != nil || len(prompts.Prompts) == 0 {
		t.Fatalf("list prompts: got %v, %v", prompts, err)
	}
	if got, err := session.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "simple-prompt"}); err != nil || len(got.Messages) == 0 {
		t.Errorf("prompt: got %v, %v", got, err)
	}
	resources, err := session.ListResources(t.Context(), nil)
	if err != nil || len(resources.Resources) == 0 {
		t.Fatalf("list resources: got %v, %v", resources, err)
	}
	uri := resources.Resources[0].URI
	if got, err := session.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri}); err != nil || len(got.Contents) == 0 || got.CacheScope != "private" {
		t.Errorf("resource %s: got %v, %v", uri, fmt.Sprint(got), err)
	}
}
