package broker_test

import (
	"testing"

	"mintmark/internal/fault"
)

// Why an upstream can't be reached is on record, for whoever is to mend it. The agent is told
// that it can't, whichever way the call takes there.
func TestWhyAnUpstreamIsNotReachedIsOnRecordAlone(t *testing.T) {
	t.Parallel()
	const said, recorded = "the upstream can't be reached", "the upstream can't be reached: it refuses connections"
	w := open(t)
	got := w.wantRefused(w.call(to("/mcp/unreachable")), want{200, -31503, "forward", fault.Unavailable, "the upstream can't be reached", "shop", true})
	if rec := w.outcome(got.Call); got.Text != said || rec.Reason != recorded {
		t.Errorf("got %q to the agent and %q on record, want %q and %q", got.Text, rec.Reason, said, recorded)
	}

	// One that is asked first which form of MCP it speaks, which is a call by itself.
	w, _, _ = learning(t)
	got = w.do(w.lookedUp(to("/mcp/unreachable"))).refusal(t)
	asked := w.outcome(got.Call)
	if got.Text != said || asked.Method != "server/discover" || asked.Reason != recorded {
		t.Errorf("asked: got %q to the agent and %q of %s on record, want %q and %q", got.Text, asked.Reason, asked.Method, said, recorded)
	}
	w.await("the call on record", func() bool {
		for _, r := range w.ofCall(got.Call) {
			if r.Method == "tools/call" {
				return r.Reason == recorded
			}
		}
		return false
	})
}
