package broker_test

import (
	"context"
	"encoding/json"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/broker/audit"
)

// askingTools adds a tool to each real server that asks its client for input in
// the way of its era.
func (s *several) askingTools() {
	schema := json.RawMessage(`{"type":"object"}`)
	question := &sdk.ElicitParams{Message: "which?", RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{"which": map[string]any{"type": "string"}}}}
	said := func(result *sdk.ElicitResult) *sdk.CallToolResult {
		which, _ := result.Content["which"].(string)
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: result.Action + " " + which}}}
	}
	s.older.AddTool(&sdk.Tool{Name: "ask", InputSchema: schema}, func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		result, err := r.Session.Elicit(ctx, question)
		if err != nil {
			return nil, err
		}
		return said(result), nil
	})
	s.modern.AddTool(&sdk.Tool{Name: "ask", InputSchema: schema}, func(_ context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		if given, ok := r.Params.InputResponses["a"].(*sdk.ElicitResult); ok {
			return said(given), nil
		}
		return &sdk.CallToolResult{InputRequests: sdk.InputRequestMap{"a": question}, RequestState: "state"}, nil
	})
}

// A client of either era is asked by a server of either, though several servers
// are one to it.
func TestOneEndpointAsksForInput(t *testing.T) {
	for _, revision := range []string{"", "2025-11-25", "2025-06-18"} {
		for _, upstream := range []string{"modern", "older"} {
			t.Run(revision+" on "+upstream, func(t *testing.T) {
				s := openSeveral(t)
				s.askingTools()
				client := s.connectWith(t, "shop", revision, &sdk.ClientOptions{ElicitationHandler: func(_ context.Context, r *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
					if r.Params.Message != "which?" {
						t.Errorf("asked: got %+v", r.Params)
					}
					return &sdk.ElicitResult{Action: "accept", Content: map[string]any{"which": "seven"}}, nil
				}})
				got, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: upstream + "__ask", Arguments: map[string]any{}})
				if err != nil || got.IsError || got.Content[0].(*sdk.TextContent).Text != "accept seven" {
					t.Fatalf("call: got %+v, %v", got, err)
				}
				call := s.lastAllowedOf("tools/call")
				if call.Upstream != upstream || call.Tool != "ask" {
					t.Errorf("decision: got %+v", call)
				}
				s.await("an outcome for each decision", func() bool {
					return s.count(audit.Outcome, "tools/call", "") == s.count(audit.Decision, "tools/call", "")
				})
			})
		}
	}
}

// A client that can't be asked is not, and the server hears so.
func TestOneEndpointAsksNobodyWhoCannotAnswer(t *testing.T) {
	for _, revision := range []string{"", "2025-11-25"} {
		for _, upstream := range []string{"modern", "older"} {
			t.Run(revision+" on "+upstream, func(t *testing.T) {
				s := openSeveral(t)
				s.askingTools()
				got, err := s.connect(t, "shop", revision).CallTool(t.Context(), &sdk.CallToolParams{Name: upstream + "__ask", Arguments: map[string]any{}})
				if err == nil && !got.IsError {
					t.Errorf("got %+v, want an error", got)
				}
			})
		}
	}
}
