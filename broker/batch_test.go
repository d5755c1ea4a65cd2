package broker_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/broker/audit"
)

// message returns a JSON-RPC message; id "" makes it a notification.
func message(id, method, params string) string {
	if id != "" {
		id = `"id":` + id + `,`
	}
	return `{"jsonrpc":"2.0",` + id + `"method":"` + method + `","params":` + params + `}`
}

func batch(messages ...string) func(*request) { return body("[" + strings.Join(messages, ",\n") + "]") }

const initialized = `{"jsonrpc":"2.0","method":"notifications/initialized"}`

func lookup(id string) string {
	return message(id, "tools/call", `{"name":"lookup_order","arguments":{"order":`+id+`}}`)
}

func refund(id string) string { return message(id, "tools/call", `{"name":"refund_all"}`) }

// refusals reads the array of errors that a batch is refused with.
func (a answer) refusals(t testing.TB) (all []refusal) {
	t.Helper()
	var parts []json.RawMessage
	mustJSON(t, []byte(a.body), &parts)
	for _, part := range parts {
		one := a
		one.body = string(part)
		all = append(all, one.refusal(t))
	}
	return all
}

// decided returns the decisions on the messages of one batch, in their order.
func (w *world) decided(call string, n int) []audit.Record {
	w.t.Helper()
	return w.records(audit.Filter{Kind: audit.Decision, Call: call}, n)
}

// A page in answer to a batch is no more an answer than one to a message by itself. One that
// wants none may be answered with anything.
func TestAPageInAnswerToABatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, status := range []int{http.StatusOK, http.StatusNotFound, http.StatusNotImplemented} {
		w.upstream.does(answering(status, "text/html; charset=utf-8", "<h1>odd</h1>"))
		got := w.do(w.call(batch(lookup("1"), initialized, lookup("2"))))
		want := fmt.Sprintf("expected an MCP server at the upstream's url, which answers a request in JSON or an event stream, got HTTP status %d and text/html", status)
		all := got.refusals(t)
		if len(all) != 2 || got.status != http.StatusOK || strings.Contains(got.body, "odd") {
			t.Fatalf("got %d %s, want two refusals", got.status, got.body)
		}
		for _, one := range all {
			if !strings.Contains(one.Text, want) || one.Kind != "bad_upstream" {
				t.Errorf("got %+v, want %q", one, want)
			}
		}
	}
	if got := w.do(w.call(batch(initialized))); !strings.Contains(got.body, "odd") {
		t.Errorf("of notifications alone: got %d %s, want the page", got.status, got.body)
	}
	w.upstream.does(answering(http.StatusForbidden, "text/html", "<h1>odd</h1>"))
	if got := w.do(w.call(batch(lookup("1")))); got.status != http.StatusForbidden || !strings.Contains(got.body, "odd") {
		t.Errorf("a status to act on: got %d %s, want it as it is", got.status, got.body)
	}
}

func TestABatchIsSentAsItCame(t *testing.T) {
	t.Parallel()
	w := open(t)
	const answers = `[{"jsonrpc":"2.0","id":2,"result":{}},{"jsonrpc":"2.0","id":1,"result":{}}]`
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, answers)
	})
	call := w.call(batch(lookup("1"), initialized, message("2", "tools/list", "{}"), lookup("3")), with("MCP-Protocol-Version", "2025-03-26"))
	before := w.upstream.taken()
	if got := w.wantOK(call, "result"); got.body != answers {
		t.Errorf("answer: got %q, want %q", got.body, answers)
	}
	got := w.upstream.last(t)
	if got.body != call.body || w.upstream.taken()-before != 1 || got.header.Get("Authorization") != "Bearer "+w.issuer.last() {
		t.Errorf("upstream: got %d requests, the last with %q and %q", w.upstream.taken()-before, got.header.Get("Authorization"), got.body)
	}
	id := w.lastAllowed().Call
	decided := w.decided(id, 4)
	for i, want := range []struct {
		method, tool string
		arguments    bool
	}{{"tools/call", "lookup_order", true}, {"notifications/initialized", "", false}, {"tools/list", "", false}, {"tools/call", "lookup_order", true}} {
		d := decided[i]
		if !d.Allow || d.Method != want.method || d.Tool != want.tool || (d.Arguments != "") != want.arguments ||
			d.Credential == "" || d.Credential != decided[0].Credential || d.Fingerprint == "" || len(d.Policies) == 0 || d.Agent != w.id("shop").String() {
			t.Errorf("decision %d: got %+v, want %+v allowed with the credential", i, d, want)
		}
	}
	if decided[0].Arguments == decided[3].Arguments {
		t.Errorf("arguments: got the digest %s of two different ones", decided[0].Arguments)
	}
	if o := w.outcome(id); o.Method != "batch" || o.Status != 200 || o.Bytes != int64(len(answers)) || o.Credential != decided[0].Credential {
		t.Errorf("outcome: got %+v", o)
	}
}

