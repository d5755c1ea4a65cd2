//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// apply changes a file and returns when it is in force.
func (m *mintmark) apply(t *testing.T, name, content string) {
	t.Helper()
	before := len(m.log("bundle applied"))
	m.write(t, name, content)
	await(t, "the bundle to be applied", func() bool { return len(m.log("bundle applied")) > before })
}

// refuse changes a file and returns why it is not in force.
func (m *mintmark) refuse(t *testing.T, name, content string) (why string) {
	t.Helper()
	const line = "bundle refused; the old one stays in force"
	before := len(m.log(line))
	m.write(t, name, content)
	await(t, "the bundle to be refused", func() bool { return len(m.log(line)) > before })
	return fmt.Sprint(m.log(line)[before]["err"])
}

// A changed policy is in force at once; what can't be is refused with its
// reason and changes nothing.
func testReload(t *testing.T, w *world) {
	m := w.serve(t, site{policies: strings.Replace(permitShop, "action,", `action in [Action::"connect", Action::"list"],`, 1),
		config: fmt.Sprintf("\nupstreams:\n  shop: {url: %q, unauthenticated: true}\n", newUpstream(t, stateless(newServer())).url)})
	session := m.agent(t, evidence{id: shopID}).connect(t, "shop", nil)
	if reason := refused(t, session, "headers", nil); !strings.Contains(reason, "no policy permits") {
		t.Errorf("before: got %q, want it not permitted", reason)
	}
	m.apply(t, "policies.cedar", permitShop)
	call(t, session, "headers", nil)
	applied := m.last(t, "--kind", "decision", "--tool", "headers").Bundle

	was := map[string]string{"policies.cedar": permitShop, "mintmark.yaml": m.config}
	for name, try := range map[string]struct{ file, content, want string }{
		"a broken policy":        {"policies.cedar", permitShop + "\npermit (principal,", "policies.cedar:5:"},
		"an unknown upstream":    {"policies.cedar", strings.Replace(permitShop, "resource)", `resource in Upstream::"none")`, 1), "policies.cedar:3:"},
		"a misspelt key":         {"mintmark.yaml", m.config + "\nprovidrs: {}\n", "providers"},
		"another listener":       {"mintmark.yaml", strings.Replace(m.config, "    plaintext: true\n", "    plaintext: true\n  - address: 127.0.0.1:0\n", 1), "listeners: expected a list of 2, as it was at start"},
		"an agent's made-up key": {"mintmark.yaml", m.config + "\nproviders: {p: {kind: oauth, token_url: \"http://127.0.0.1:1/\", client_id: c, client_secret: literal-secret-value-1234}}\n", "client_secret"},
	} {
		t.Run(name, func(t *testing.T) {
			if why := m.refuse(t, try.file, try.content); !strings.Contains(why, try.want) || strings.Contains(why, "literal-secret") {
				t.Errorf("log: got %q, want %q in it", why, try.want)
			}
			call(t, session, "headers", nil)
			if got := m.last(t, "--kind", "decision", "--tool", "headers").Bundle; got != applied {
				t.Errorf("bundle: got %s, want still %s", got, applied)
			}
		})
		m.write(t, try.file, was[try.file])
	}
	_, metrics := m.admin("/metrics")
	for _, want := range []string{`mintmark_reloads_total{outcome="applied"} 1`, `mintmark_reloads_total{outcome="refused"} `} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics: want %s in\n%s", want, metrics)
		}
	}
}

// A call under way when the broker is told to stop gets its whole answer.
func testStopWaits(t *testing.T, w *world) {
	m, s := w.newStream(t, permitShop, "")
	m.terminate(t)
	await(t, "the listeners to close", func() bool { return !m.listens() })
	s.say(t, "more")
	close(s.words)
	if got := recv(t, "the end of the call", s.result); got.err != nil || got.text != "the end" {
		t.Errorf("call: got %q, %v, want its whole answer", got.text, got.err)
	}
	m.stop(t)
	decision := m.last(t, "--kind", "decision", "--tool", "stream")
	if out := m.outcome(t, decision); out.Status != http.StatusOK || out.Reason != "" {
		t.Errorf("record: got %+v, want a whole answer", out)
	}
}

// One that does not end within the time limit is cut, which is on record too.
func testStopCuts(t *testing.T, w *world) {
	m, s := w.newStream(t, permitShop, "limits: {shutdown: 500ms}\n")
	m.stop(t)
	if got := recv(t, "the end of the call", s.result); got.err == nil {
		t.Errorf("call: got %q, want it cut", got.text)
	}
	decision := m.last(t, "--kind", "decision", "--tool", "stream")
	if out := m.outcome(t, decision); out.Step != "answer" || out.Reason == "" {
		t.Errorf("record: got %+v, want why the answer was cut", out)
	}
}

// listens reports whether the broker still takes connections from agents.
func (m *mintmark) listens() bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(m.plain, "http://"))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// Without evidence of this trust domain nobody is let in, and an agent that no
// policy names gets nothing.
func testStrangers(t *testing.T, w *world) {
	guarded := newUpstream(t, stateless(newServer()))
	m := w.serve(t, site{policies: permitShop, config: fmt.Sprintf("\nupstreams:\n  shop: {url: %q, unauthenticated: true}\n", guarded.url)})
	const list = `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`
	token := m.token(t, shopID)
	for name, e := range map[string]evidence{
		"nobody over plaintext": {plain: true},
		"an invented key":       {plain: true, madeUp: http.Header{"Authorization": {"Bearer sk-made-up-by-the-agent-0123456789"}}},
		"an altered token":      {plain: true, madeUp: http.Header{"Authorization": {"Bearer " + token[:len(token)-8] + "AAAAAAAA"}}},
	} {
		got := m.agent(t, e).message(t, "shop", "", list)
		if got.status != http.StatusUnauthorized || !strings.Contains(got.body, "mintmark: ") {
			t.Errorf("%s: got %d %s, want 401", name, got.status, got.body)
		}
	}
	if got := m.agent(t, evidence{id: rivalID}).message(t, "shop", "", list); !strings.Contains(got.body, "no policy permits") {
		t.Errorf("an agent that no policy names: got %d %s, want a denial", got.status, got.body)
	}
	if _, err := m.agent(t, evidence{id: rivalID, bearer: true}).tryConnect(t.Context(), "", "shop", &mcp.ClientOptions{}); err == nil {
		t.Error("an agent that no policy names: it connected")
	}
	if n := len(guarded.requests()); n != 0 {
		t.Errorf("upstream: got %d requests, want none", n)
	}
}
