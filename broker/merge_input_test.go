package broker_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

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
	t.Parallel()
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
	t.Parallel()
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

// asksHere begins a call at /mcp, in a session, of a tool that asks for input, and
// returns it once the client was asked.
func (s *several) asksHere(upstream string) (x *exchange, session func(*request)) {
	s.t.Helper()
	begun := s.wantOK(s.call(to("/mcp"), body(initializeAsking)), `"2025-06-18"`)
	session = with("Mcp-Session-Id", begun.header.Get("Mcp-Session-Id"))
	x = s.begin(s.call(to("/mcp"), session, body(toolCall(upstream+"__ask"))))
	x.request("elicitation/create")
	return x, session
}

// A call that waits for its client ends as soon as it may go on no longer.
func TestOneEndpointWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	for _, upstream := range []string{"modern", "older"} {
		t.Run(upstream, func(t *testing.T) {
			s := openSeveral(t)
			s.askingTools()
			x, _ := s.asksHere(upstream)
			s.scan.state(s.id("shop"), "fail", time.Now())
			if event, err := x.event(); err != nil || !strings.Contains(event, "no passing scan") {
				t.Errorf("the call: got %q, %v", event, err)
			}
		})
	}
}

// A server that waits for input which nobody will give is told so.
func TestOneEndpointCallsOffWhatWaits(t *testing.T) {
	t.Parallel()
	for what, ends := range map[string]func(s *several, x *exchange, session func(*request)){
		"left": func(_ *several, x *exchange, _ func(*request)) { _ = x.conn.Close() },
		"cancelled": func(s *several, _ *exchange, session func(*request)) {
			s.do(s.call(to("/mcp"), session, body(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)))
		},
		"ended": func(s *several, _ *exchange, session func(*request)) {
			s.do(s.call(get("/mcp"), method("DELETE"), session))
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := openSeveral(t)
			s.askingTools()
			x, session := s.asksHere("older")
			ends(s, x, session)
			s.await("the server to be told", func() bool {
				return slices.ContainsFunc(s.recorded(audit.Filter{Kind: audit.Outcome}), func(r audit.Record) bool {
					return r.Upstream == "older" && r.Method == "notifications/cancelled"
				})
			})
			s.await("an outcome for each decision", func() bool {
				return s.count(audit.Outcome, "tools/call", "") >= s.count(audit.Decision, "tools/call", "")
			})
			if o, d := s.count(audit.Outcome, "tools/call", ""), s.count(audit.Decision, "tools/call", ""); o != d {
				t.Errorf("got %d outcomes of %d decisions", o, d)
			}
		})
	}
}
