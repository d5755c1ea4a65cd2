package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/broker/audit"
	"mintmark/internal/trustdomain"
)

func TestAStatelessAgentUsesAServerWithSessions(t *testing.T) {
	w, o := bridged(t)
	a := w.statelessly(w.agent)
	found := a.InitializeResult()
	if found.ServerInfo.Name != "older" || found.Instructions != "ask politely" || found.Capabilities.Tools == nil || found.Capabilities.Tools.ListChanged ||
		found.Capabilities.Resources == nil || found.Capabilities.Resources.Subscribe || found.Capabilities.Completions == nil {
		t.Errorf("discovery: got %+v with %+v", found, found.Capabilities)
	}
	a.wantCall(t, "lookup_order", "order 7")
	prompt, err := a.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "greet", Arguments: map[string]string{"who": "you"}})
	if err != nil || prompt.Messages[0].Content.(*mcp.TextContent).Text != "hello you" {
		t.Errorf("prompt: got %+v, %v", prompt, err)
	}
	resource, err := a.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "file:///public"})
	if err != nil || resource.Contents[0].Text != "what is public" || resource.CacheScope != "private" {
		t.Errorf("resource: got %+v, %v", resource, err)
	}
	completion, err := a.Complete(t.Context(), &mcp.CompleteParams{Ref: &mcp.CompleteReference{Type: "ref/prompt", Name: "greet"}, Argument: mcp.CompleteParamsArgument{Name: "who", Value: "m"}})
	if err != nil || !slices.Equal(completion.Completion.Values, []string{"monday"}) {
		t.Errorf("completion: got %+v, %v", completion, err)
	}
	if n := len(o.seen(`"initialize"`)); n != 1 {
		t.Errorf("sessions begun: got %d, want 1", n)
	}
	got := o.seen(`"tools/call"`)[0]
	if got.header.Get("Mcp-Protocol-Version") != "2025-11-25" || got.session == "" || got.header["Mcp-Method"] != nil || got.header["Mcp-Name"] != nil || strings.Contains(got.body, "io.modelcontextprotocol/") {
		t.Errorf("at the server: got %+v", got)
	}
}

func TestTheBridgeListsWhatMayBeCalled(t *testing.T) {
	w, _ := bridged(t)
	a := w.statelessly(w.agent)
	tools, err := a.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range tools.Tools {
		names = append(names, tool.Name)
	}
	if want := []string{"lookup_ask", "lookup_hang", "lookup_order", "lookup_secret", "lookup_slow", "lookup_twice"}; !slices.Equal(names, want) || tools.CacheScope != "private" {
		t.Errorf("tools: got %q, scope %q, want %q", names, tools.CacheScope, want)
	}
	prompts, err := a.ListPrompts(t.Context(), nil)
	if err != nil || len(prompts.Prompts) != 1 || prompts.Prompts[0].Name != "greet" {
		t.Errorf("prompts: got %+v, %v", prompts, err)
	}
	resources, err := a.ListResources(t.Context(), nil)
	if err != nil || len(resources.Resources) != 1 || resources.Resources[0].URI != "file:///public" {
		t.Errorf("resources: got %+v, %v", resources, err)
	}
	if _, err := a.call(t.Context(), "delete_order"); err == nil || !strings.Contains(err.Error(), "mintmark: ") {
		t.Errorf("a tool that is not listed: got %v, want a refusal", err)
	}
	if _, err := a.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "file:///internal"}); err == nil || !strings.Contains(err.Error(), "mintmark: ") {
		t.Errorf("a resource that is not listed: got %v, want a refusal", err)
	}
}

