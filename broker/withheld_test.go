package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"mintmark/internal/trustdomain"
)

// guestPolicy lets a guest do one thing at one upstream, and something anywhere
// under a condition that names no upstream.
const guestPolicy = `
@id("guest-at-the-open-one")
permit (principal == Agent::"spiffe://example.org/agent/guest", action == Action::"tools/call", resource in Upstream::"open")
when { resource.name == "lookup_order" };

@id("guest-anywhere-once-scanned")
permit (principal == Agent::"spiffe://example.org/agent/guest", action in Action::"list", resource)
when { context.posture has scan };

@id("no-deleting")
@hint("nothing is deleted here")
forbid (principal, action == Action::"tools/call", resource) when { resource.name like "delete_*" };
`

// openToGuests is a world in which the guest is known by its token.
func openToGuests(t *testing.T) (*world, func(*request)) {
	t.Helper()
	w := open(t, func(s *setup) { s.Policy = guestPolicy })
	// One upstream of each era, one without a credential for every call, one of each kind.
	if err := w.change("mintmark.yaml", "  payroll: {url:", "  payroll: {protocol: stateless, url:"); err != nil {
		t.Fatal(err)
	}
	if err := w.change("mintmark.yaml", "  database: {url:", "  database: {protocol: sessions, url:"); err != nil {
		t.Fatal(err)
	}
	return w, with("Authorization", "Bearer "+w.token(w.domain, "guest", trustdomain.JWTRequest{}))
}

// at makes a call one of the upstream of a name, wherever it stands in it.
func at(r request, name string) request {
	r.target = strings.ReplaceAll(r.target, "NAME", name)
	r.body = strings.ReplaceAll(r.body, "NAME", name)
	for key, values := range r.header {
		r.header[key] = []string{strings.ReplaceAll(values[0], "NAME", name)}
	}
	return r
}

