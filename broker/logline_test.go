package broker_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"mintmark/internal/trustdomain"
)

// levels returns the level of the log line of each call, oldest first.
func (w *world) levels() (levels []string) {
	w.t.Helper()
	for line := range bytes.Lines(w.logged.bytes()) {
		var l struct{ Level, Msg string }
		if err := json.Unmarshal(line, &l); err != nil {
			w.t.Fatal(err)
		}
		if l.Msg == "call" {
			levels = append(levels, l.Level)
		}
	}
	return levels
}

// What a caller did is no error of the broker's, and what an operator may have to
// mend is no mere information.
func TestALogLineIsAsGraveAsItsCall(t *testing.T) {
	t.Parallel()
	other := trustdomain.New("other.org", trustdomain.Options{})
	for _, row := range []struct {
		name  string
		call  func(w *world) request
		level string
	}{
		{"allowed", func(w *world) request { return w.call() }, "DEBUG"},
		{"a stranger without a token", func(w *world) request { return w.call(with("Authorization")) }, "INFO"},
		{"a stranger with nonsense", func(w *world) request { return w.call(with("Authorization", "Bearer nonsense")) }, "INFO"},
		{"a stranger of another trust domain", func(w *world) request {
			return w.call(with("Authorization", "Bearer "+w.token(other, "shop", trustdomain.JWTRequest{})))
		}, "INFO"},
		{"denied", func(w *world) request { return w.call(body(toolCall("refund_all"))) }, "INFO"},
		{"malformed", func(w *world) request { return w.call(body("{")) }, "INFO"},
		{"an upstream that is down", func(w *world) request { return w.call(to("/mcp/unreachable")) }, "WARN"},
		{"an upstream that breaks off", func(w *world) request {
			w.upstream.does(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			return w.call()
		}, "WARN"},
		{"an issuer that is down", func(w *world) request { return w.call(to("/mcp/gone")) }, "WARN"},
		{"an issuer that fails", func(w *world) request { return w.call(to("/mcp/failing")) }, "WARN"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := open(t)
			w.do(row.call(w))
			w.await("its line", func() bool { return len(w.levels()) > 0 })
			if got := w.levels(); got[0] != row.level {
				t.Errorf("got %v, want %s", got, row.level)
			}
		})
	}
}