func TestProgressAndLogsPassTheBridge(t *testing.T) {
	w, _ := bridged(t)
	a := w.statelessly(w.agent)
	params := &mcp.CallToolParams{Name: "lookup_slow", Meta: mcp.Meta{}}
	params.SetProgressToken("tok")
	result, err := a.CallTool(t.Context(), params)
	if err != nil || result.Content[0].(*mcp.TextContent).Text != "done" {
		t.Fatalf("call: got %+v, %v", result, err)
	}
	for want := range 2 {
		if p := recv(t, "progress", a.progress); p.Progress != float64(want+1) || p.ProgressToken != "tok" {
			t.Errorf("progress: got %+v, want %d", p, want+1)
		}
	}
	slow := w.stateless2026("tools/call", 1, `"name":"lookup_slow","arguments":{}`, "")
	if got := w.wantOK(slow, `"done"`); strings.Contains(got.body, "notifications/") {
		t.Errorf("a call that wants neither: got %s", got.body)
	}
	slow.body = strings.Replace(slow.body, `{"_meta":{`, `{"_meta":{"io.modelcontextprotocol/logLevel":"info",`, 1)
	if got := w.wantOK(slow, `"step 2"`); strings.Contains(got.body, "step 1") || got.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("a call that wants no debugging: got %s", got.body)
	}
}

func TestAServerAsksThroughTheBridge(t *testing.T) {
	w, o := bridged(t)
	asked := atomic.Int64{}
	a := w.statelessly(w.agent, answers(func(message string) *mcp.ElicitResult {
		asked.Add(1)
		what := strings.TrimSuffix(strings.TrimPrefix(message, "which "), "?")
		return &mcp.ElicitResult{Action: "accept", Content: map[string]any{what: what + "!"}}
	}))
	a.wantCall(t, "lookup_ask", "accept name!")
	twice := &mcp.CallToolParams{Name: "lookup_twice", Arguments: map[string]any{"order": "7"}, Meta: mcp.Meta{}}
	twice.SetProgressToken("tok") // so that the question comes on a stream that has begun
	if got, err := a.CallTool(t.Context(), twice); err != nil || got.Content[0].(*mcp.TextContent).Text != "accept first!, accept second!" {
		t.Errorf("lookup_twice: got %+v, %v", got, err)
	}
	if p := recv(t, "progress", a.progress); p.ProgressToken != "tok" {
		t.Errorf("progress: got %+v", p)
	}
	if asked.Load() != 3 || len(o.seen(`"initialize"`)) != 1 {
		t.Errorf("asked %d times in %d sessions, want 3 in 1", asked.Load(), len(o.seen(`"initialize"`)))
	}
	// Each repeated request was judged and recorded, and so was each answer.
	w.await("outcomes", func() bool { return w.count(audit.Outcome, "tools/call", "") == 5 })
	if calls, responses := w.count(audit.Decision, "tools/call", ""), w.count(audit.Decision, "response", ""); calls != 5 || responses != 3 {
		t.Errorf("decisions: got %d on calls and %d on answers, want 5 and 3", calls, responses)
	}
	no := w.statelessly(w.agent, answers(func(string) *mcp.ElicitResult { return &mcp.ElicitResult{Action: "decline"} }))
	no.wantCall(t, "lookup_ask", "decline <nil>")
}

// count returns how many records of a kind and method there are, of a call or of
// all.
func (w *world) count(kind audit.Kind, method, call string) (n int) {
	w.t.Helper()
	for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: kind, Call: call}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Method == method {
			n++
		}
	}
	return n
}

func TestAnAgentThatCantBeAskedIsNot(t *testing.T) {
	w, _ := bridged(t)
	a := w.statelessly(w.agent)
	if got, err := a.call(t.Context(), "lookup_ask"); err == nil || !strings.Contains(err.Error(), "elicitation") {
		t.Errorf("got %q, %v, want the server's own error", got, err)
	}
}

func TestCancellationPassesTheBridge(t *testing.T) {
	w, o := bridged(t)
	a := w.statelessly(w.agent)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { _, err := a.call(ctx, "lookup_hang"); failed <- err }()
	recv(t, "the call at the server", o.begun)
	cancel()
	if err := recv(t, "the end of the call", failed); err == nil {
		t.Error("end of the call: got no error")
	}
	if err := recv(t, "the end of the tool", o.ended); err == nil {
		t.Error("end of the tool: got no error, want a cancelled context")
	}
	if got := o.seen(`"notifications/cancelled"`); len(got) != 1 {
		t.Errorf("cancelled at the server: got %+v, want one", got)
	}
	// The agent's client says it as well as it closes its stream.
	w.await("the records", func() bool { return w.count(audit.Outcome, "notifications/cancelled", "") == 2 })
}

