package broker_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

const (
	beginningSaid = "the upstream's answer has the beginning of its credential in it"
	saysHalf      = `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%"}}` + "\n\n"
)

// most returns more of a secret than half.
func most(secret string) string { return secret[:2*len(secret)/3] }

// wantBeginningOnRecord wants the last call to have ended since its answer had the beginning
// of its credential in it, and that to be told.
func (w *world) wantBeginningOnRecord() {
	w.t.Helper()
	id := w.lastAllowed().Call
	if rec := w.outcome(id); rec.Fault != fault.BadUpstream.String() || rec.Reason != beginningSaid || rec.ScrubHits != 1 {
		w.t.Errorf("outcome: got %q, %q with %d hits, want it cut for the beginning", rec.Fault, rec.Reason, rec.ScrubHits)
	}
	if told := w.masks(); len(told) != 1 || told[0].Call != id || told[0].Credential == "" {
		w.t.Errorf("records of what was masked: got %+v, want one of the call", told)
	}
}

// A stream that says the credential in two events ends before the first of them, at once,
// and not as if it were whole. Its record says why.
func TestAStreamThatSaysItsCredentialInPartsIsCut(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream()
	secret := w.issuer.last()
	e.event(t, "data: 1\n\n")
	x.want("data: 1\n\n")
	e.event(t, ": {\"d\":\""+most(secret)+"\"}\n\n")
	if rest := x.wantCut(); rest != ": {\"d\":\"" {
		t.Errorf("got %q, want no more than what comes before the secret", rest)
	}
	w.wantBeginningOnRecord()
	w.wantMetric(`mintmark_scrubbed_total{upstream="orders"} 1`)
}

// So does every other answer whose messages clients join.
func TestAnAnswerThatSaysItsCredentialInPartsIsCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ target, kind, message, before string }{
		"NDJSON": {"/http/api/x", "application/x-ndjson", `{"delta":"%"}` + "\n", ""},
		"SSE":    {"/http/api/x", "text/event-stream", `data: {"delta":"%"}` + "\n\n", `data: {"delta":"`},
		"MCP":    {"/mcp/orders", "text/event-stream", saysHalf, strings.Split(saysHalf, "%")[0]},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", c.kind)
				s := bearerOf(r)
				for _, part := range []string{most(s), s[len(most(s)):], "after it"} {
					_, _ = io.WriteString(rw, strings.ReplaceAll(c.message, "%", part))
				}
			})
			call := w.call(to(c.target))
			if strings.HasPrefix(c.target, "/http") {
				call = w.call(get(c.target))
			}
			got := w.do(call)
			if got.err == nil || got.body != c.before {
				t.Errorf("got %q, %v, want %q and an end that is none", got.body, got.err, c.before)
			}
			w.wantBeginningOnRecord()
		})
	}
}

// Where the broker makes the exchange itself, the call fails with a JSON-RPC error.
func TestTheBridgeEndsACallWhoseAnswerSaysItsCredentialInParts(t *testing.T) {
	t.Parallel()
	w := scriptedServer(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		s := bearerOf(r)
		_, _ = io.WriteString(rw, strings.ReplaceAll(saysHalf, "%", most(s))+strings.ReplaceAll(saysHalf, "%", s[len(most(s)):])+answerEvent)
	})
	got := w.do(w.lookup(0))
	if said := got.refusal(t); said.Code != -31502 || said.Text != beginningSaid || strings.Contains(got.body, "notifications/message") {
		t.Errorf("got %d %s, want an error that says why", got.status, got.body)
	}
	if told := w.masks(); len(told) != 1 || told[0].Credential == "" {
		t.Errorf("records of what was masked: got %+v, want one", told)
	}
	if said := w.recorded(audit.Filter{Kind: audit.Outcome}); !slices.ContainsFunc(said, func(r audit.Record) bool {
		return r.Reason == beginningSaid && r.Fault == fault.BadUpstream.String() && r.ScrubHits == 1
	}) {
		t.Errorf("outcomes: got %+v, want one that says why", said)
	}
}