// Each decision of a batch says which message it is about.
func TestTheRecordHasTheDigestOfEachMessageOfABatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	sent := []string{message("1", "tools/list", `{"cursor":"a"}`), message("2", "tools/list", `{"cursor":"b"}`)}
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `[{"jsonrpc":"2.0","id":1,"result":{"tools":[]}},{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}]`)
	})
	w.wantOK(w.call(batch(sent...)), "tools")
	for i, rec := range w.decided(w.lastAllowed().Call, 2) {
		if want := fmt.Sprintf("%x", sha256.Sum256([]byte(sent[i]))); rec.Body != want {
			t.Errorf("message %d: got body %q, want %q", i, rec.Body, want)
		}
	}
}

func TestABatchIsAnsweredByEvents(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream(batch(lookup("1"), lookup("2")))
	for _, text := range []string{"data: {\"id\":2}\n\n", "data: [{\"id\":1}]\n\n"} {
		e.event(t, text)
		x.want(text)
	}
	e.event(t, "data: "+w.issuer.last()+"\n\n")
	if got, err := x.event(); err != nil || strings.Contains(got, w.issuer.last()) {
		t.Errorf("event with the credential: got %q, %v", got, err)
	}
	e.event(t, "")
	if rest, err := io.ReadAll(x.body); len(rest) != 0 || err != nil {
		t.Errorf("end: got %q, %v", rest, err)
	}
}

// Every message of a batch must stay allowed while its answer is under way.
func TestABatchIsCutWhenOneOfItIsNoLongerAllowed(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, _ := w.stream(batch(message("1", "tools/list", "{}"), lookup("2")))
	w.scan.state(w.id("shop"), "fail", time.Now())
	x.wantCut()
	if o := w.outcome(w.lastAllowed().Call); o.Fault != "denied" || !strings.Contains(o.Reason, "no passing scan") {
		t.Errorf("outcome: got %+v, want it cut by posture", o)
	}
}

func TestOneRefusalKeepsTheWholeBatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	const (
		forbidden = `forbidden by policy "nobody-refunds-all": refunds are made one by one`
		unknown   = `is not one that policies know, so none can permit it`
	)
	for _, c := range []struct {
		name     string
		messages []string
		refused  []int  // the messages at fault, from 0
		says     string // part of why, of the first
		ids      string // of the errors in the answer
	}{
		{"the last", []string{lookup("1"), refund("2")}, []int{1}, forbidden, "1 2"},
		{"the first", []string{refund(`"a"`), lookup("2"), lookup("3")}, []int{0}, forbidden, `"a" 2 3`},
		{"two", []string{lookup("1"), refund("2"), message("3", "tools/delete", "{}")}, []int{1, 2}, forbidden, "1 2 3"},
		{"a notification", []string{lookup("1"), message("", "notifications/own", "{}")}, []int{1}, unknown, "1"},
		{"beside a notification", []string{initialized, refund("1")}, []int{1}, forbidden, "1"},
		{"a stream without an end", []string{lookup("1"), message("2", "subscriptions/listen", "{}")}, []int{1}, "a stream without an end", "1 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.in(t)
			before := w.upstream.bytes.Load()
			got := w.do(w.call(batch(c.messages...)))
			said := got.refusals(t)
			var ids []string
			for _, r := range said {
				ids = append(ids, string(r.ID))
				if r.Code != -31403 && !strings.Contains(r.Text, unknown) || r.Step != "decide" || r.Kind != "denied" || r.Call != said[0].Call {
					t.Errorf("refusal: got %+v", r)
				}
			}
			if got.status != 200 || strings.Join(ids, " ") != c.ids {
				t.Errorf("answer: got %d for the ids %v, want 200 for %s", got.status, ids, c.ids)
			}
			if reached := w.upstream.bytes.Load() - before; reached != 0 {
				t.Errorf("%d bytes reached the upstream, want none", reached)
			}
			whole := fmt.Sprintf("message %d of the batch was refused, and nothing of it was sent: ", c.refused[0]+1)
			for i, d := range w.decided(said[0].Call, len(c.messages)) {
				if d.Allow || d.Step != "decide" || d.Fault != "denied" || d.Credential != "" {
					t.Errorf("decision %d: got %+v, want a denial", i, d)
				}
				if slices.Contains(c.refused, i) == strings.HasPrefix(d.Reason, whole) {
					t.Errorf("decision %d: got the reason %q", i, d.Reason)
				}
				if first := i == c.refused[0] || !slices.Contains(c.refused, i); first && !strings.Contains(d.Reason, c.says) {
					t.Errorf("decision %d: got the reason %q, want %q in it", i, d.Reason, c.says)
				}
			}
			if all := w.ofCall(said[0].Call); len(all) != len(c.messages) {
				t.Errorf("records: got %d, want the decisions alone", len(all))
			}
		})
	}
	w.in(t)
}

