package broker_test

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mintmark/broker/audit"
)

// beginningAlike are the ways in which an upstream says the token that it got with a
// call beside another's that begins alike. Each is one message, which % stands for.
func beginningAlike() map[string]struct{ kind, upstream, message string } {
	const sse = "text/event-stream"
	return map[string]struct{ kind, upstream, message string }{
		"JSON":          {jsonType, "jwt-http", `["%", 0]` + "\n"},
		"text":          {"text/plain", "jwt-http", "before % after\n"},
		"events":        {sse, "jwt", `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%"}}` + "\n\n"},
		"events of API": {sse, "jwt-http", "id: 7\ndata: %\n\n"},
		"links":         {sse, "link", `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%"}}` + "\n\n"},
	}
}

// sides are the orders in which two texts stand in an answer: apart, and so that one
// begins where the other ends, or within it: of the first then no more than ends no stream.
func sides(own, other string) []string {
	return []string{other, own + " " + other, other + " " + own, own + other, other + own, own[:len(own)/3] + other, own[:20] + other}
}

// Two workloads have tokens that begin alike, for more than half. Whatever the one is
// shown of its own, it sees nothing of the other's, wherever the answer is cut.
func TestTokensThatBeginAlikeHideNoOther(t *testing.T) {
	w, got := twoAgents(t)
	for name, c := range beginningAlike() {
		t.Run(name, func(t *testing.T) {
			w.in(t)
			credential, first := got(c.upstream)
			other := bearerOf(first)
			before, after, _ := strings.Cut(c.message, "%")
			pieces, own := 0, ""
			for form, write := range alikeForms() {
				w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Content-Type", c.kind)
					flush := http.NewResponseController(rw).Flush
					own = bearerOf(r)
					for _, said := range sides(write(own), write(other)) {
						for cut := 0; cut <= len(said); cut++ {
							_, _ = io.WriteString(rw, before+said[:cut])
							_ = flush()
							_, _ = io.WriteString(rw, said[cut:]+after)
							_ = flush()
							pieces++
						}
					}
					if !strings.HasSuffix(c.upstream, "-http") {
						_, _ = io.WriteString(rw, answerEvent)
					}
				})
				pieces = 0
				answered := w.do(w.callTo(c.upstream, "two.example"))
				if n := strings.Count(answered.body, after); answered.err != nil || n < pieces || pieces < 500 {
					t.Errorf("%s: got %d of %d messages, %v", form, n, pieces, answered.err)
				}
				w.wantNoSighting(answered)
				w.wantNoPart(answered.body, write(own), write(other))
				if rec := w.outcome(w.lastAllowed().Call); rec.ScrubHits < pieces {
					t.Errorf("%s: got %d hits on record, want at least %d", form, rec.ScrubHits, pieces)
				}
			}
			told := w.masks()
			if !slices.ContainsFunc(told, func(r audit.Record) bool { return r.Credential == credential }) {
				t.Errorf("got %+v, want one of the credential of the first", told)
			}
		})
	}
}

// alikeForms are those of the writings that differ in how a token stands in them.
func alikeForms() map[string]func(string) string {
	m := writings()
	maps.DeleteFunc(m, func(name string, _ func(string) string) bool {
		return name != "raw" && name != "slashes" && name != "HEX" && !strings.HasPrefix(name, "base64 ")
	})
	return m
}

// wantNoPart demands that nothing is shown of what other does not have in common with
// own, but for its end, which may be that of own too.
func (w *world) wantNoPart(body, own, other string) {
	w.t.Helper()
	const part = 8
	i := 0
	for own[i] == other[i] {
		i++
	}
	if i < len(linkBeginning) || i+part > len(other) || strings.Contains(body, other[i:i+part]) {
		w.t.Errorf("found a part of it: %q of %q", other[i:i+part], other)
	}
}