func TestADeadSessionIsBegunAnew(t *testing.T) {
	w, o := bridged(t)
	a := w.statelessly(w.agent)
	a.wantCall(t, "lookup_order", "order 7")
	o.restart()
	a.wantCall(t, "lookup_order", "order 7")
	if n := len(o.seen(`"initialize"`)); n != 2 {
		t.Errorf("sessions begun: got %d, want 2", n)
	}
}

func TestIdentitiesNeverShareASession(t *testing.T) {
	w, o := bridged(t)
	shop := w.statelessly(w.agent)
	clerk := w.statelessly(w.token(w.domain, "clerk", trustdomain.JWTRequest{}))
	w.scan.state(w.id("clerk"), "pass", time.Now())
	shop.wantCall(t, "lookup_order", "order 7")
	clerk.wantCall(t, "lookup_order", "order 7")
	again := w.statelessly(w.token(w.domain, "shop", trustdomain.JWTRequest{})) // fresh evidence of the same agent
	again.wantCall(t, "lookup_order", "order 7")
	calls := o.seen(`"tools/call"`)
	if len(calls) != 3 || calls[0].session == calls[1].session || calls[0].session != calls[2].session {
		t.Errorf("sessions: got %q, %q, %q; want the first agent's, another, the first's", calls[0].session, calls[1].session, calls[2].session)
	}
}

// Two issuers may name one subject and mean two workloads.
func TestNamesakesOfTwoIssuersNeverShareASession(t *testing.T) {
	for path, tool := range map[string]string{"/mcp/orders": "lookup_order", "/mcp": "orders__lookup_order"} {
		t.Run(path, func(t *testing.T) {
			w, o := bridged(t)
			w.vouching()
			for i, issuer := range []string{"https://one.example", "https://other.example", "https://one.example"} {
				w.wantOK(w.stateless2026("tools/call", i, `"name":"`+tool+`","arguments":{"order":"7"}`, "", vouchedFor(issuer), to(path)), `order 7`)
			}
			calls := o.seen(`"tools/call"`)
			if len(calls) != 3 || calls[0].session == "" || calls[0].session == calls[1].session || calls[0].session != calls[2].session {
				t.Errorf("sessions: got %+v; want the first issuer's, another, the first's", calls)
			}
			if n := len(o.seen(`"initialize"`)); n != 2 {
				t.Errorf("sessions begun: got %d, want one for each", n)
			}
		})
	}
}

func TestOneSessionHoweverManyWait(t *testing.T) {
	w, o := bridged(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			got := w.do(w.stateless2026("tools/call", i, `"name":"lookup_order","arguments":{"order":"7"}`, ""))
			if got.status != 200 || !strings.Contains(got.body, `"order 7"`) || !strings.Contains(got.body, fmt.Sprintf(`"id":%d`, i%2)) {
				t.Errorf("call %d: got %d %s", i, got.status, got.body)
			}
		})
	}
	group.Wait()
	if n := len(o.seen(`"initialize"`)); n != 1 {
		t.Errorf("sessions begun: got %d, want 1", n)
	}
}

func TestMasksACredentialThatComesThroughTheBridge(t *testing.T) {
	w, _ := bridged(t)
	a := w.statelessly(w.agent)
	if got, err := a.call(t.Context(), "lookup_secret"); err != nil || !strings.HasPrefix(got, "Bearer ****") {
		t.Errorf("got %q, %v, want it masked", got, err)
	}
}

// Two ways to write an id are one id to the upstream.
func TestAnIDIsTakenHoweverItIsWritten(t *testing.T) {
	w, o := bridged(t)
	call := func(id, tool string) request {
		r := w.stateless2026("tools/call", 0, `"name":"`+tool+`","arguments":{"order":"7"}`, "")
		r.body = strings.Replace(r.body, `"id":0`, `"id":`+id, 1)
		return r
	}
	conn := w.write(call(`"a"`, "lookup_hang"))
	defer func() { _ = conn.Close() }()
	recv(t, "the call at the server", o.begun)
	w.wantOK(call(`"\u0061"`, "lookup_order"), `"id":"\u0061"`)
	if calls := o.seen(`"lookup_order"`); len(calls) != 1 || !strings.Contains(calls[0].body, `"id":"mintmark-`) {
		t.Errorf("at the server: got %+v, want an id of its own", calls)
	}
}
