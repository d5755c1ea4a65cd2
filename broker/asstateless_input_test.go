package broker_test

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

// stateless2026 is a request of the stateless revision, written by hand.
func (w *world) stateless2026(name string, id int, params, capabilities string, change ...func(*request)) request {
	if params != "" {
		params = "," + params
	}
	text := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{%s}}%s}}`,
		id%2, name, capabilities, params)
	mirror := func(r *request) {
		r.header["Mcp-Protocol-Version"], r.header["Mcp-Method"] = []string{"2026-07-28"}, []string{name}
		if _, rest, found := strings.Cut(params, `"name":"`); found {
			tool, _, _ := strings.Cut(rest, `"`)
			r.header["Mcp-Name"] = []string{tool}
		}
	}
	return w.call(append([]func(*request){body(text), mirror}, change...)...)
}

// asked makes a call that the server asks for input in, and returns the state.
func (w *world) askedFor(change ...func(*request)) string {
	w.t.Helper()
	got := w.wantOK(w.stateless2026("tools/call", 0, `"name":"lookup_ask","arguments":{"order":"7"}`, `"elicitation":{}`, change...), `"input_required"`)
	var m struct {
		Result struct {
			RequestState  string
			InputRequests map[string]struct{ Method string }
		}
	}
	mustJSON(w.t, []byte(got.body), &m)
	if m.Result.InputRequests["input"].Method != "elicitation/create" || m.Result.RequestState == "" {
		w.t.Fatalf("question: got %s", got.body)
	}
	return m.Result.RequestState
}

// input repeats the call of asked with the input.
func (w *world) input(state, arguments string, change ...func(*request)) request {
	return w.stateless2026("tools/call", 1, `"name":"lookup_ask","arguments":`+arguments+`,"requestState":"`+state+`","inputResponses":{"input":{"action":"accept","content":{"name":"x"}}}`, `"elicitation":{}`, change...)
}

func (w *world) wantState(r request) {
	w.t.Helper()
	got := w.do(r)
	if said := got.refusal(w.t); got.status != 400 || said.Code != -32602 || !strings.Contains(said.Text, "requestState") {
		w.t.Errorf("got %d %s, want the state refused", got.status, got.body)
	}
}

const itsArguments = `{"order":"7"}`

func TestAStateServesOnceForItsAgentAndCall(t *testing.T) {
	w, _ := bridged(t)
	w.scan.state(w.id("clerk"), "pass", time.Now())
	state := w.askedFor()
	flipped := []byte(state)
	flipped[len(flipped)/2] ^= 1
	clerk := with("Authorization", "Bearer "+w.token(w.domain, "clerk", trustdomain.JWTRequest{}))
	w.wantState(w.input(string(flipped), itsArguments))
	w.wantState(w.input("made-up", itsArguments))
	w.wantState(w.input(state, `{"order":"8"}`))
	w.wantState(w.input(state, itsArguments, clerk))
	unanswered := w.input(state, itsArguments)
	unanswered.body = strings.Replace(unanswered.body, `{"input":`, `{"other":`, 1)
	w.wantOK(unanswered, `"requestState":"`+state+`"`)
	got := w.wantOK(w.input(state, itsArguments), `accept x`)
	if !strings.Contains(got.body, `"id":1`) {
		t.Errorf("id of the answer: got %s, want that of the repeated request", got.body)
	}
	w.wantState(w.input(state, itsArguments))
	if got := w.do(w.call(with("Mcp-Session-Id", state))); got.status != 404 {
		t.Errorf("a state as a session's handle: got %d, want 404", got.status)
	}
}

// A state is its identity's, and so is the session that the call waits in: the
// same subject by another issuer's word is somebody else.
func TestAStateServesNoNamesakeOfAnotherIssuer(t *testing.T) {
	w, _ := bridged(t)
	w.vouching()
	one, other := vouchedFor("https://one.example"), vouchedFor("https://other.example")
	state := w.askedFor(one)
	w.wantState(w.input(state, itsArguments, other))
	w.wantState(w.input(state, itsArguments)) // the trust domain's own
	w.wantOK(w.input(state, itsArguments, one), `accept x`)
}

func TestPostureThatTurnsBadEndsACallThatWaits(t *testing.T) {
	w, o := bridged(t)
	state := w.askedFor()
	w.scan.state(w.id("shop"), "fail", time.Now())
	w.await("the end of the call", func() bool { return w.count(audit.Outcome, "tools/call", "") == 1 })
	for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Outcome}) {
		if err == nil && r.Method == "tools/call" && (r.Fault != fault.Denied.String() || !strings.Contains(r.Reason, "no passing scan")) {
			t.Errorf("outcome: got %q, %q", r.Fault, r.Reason)
		}
	}
	if got := w.do(w.input(state, itsArguments)).refusal(t); !strings.Contains(got.Text, "no passing scan") {
		t.Errorf("repeated: got %q, want the policy's word", got.Text)
	}
	w.scan.state(w.id("shop"), "pass", time.Now())
	w.wantState(w.input(state, itsArguments))
	w.await("the server to be told", func() bool { return len(o.seen(`"notifications/cancelled"`)) == 1 })
}

