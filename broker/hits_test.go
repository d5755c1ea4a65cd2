package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"mintmark/broker/audit"
)

// bearerOf returns the token that a request to an upstream carries.
func bearerOf(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// masks returns the records of secrets that an upstream sent back.
func (w *world) masks() (found []audit.Record) {
	w.t.Helper()
	if err := w.broker.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range w.admin() {
		if r.Event == "secret_masked" {
			found = append(found, r)
		}
	}
	return found
}

// A secret that comes back is on record, counted and in the log, wherever it stood.
func TestASecretThatComesBackIsTold(t *testing.T) {
	t.Parallel()
	w := open(t)
	const plain, text, stream = "/http/api/x", "application/json", "text/event-stream"
	total, ofPlain := 0, 0
	for _, c := range []struct {
		name, target, kind string
		answer             func(http.ResponseWriter, string)
		hits               int
	}{
		{"a header", plain, text, func(rw http.ResponseWriter, s string) { rw.Header().Set("ETag", s) }, 1},
		{"JSON", plain, text, func(rw http.ResponseWriter, s string) { _, _ = io.WriteString(rw, `{"a":"`+s+`"}`) }, 1},
		{"an event", "/mcp/orders", stream, func(rw http.ResponseWriter, s string) { _, _ = io.WriteString(rw, ": "+s+"\n\n"+answerEvent) }, 1},
		{"two events", "/mcp/orders", stream, func(rw http.ResponseWriter, s string) {
			_, _ = io.WriteString(rw, ": \"x"+s[:9]+"\"\n\n: \""+s[9:]+"\"\n\n"+answerEvent)
		}, 1},
		{"two events of a type that can't be read", plain, stream + "; a=1; a=2", func(rw http.ResponseWriter, s string) {
			_, _ = io.WriteString(rw, ": \"x"+s[:9]+"\"\n\n: \""+s[9:]+"\"\n\n"+answerEvent)
		}, 1},
		{"two events of two types", plain, stream + ", " + text, func(rw http.ResponseWriter, s string) {
			_, _ = io.WriteString(rw, ": \"x"+s[:9]+"\"\n\n: \""+s[9:]+"\"\n\n"+answerEvent)
		}, 1},
		{"a list", "/mcp/orders", text, func(rw http.ResponseWriter, s string) {
			_, _ = io.WriteString(rw, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"lookup_order","description":"`+s+" "+s+`"}]}}`)
		}, 2},
		{"a list that can't be read", "/mcp/orders", text, func(rw http.ResponseWriter, s string) {
			_, _ = io.WriteString(rw, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"`+s+`","name":"b"}]}}`)
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.in(t)
			w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", c.kind)
				c.answer(rw, bearerOf(r))
			})
			call := w.call(to(c.target))
			if strings.Contains(c.name, "list") {
				call = w.call(body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
			} else if c.target == plain {
				call = w.call(get(plain))
			}
			before := len(w.masks())
			w.do(call)
			id := w.lastAllowed().Call
			if rec := w.outcome(id); rec.ScrubHits != c.hits {
				t.Errorf("outcome: got %d hits, want %d", rec.ScrubHits, c.hits)
			}
			told := w.masks()
			if len(told) != before+1 || told[before].Call != id || told[before].Credential == "" {
				t.Errorf("records of what was masked: got %d more: %+v, want one of the call", len(told)-before, told)
			}
			total += c.hits
			upstream := "orders"
			if c.target == plain {
				upstream = "api"
				ofPlain += c.hits
			}
			if !strings.Contains(string(w.logged.bytes()), `"call":"`+id+`","upstream":"`+upstream+`","credential"`) {
				t.Error("log: got no line that says so")
			}
		})
	}
	w.in(t)
	w.wantMetric(fmt.Sprintf(`mintmark_scrubbed_total{upstream="api"} %d`, ofPlain))
	w.wantMetric(fmt.Sprintf(`mintmark_scrubbed_total{upstream="orders"} %d`, total-ofPlain))
}

const answerEvent = "data: " + okAnswer + "\n\n"

// A stream may go on for days, and nobody waits for its end to be told.
func TestASecretInAStreamIsToldAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream()
	secret := w.issuer.last()
	e.event(t, ": "+secret+"\n\n")
	x.want(": " + strings.Repeat("*", len(secret)) + "\n\n")
	w.await("the record", func() bool { return len(w.masks()) == 1 })
	w.wantMetric(`mintmark_scrubbed_total{upstream="orders"} 1`)
	e.event(t, ": "+secret+"\n\n")
	x.want(": " + strings.Repeat("*", len(secret)) + "\n\n")
	e.event(t, "")
	if rec := w.outcome(w.lastAllowed().Call); rec.ScrubHits != 2 || len(w.masks()) != 1 {
		t.Errorf("at its end: got %d hits and %d records, want 2 and 1", rec.ScrubHits, len(w.masks()))
	}
	w.wantMetric(`mintmark_scrubbed_total{upstream="orders"} 2`)
}