// Where nobody waits for an answer with an id, the status says it.
func TestABatchWithoutRequestsIsRefusedByItsStatus(t *testing.T) {
	t.Parallel()
	w := open(t)
	got := w.do(w.call(batch(initialized, message("", "notifications/own", "{}"))))
	said := got.refusal(t)
	if got.status != 403 || string(said.ID) != "null" || !strings.Contains(said.Text, "message 2 of the batch was refused, and nothing of it was sent: ") {
		t.Errorf("got %d %+v", got.status, said)
	}
	w.decided(said.Call, 2)
}

func TestABatchOfAnswersPasses(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusAccepted) })
	call := w.call(batch(`{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"no"}}`))
	if got := w.do(call); got.status != 202 || got.body != "" {
		t.Errorf("got %d %q", got.status, got.body)
	}
	if got := w.upstream.last(t); got.body != call.body {
		t.Errorf("upstream: got %q", got.body)
	}
	for _, d := range w.decided(w.lastAllowed().Call, 2) {
		if !d.Allow || d.Method != "response" {
			t.Errorf("decision: got %+v", d)
		}
	}
}

// A list in the answer to a batch shows no more than a list asked for alone.
func TestAListInABatchNamesOnlyWhatMayBeCalled(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `[{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"lookup_order"},{"name":"refund"}]}},{"jsonrpc":"2.0","id":1,"result":{}}]`)
	})
	got := w.wantOK(w.call(batch(lookup("1"), message("2", "tools/list", "{}"))), "result")
	if want := `[{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"lookup_order"}]}},{"jsonrpc":"2.0","id":1,"result":{}}]`; got.body != want {
		t.Errorf("answer: got %q, want %q", got.body, want)
	}
}

// Where a message would go in another form, or to several upstreams, it goes
// alone.
func TestABatchGoesOnlyWhereThereAreBatches(t *testing.T) {
	t.Parallel()
	w := open(t)
	err := w.change("mintmark.yaml", "\n  open: {", fmt.Sprintf(`
  modern: {url: "http://%s/mcp", protocol: stateless, credentials: [{provider: token, scheme: bearer}]}
  open: {`, w.upstream.address))
	if err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{"/mcp/modern": "got a batch for an upstream that speaks MCP 2026-07-28", "/mcp": "each message may be for another upstream"} {
		before := w.upstream.bytes.Load()
		got := w.do(w.call(to(path), batch(lookup("1"), lookup("2"))))
		if said := got.refusals(t); got.status != 400 || len(said) != 2 || !strings.Contains(said[1].Text, says) {
			t.Errorf("%s: got %d %q", path, got.status, got.body)
		}
		if reached := w.upstream.bytes.Load() - before; reached != 0 {
			t.Errorf("%s: %d bytes reached the upstream, want none", path, reached)
		}
	}
}

// What was decided for one credential must not go out with another.
func TestABatchIsSentWithOneCredential(t *testing.T) {
	t.Parallel()
	w := open(t)
	err := w.change("mintmark.yaml", "\n  open: {", fmt.Sprintf(`
  split: {url: "http://%s/mcp", credentials: [{provider: token, scheme: bearer, tools: [lookup_order]}, {provider: user, scheme: basic}]}
  open: {`, w.upstream.address))
	if err != nil {
		t.Fatal(err)
	}
	other := message("2", "tools/call", `{"name":"lookup_user"}`)
	got := w.do(w.call(to("/mcp/split"), batch(lookup("1"), other)))
	said := got.refusals(t)
	if got.status != 200 || len(said) != 2 || !strings.Contains(said[0].Text, "message 2 of the batch was refused") || !strings.HasPrefix(said[1].Text, "another credential is registered for this call") {
		t.Fatalf("got %d %+v", got.status, said)
	}
	w.wantOK(w.call(to("/mcp/split"), batch(lookup("1"), lookup("2"))), "result")
	if auth := w.upstream.last(t).header.Get("Authorization"); auth != "Bearer "+w.issuer.last() {
		t.Errorf("upstream: got %q, want the token", auth)
	}
	w.wantOK(w.call(to("/mcp/split"), batch(message("1", "tools/call", `{"name":"lookup_user"}`))), "result")
	if _, password, ok := basicAuth(w.upstream.last(t).header.Get("Authorization")); !ok || password != w.issuer.last() {
		t.Errorf("upstream: got %v, want the password", w.upstream.last(t).header)
	}
}

func TestABatchForAnOpenUpstreamCarriesNoCredential(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(to("/mcp/open"), batch(lookup("1"), lookup("2"))), "result")
	if got := w.upstream.last(t).header["Authorization"]; got != nil {
		t.Errorf("upstream: got %q, want nothing of the agent", got)
	}
	w.decided(w.lastAllowed().Call, 2)
}

func TestABatchWithoutItsCredentialIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	for upstream, c := range map[string]struct {
		code       int
		step, says string
		recorded   bool
	}{
		"failing":     {-31503, "lease", "could not issue a token", false},
		"unreachable": {-31503, "forward", "reached", true},
		"nobody":      {-31403, "decide", "no upstream of this name", false},
	} {
		t.Run(upstream, func(t *testing.T) {
			w.in(t)
			got := w.do(w.call(to("/mcp/"+upstream), batch(lookup("1"), initialized, lookup("2"))))
			said := got.refusals(t)
			if len(said) != 2 || said[0].Code != c.code || said[1].Code != c.code || said[0].Text != said[1].Text || said[0].Step != c.step || !strings.Contains(said[0].Text, c.says) {
				t.Fatalf("got %d %+v", got.status, said)
			}
			for _, d := range w.decided(said[0].Call, 3) {
				if d.Allow != c.recorded || !c.recorded && d.Step != c.step {
					t.Errorf("decision: got %+v", d)
				}
			}
			if c.recorded {
				if o := w.outcome(said[0].Call); o.Method != "batch" || o.Step != c.step || o.Allow {
					t.Errorf("outcome: got %+v", o)
				}
			}
		})
	}
	w.in(t)
}

func TestABatchIsOfItsSession(t *testing.T) {
	t.Parallel()
	w := open(t)
	handle := w.begun("orders")
	w.wantOK(w.call(with("Mcp-Session-Id", handle), batch(lookup("1"), lookup("2"))), "result")
	if got := w.upstream.last(t).header.Get("Mcp-Session-Id"); got != "upstreams-own-session" {
		t.Errorf("session at the upstream: got %q, want its own", got)
	}
	for _, d := range w.decided(w.lastAllowed().Call, 2) {
		if len(d.Session) != 32 {
			t.Errorf("decision: got session %q, want a digest of the handle", d.Session)
		}
	}
	got := w.do(w.call(to("/mcp/tools"), with("Mcp-Session-Id", handle), batch(lookup("1"))))
	if said := got.refusals(t); got.status != 404 || len(said) != 1 || !strings.Contains(said[0].Text, "unknown session") {
		t.Errorf("of another upstream: got %d %q", got.status, got.body)
	}
}

// The agent's own authority goes no further with a batch than with a message.
func TestABatchIsStripped(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(batch(lookup("1"), lookup("2")), with("X-Api-Key", "sk-made-up"), with("Cookie", base64.StdEncoding.EncodeToString([]byte("a=b")))), "result")
	for _, d := range w.decided(w.lastAllowed().Call, 2) {
		if strings.Join(d.Stripped, " ") != "Authorization Cookie X-Api-Key" {
			t.Errorf("decision: got stripped %q", d.Stripped)
		}
	}
	if got := w.upstream.last(t).header; got["X-Api-Key"] != nil || got["Cookie"] != nil {
		t.Errorf("upstream: got %v", got)
	}
}

// A server of the Go SDK answers a batch through the broker as it answers one
// directly, as an array and as events.
func TestABatchReachesARealServer(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{true, false} {
		t.Run(fmt.Sprintf("array %t", whole), func(t *testing.T) {
			server := sdk.NewServer(&sdk.Implementation{Name: "shop", Version: "1"}, nil)
			type order struct{ Order int }
			sdk.AddTool(server, &sdk.Tool{Name: "lookup_order"}, func(_ context.Context, _ *sdk.CallToolRequest, o order) (*sdk.CallToolResult, any, error) {
				return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: fmt.Sprintf("order %d", o.Order)}}}, nil, nil
			})
			address := serve(t, sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{JSONResponse: whole}), nil)
			w := open(t, func(s *setup) { s.Upstream = address })
			begin := w.wantOK(w.call(body(strings.Replace(initialize, `}}`, `,"capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`, 1))), "result")
			session := with("Mcp-Session-Id", begin.header.Get("Mcp-Session-Id"))
			if got := w.do(w.call(session, body(initialized))); got.status != 202 {
				t.Fatalf("initialized: got %d %q", got.status, got.body)
			}
			call := func(id, number string) string {
				return message(id, "tools/call", `{"name":"lookup_order","arguments":{"Order":`+number+`}}`)
			}
			got := w.wantOK(w.call(session, batch(call("1", "7"), call(`"b"`, "8"), message("3", "tools/list", "{}"))), "order 7")
			if !strings.Contains(got.body, "order 8") || !strings.Contains(got.body, `"lookup_order"`) || strings.HasPrefix(got.body, "[") != whole {
				t.Errorf("got %q", got.body)
			}
		})
	}
}