// Whoever may do nothing at an upstream is not told whether it is there: each of
// its calls is answered as one to a name that nobody registered. The record has
// what was the reason.
func TestWhoMayDoNothingThereLearnsOfNoUpstream(t *testing.T) {
	t.Parallel()
	w, guest := openToGuests(t)
	there := []string{"orders", "payroll", "tools", "database", "api", "unreachable"}
	for name, call := range map[string]func() request{
		"a tool":                   func() request { return w.call(guest, to("/mcp/NAME")) },
		"a tool denied everywhere": func() request { return w.call(guest, to("/mcp/NAME"), body(toolCall("delete_all"))) },
		"a list":                   func() request { return w.stateless2026("tools/list", 0, "", "", guest, to("/mcp/NAME")) },
		"a list of the older era":  func() request { return w.call(guest, to("/mcp/NAME"), body(message("1", "tools/list", "{}"))) },
		"the stateless era": func() request {
			return w.stateless2026("tools/call", 0, `"name":"lookup_order"`, "", guest, to("/mcp/NAME"))
		},
		"what the bridge can't carry": func() request {
			return w.stateless2026("subscriptions/listen", 0, `"notifications":{}`, "", guest, to("/mcp/NAME"))
		},
		"input that nobody asked for": func() request {
			return w.stateless2026("tools/call", 0, `"name":"lookup_order","requestState":1`, "", guest, to("/mcp/NAME"))
		},
		"initialize":           func() request { return w.call(guest, to("/mcp/NAME"), body(initialize)) },
		"a notification":       func() request { return w.call(guest, to("/mcp/NAME"), body(initialized)) },
		"an invented session":  func() request { return w.call(guest, to("/mcp/NAME"), with("Mcp-Session-Id", "x")) },
		"the stream":           func() request { return w.call(guest, get("/mcp/NAME")) },
		"the end":              func() request { return w.call(guest, get("/mcp/NAME"), method("DELETE")) },
		"a batch":              func() request { return w.call(guest, to("/mcp/NAME"), batch(lookup("1"), lookup("2"))) },
		"an unknown method":    func() request { return w.call(guest, to("/mcp/NAME"), body(message("1", "tools/sell", "{}"))) },
		"a plain path":         func() request { return w.call(guest, get("/http/NAME/x")) },
		"a plain DELETE":       func() request { return w.call(guest, get("/http/NAME/x"), method("DELETE")) },
		"a tool's joined name": func() request { return w.call(guest, to("/mcp"), body(toolCall("NAME__lookup"))) },
		"a tool's joined name, stateless": func() request {
			return w.stateless2026("tools/call", 0, `"name":"NAME__delete_all"`, "", guest, to("/mcp"))
		},
		"a resource's joined name": func() request {
			return w.stateless2026("resources/read", 0, `"uri":"mintmark+NAME:file:///x"`, "", guest, to("/mcp"), with("Mcp-Name", "mintmark+NAME:file:///x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			want := w.anonymous(at(call(), "nobody"), "nobody")
			for _, upstream := range there {
				if got := w.anonymous(at(call(), upstream), upstream); got != want {
					t.Errorf("%s: got %s\nwant %s", upstream, got, want)
				}
			}
		})
	}
	w.in(t)
	if n := w.upstream.bytes.Load(); n != 0 {
		t.Errorf("%d bytes reached the upstream, want none", n)
	}
	w.wantTrueReasons(guest)
}

// anonymous makes a call and returns its answer without what is of this call.
func (w *world) anonymous(r request, upstream string) string {
	w.t.Helper()
	got := w.do(r)
	text := strings.ReplaceAll(got.body, `upstream \"`+upstream, `upstream \"NAME`)
	for i := strings.Index(text, `"call":"`); i >= 0; i = strings.Index(text, `"call":"`) {
		text = text[:i] + text[i+len(`"call":"`)+33:]
	}
	if got.err != nil || got.status < 200 || text == "" {
		w.t.Fatalf("got %d %q, %v", got.status, got.body, got.err)
	}
	return fmt.Sprint(got.status, " ", got.header.Get("Content-Type"), " ", got.header.Get("Allow"), " ", text)
}

func (w *world) wantTrueReasons(guest func(*request)) {
	w.t.Helper()
	for upstream, reason := range map[string]string{
		"nobody": "no upstream of this name and kind is registered", "orders": `"only-scanned"`,
		"payroll": `"office-hours"`, "api": "no upstream of this name and kind is registered",
	} {
		said := w.do(w.call(guest, to("/mcp/"+upstream))).refusal(w.t)
		got := w.decision(said.Call)
		if upstream == "payroll" && got.Reason != said.Text && strings.Contains(got.Reason, "permits") {
			continue // in office hours
		}
		if !strings.Contains(got.Reason, reason) || strings.Contains(got.Reason, "; or no upstream") || said.Code != -31403 {
			w.t.Errorf("%s: record: got %q, want %q in it; answer: %+v", upstream, got.Reason, reason, said)
		}
		if fault := map[bool]string{true: "not_found", false: "denied"}[upstream == "nobody" || upstream == "api"]; got.Fault != fault {
			w.t.Errorf("%s: record: got fault %s, want %s", upstream, got.Fault, fault)
		}
	}
}

// Whoever may do something at an upstream is told what keeps it from the rest, and
// so is everyone of what is forbidden everywhere.
func TestADenialWhereSomethingIsPermittedSaysWhy(t *testing.T) {
	t.Parallel()
	w, guest := openToGuests(t)
	for name, c := range map[string]struct {
		r    request
		says string
	}{
		"a condition not met":     {w.call(guest, to("/mcp/open"), body(toolCall("sell"))), `the conditions were not met of policy "guest-at-the-open-one"`},
		"forbidden everywhere":    {w.call(guest, to("/mcp/orders"), body(toolCall("delete_all"))), `forbidden by policy "no-deleting": nothing is deleted here; or no upstream`},
		"no fresh fact, anywhere": {w.call(guest, to("/mcp/orders"), body(message("1", "tools/list", "{}"))), `there is no fresh posture fact "scan"`},
	} {
		t.Run(name, func(t *testing.T) {
			if said := w.do(c.r).refusal(t); said.Code != -31403 || !strings.Contains(said.Text, c.says) {
				t.Errorf("got %+v, want %q in it", said, c.says)
			}
		})
	}
}