func TestAnotherBundleEndsACallThatWaits(t *testing.T) {
	w, _ := bridged(t)
	state := w.askedFor()
	if err := w.change("policies.cedar", "this agent has no passing scan", "this agent was not scanned"); err != nil {
		t.Fatal(err)
	}
	w.await("the end of the call", func() bool { return w.count(audit.Outcome, "tools/call", "") == 1 })
	w.wantState(w.input(state, itsArguments))
}

func TestACallWaitsNoLongerThanItsTime(t *testing.T) {
	for name, c := range map[string]struct {
		token, later time.Duration
		says         string
	}{
		"for its input":     {time.Hour, 5*time.Minute + time.Second, "did not give the input"},
		"than its evidence": {time.Minute, 2 * time.Minute, "evidence"},
	} {
		t.Run(name, func(t *testing.T) {
			var later atomic.Int64
			w, _ := bridged(t, func(s *setup) { s.Clock = func() time.Time { return time.Now().Add(time.Duration(later.Load())) } })
			w.agent = w.token(w.domain, "shop", trustdomain.JWTRequest{Lifetime: c.token})
			state := w.askedFor()
			later.Store(int64(c.later))
			w.await("the end of the call", func() bool { return w.count(audit.Outcome, "tools/call", "") == 1 })
			for r, err := range audit.Query(w.logDir(), audit.Filter{Kind: audit.Outcome}) {
				if err == nil && r.Method == "tools/call" && !strings.Contains(r.Reason, c.says) {
					t.Errorf("outcome: got %q, want %q in it", r.Reason, c.says)
				}
			}
			w.agent = w.token(w.domain, "shop", trustdomain.JWTRequest{Lifetime: time.Hour})
			w.wantState(w.input(state, itsArguments))
		})
	}
}

func TestTheBrokerStopsWhileACallWaits(t *testing.T) {
	w, _ := bridged(t)
	w.askedFor()
	begun := time.Now()
	if err := w.stop(); err != nil || time.Since(begun) > 4*time.Second {
		t.Errorf("stop: got %v after %s", err, time.Since(begun))
	}
	if n := w.count(audit.Outcome, "tools/call", ""); n != 1 {
		t.Errorf("outcomes: got %d, want 1", n)
	}
	ours := regexp.MustCompile(`/broker/asstateless[a-z_]*\.go`)
	w.await("the end of what the bridge runs", func() bool {
		stacks := make([]byte, 1<<20)
		for _, file := range ours.FindAllString(string(stacks[:runtime.Stack(stacks, true)]), -1) {
			if !strings.HasSuffix(file, "_test.go") {
				return false
			}
		}
		return true
	})
}

func TestTheBridgeRefusesWhatItCantCarry(t *testing.T) {
	w, _ := bridged(t)
	w.askedFor() // so that the era is known
	for name, says := range map[string]string{"subscriptions/listen": "ask for the list again", "tasks/list": "nothing that means the same"} {
		got := w.do(w.stateless2026(name, 0, "", ""))
		if said := got.refusal(t); got.status != 404 || said.Code != -32601 || !strings.Contains(said.Text, says) || !strings.Contains(said.Text, "bridge") {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
	notice := w.stateless2026("notifications/cancelled", 0, `"requestId":1`, "")
	notice.body = strings.Replace(notice.body, `"id":0,`, "", 1)
	if got := w.do(notice); got.status != 202 || got.body != "" {
		t.Errorf("a cancellation by name: got %d %s", got.status, got.body)
	}
	got := w.do(w.stateless2026("tools/call", 0, `"name":"lookup_order","arguments":{},"task":{}`, ""))
	if said := got.refusal(t); got.status != 400 || said.Code != -32602 || !strings.Contains(said.Text, "task") {
		t.Errorf("a task: got %d %s", got.status, got.body)
	}
}

func TestSoManyCallsOfAnAgentWait(t *testing.T) {
	w, _ := bridged(t)
	for range 32 {
		w.askedFor()
	}
	got := w.do(w.stateless2026("tools/call", 0, `"name":"lookup_ask","arguments":{"order":"7"}`, `"elicitation":{}`))
	if said := got.refusal(t); !strings.Contains(said.Text, "too many calls wait for input") {
		t.Errorf("the one too many: got %d %s", got.status, got.body)
	}
}

// What ends a call is said as it is, also where its agent was given something
// before.
func TestAStreamEndsWithWhatWentWrong(t *testing.T) {
	w, _ := bridged(t)
	for range 32 {
		w.askedFor()
	}
	call := w.stateless2026("tools/call", 0, `"name":"lookup_twice","arguments":{}`, `"elicitation":{}`)
	call.body = strings.Replace(call.body, `"_meta":{`, `"_meta":{"progressToken":"p",`, 1)
	got := w.wantOK(call, "notifications/progress").body
	if !strings.Contains(got, "too many calls wait for input") {
		t.Errorf("the answer: got %s", got)
	}
	w.await("the outcome", func() bool {
		return slices.ContainsFunc(w.recorded(audit.Filter{Kind: audit.Outcome}), func(r audit.Record) bool {
			return r.Tool == "lookup_twice" && strings.Contains(r.Reason, "too many calls wait for input")
		})
	})
}
