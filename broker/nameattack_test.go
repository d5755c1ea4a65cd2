package broker_test

import (
	"fmt"
	"strings"
	"testing"
)

// What policies call a GET, a DELETE or an answer by is no method of a message: it
// would be sent as one that policy never judged.
func TestAMessageIsNotJudgedByAWordOfPolicy(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) {
		s.Policy = `@id("all") permit (principal, action, resource in Upstream::"open");`
	})
	for _, m := range []string{"stream", "end", "response", "http/GET", "http/DELETE"} {
		for kind, message := range map[string]string{
			"request":      fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q}`, m),
			"notification": fmt.Sprintf(`{"jsonrpc":"2.0","method":%q}`, m),
			"batch":        fmt.Sprintf(`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":%q}]`, m),
		} {
			before := w.upstream.taken()
			got := w.do(w.call(to("/mcp/open"), body(message)))
			if w.upstream.taken() != before {
				t.Errorf("%s of %s: got it sent (answer %d), want it refused", kind, m, got.status)
			}
			if kind != "batch" && !strings.Contains(string(got.body), "not one that policies know") {
				t.Errorf("%s of %s: got %d %q, want to be told", kind, m, got.status, got.body)
			}
		}
	}
}
