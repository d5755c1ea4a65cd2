package broker_test

import (
	"io"
	"strings"
	"testing"

	"mintmark/broker/audit"
)

// listening opens subscriptions/listen on an upstream of the same era, spaced as no
// encoder would.
func (w *world) listening() (*exchange, *events, string) {
	w.t.Helper()
	if err := w.change("mintmark.yaml", "  orders: {url:", "  orders: {protocol: stateless, url:"); err != nil {
		w.t.Fatal(err)
	}
	text := `{ "jsonrpc":"2.0", "method":"subscriptions/listen","id" : "l-1", "params":{"notifications":{"toolsListChanged":true , "resourceSubscriptions":["file:///\u00e9"]},` +
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}} }`
	x, e := w.stream(body(text), with("Mcp-Protocol-Version", "2026-07-28"), with("Mcp-Method", "subscriptions/listen"))
	return x, e, text
}

// Subscriptions of the same era on both sides pass byte for byte, event by event.
func TestSubscriptionsPassByteForByte(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e, sent := w.listening()
	if got := w.upstream.last(t); got.body != sent || got.header.Get("Mcp-Method") != "subscriptions/listen" || got.header.Get("Mcp-Protocol-Version") != "2026-07-28" {
		t.Errorf("upstream: got %+v, want the request as it was sent", got)
	}
	for _, event := range []string{
		`data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"l-1"},"notifications":{"toolsListChanged":true}}}` + "\n\n",
		"id: 7\nevent: message\ndata: { \"jsonrpc\" : \"2.0\",\ndata:  \"method\":\"notifications/tools/list_changed\" }\n\n",
		`data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///\u00e9","x":1e3}}` + "\n\n",
		": still here\n\n",
		`data: {"jsonrpc":"2.0","id":"l-1","result":{"resultType":"complete"}}` + "\n\n",
	} {
		e.event(t, event)
		x.want(event)
	}
	e.event(t, "")
	if rest, err := io.ReadAll(x.body); err != nil || len(rest) != 0 {
		t.Errorf("end: got %q, %v", rest, err)
	}
	if rec := w.lastAllowed(); rec.Method != "subscriptions/listen" || w.outcome(rec.Call).Fault != "" {
		t.Errorf("record: got %+v", rec)
	}
}

// An agent cancels a subscription by leaving, and the upstream must see it.
func TestTheEndOfASubscriptionReachesTheUpstream(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e, _ := w.listening()
	event := `data: {"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}` + "\n\n"
	e.event(t, event)
	x.want(event)
	_ = x.conn.Close()
	recv(t, "the end of the upstream's request", e.left)
	w.await("the end of the call", func() bool { return w.broker.Waiting() == 0 })
	if rec := w.outcome(w.lastAllowed().Call); rec.Method != "subscriptions/listen" || !strings.Contains(rec.Reason, "the agent's connection ended") {
		t.Errorf("outcome: got %+v", rec)
	}
}

// Lists are filtered in the answers to their own requests: on a subscription there
// can be none, and an answer to another call is one that a client might take.
func TestASubscriptionHoldsNoAnswerToAnotherCall(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e, _ := w.listening()
	e.event(t, `data: {"jsonrpc":"2.0","id":"l-2","result":{"tools":[{"name":"refund_all"}]}}`+"\n\n")
	if rest := x.wantCut(); strings.Contains(rest, "refund_all") {
		t.Errorf("got %q, want nothing of the list", rest)
	}
	recv(t, "the end of the upstream's request", e.left)
	if rec := w.outcome(w.lastAllowed().Call); rec.Fault != "bad_upstream" {
		t.Errorf("outcome: got %+v", rec)
	}
}

// A subscription has no end of its own, so that other policies end it.
func TestPoliciesThatDenyItEndASubscription(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e, _ := w.listening()
	if err := w.change("policies.cedar", `action in [Action::"connect", Action::"list"],`, `action in [Action::"list"],`); err != nil {
		t.Fatal(err)
	}
	if rest := x.wantCut(); rest != "" {
		t.Errorf("got %q, want nothing", rest)
	}
	recv(t, "the end of the upstream's request", e.left)
	call := w.lastAllowed().Call
	w.await("the outcome", func() bool {
		for _, r := range w.ofCall(call) {
			if r.Kind == audit.Outcome && r.Fault == "denied" {
				return true
			}
		}
		return false
	})
}
