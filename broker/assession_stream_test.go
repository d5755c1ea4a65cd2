package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/broker/audit"
)

// Closing the request's connection is how the stateless era cancels.
func TestACancellationReachesTheUpstream(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, s)
	client := w.client("modern", "2025-11-25", nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := client.CallTool(ctx, &mcp.CallToolParams{Name: "lookup_wait"})
		done <- err
	}()
	recv(t, "the call", s.begun)
	cancel()
	recv(t, "the end of the upstream's request", s.left)
	if err := recv(t, "the end of the call", done); !errors.Is(err, context.Canceled) {
		t.Errorf("call: got %v", err)
	}
}

func TestANoticeOfCancellationEndsItsRequestAlone(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, s)
	handle, other := w.session("modern", initializeAsking), w.session("modern", initializeAsking)
	in := func(handle, text string) request {
		return w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), body(text))
	}
	waiting := strings.Replace(toolCall("lookup_wait"), `{"name"`, `{"_meta":{"progressToken":1},"name"`, 1)
	x := w.begin(in(handle, waiting))
	recv(t, "the call", s.begun)
	if event, err := x.event(); err != nil || !strings.Contains(event, "notifications/progress") {
		t.Fatalf("event: got %q, %v", event, err)
	}
	if got := w.do(in(handle, waiting)); got.status != 400 || got.refusal(t).Code != -32600 {
		t.Errorf("the same id again: got %d %q", got.status, got.body)
	}
	cancelled := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`
	for _, r := range []request{in(other, fmt.Sprintf(cancelled, "1")), in(handle, fmt.Sprintf(cancelled, `"1"`)), in(handle, fmt.Sprintf(cancelled, "2"))} {
		if got := w.do(r); got.status != 202 {
			t.Errorf("of another request: got %d %q", got.status, got.body)
		}
	}
	select {
	case <-s.left:
		t.Fatal("the request was ended by the cancellation of another")
	default:
	}
	if got := w.do(in(handle, fmt.Sprintf(cancelled, "1"))); got.status != 202 {
		t.Fatalf("cancel: got %d %q", got.status, got.body)
	}
	recv(t, "the end of the upstream's request", s.left)
	if rest, err := io.ReadAll(x.body); err != nil || len(rest) != 0 {
		t.Errorf("end: got %q, %v, want no answer", rest, err)
	}
	if rec := w.outcome(w.lastAllowedOf("tools/call").Call); rec.Reason != "the agent cancelled the request" {
		t.Errorf("outcome: got %+v", rec)
	}
}

func TestTheEndOfASessionEndsItsRequests(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, s)
	handle := w.session("modern", initializeAsking)
	x, id := w.asked(handle)
	end := w.call(get("/mcp/modern"), method("DELETE"), with("Mcp-Session-Id", handle))
	if got := w.do(end); got.status != 200 {
		t.Fatalf("end: got %d %q", got.status, got.body)
	}
	if rest, err := io.ReadAll(x.body); err != nil || len(rest) != 0 {
		t.Errorf("the call: got %q, %v", rest, err)
	}
	if got := w.do(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), accepting(id, "name"))); got.status != 400 {
		t.Errorf("an answer after the end: got %d %q", got.status, got.body)
	}
}

// A stream that is bridged is under the same watch as any: both while the
// upstream is silent and while its client is asked.
func TestPostureThatTurnsBadEndsABridgedStream(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"lookup_wait", "lookup_ask"} {
		t.Run(tool, func(t *testing.T) {
			s := newStateless(t)
			w := modern(t, s)
			handle := w.session("modern", initializeAsking)
			x := w.begin(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle),
				body(strings.Replace(toolCall(tool), `{"name"`, `{"_meta":{"progressToken":1},"name"`, 1))))
			if event, err := x.event(); err != nil {
				t.Fatalf("event: got %q, %v", event, err)
			}
			w.scan.state(w.id("shop"), "fail", time.Now())
			if event, err := x.event(); err != nil || !strings.Contains(event, `"id":1`) || !strings.Contains(event, "this agent has no passing scan") {
				t.Errorf("answer: got %q, %v", event, err)
			}
			if tool == "lookup_wait" {
				recv(t, "the end of the upstream's request", s.left)
			}
			call := w.lastAllowedOf("tools/call").Call
			w.await("the outcome", func() bool {
				return slices.ContainsFunc(w.ofCall(call), func(r audit.Record) bool { return r.Kind == audit.Outcome && r.Fault == "denied" })
			})
		})
	}
}

func TestAnAgentThatLeavesEndsTheBridgedRequest(t *testing.T) {
	t.Parallel()
	s := newStateless(t)
	w := modern(t, s)
	handle := w.session("modern", initializeAsking)
	conn := w.write(w.call(to("/mcp/modern"), with("Mcp-Session-Id", handle), body(toolCall("lookup_wait"))))
	recv(t, "the call", s.begun)
	_ = conn.Close()
	recv(t, "the end of the upstream's request", s.left)
	w.await("the end of the call", func() bool { return w.broker.Waiting() == 0 })
}
