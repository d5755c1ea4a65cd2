package broker_test

import (
	"strings"
	"testing"

	"mintmark/broker/audit"
	"mintmark/internal/trustdomain"
)

// A client that speaks both eras keeps to the one of an upstream that serves no
// other, with a session and a stream of its own.
func TestAClientOfBothErasKeepsToTheUpstreamsOwn(t *testing.T) {
	w, o := bridged(t)
	if err := w.change("mintmark.yaml", "  orders: {", "  orders: {other_era: refuse, "); err != nil {
		t.Fatal(err)
	}
	a := w.client("orders", "", nil)
	if got := a.InitializeResult(); got.ProtocolVersion != "2025-11-25" {
		t.Errorf("revision: got %s, want the upstream's newest", got.ProtocolVersion)
	}
	if n := len(o.seen(`"initialize"`)); n != 1 {
		t.Errorf("sessions begun: got %d, want the client's own", n)
	}
	w.await("the refusal on record", func() bool {
		for _, r := range w.recorded(audit.Filter{Kind: audit.Decision}) {
			if r.Method == "server/discover" && !r.Allow && strings.Contains(r.Reason, `2025-11-25, 2025-06-18, 2025-03-26, got "2026-07-28"`) {
				return true
			}
		}
		return false
	})
}

func TestAStatelessUpstreamThatServesNoSessions(t *testing.T) {
	t.Parallel()
	w := modern(t, newStateless(t))
	if err := w.change("mintmark.yaml", "protocol: stateless,", "protocol: stateless, other_era: refuse,"); err != nil {
		t.Fatal(err)
	}
	got := w.do(w.call(to("/mcp/stateless"), body(initializeAsking)))
	if said := got.refusal(t); got.status != 400 || said.Code != -32022 || !strings.Contains(said.Text, `expected a protocol version of 2026-07-28, got "2025-06-18"`) {
		t.Errorf("initialize: got %d %s", got.status, got.body)
	}
	nobody := with("Authorization", "Bearer "+w.token(w.domain, "nobody", trustdomain.JWTRequest{}))
	got = w.do(w.call(to("/mcp/stateless"), body(initializeAsking), nobody))
	if said := got.refusal(t); said.Kind != "denied" || strings.Contains(got.body, "2026-07-28") {
		t.Errorf("an agent that may not ask: got %d %s, want a denial that says nothing of the upstream", got.status, got.body)
	}
	if got := w.client("stateless", "", nil).InitializeResult(); got.ProtocolVersion != "2026-07-28" {
		t.Errorf("a client of both eras: got %s", got.ProtocolVersion)
	}
}
