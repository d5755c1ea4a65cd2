package broker_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A server that keeps the credential which began a session may say it in the answer
// to a call that came with another. At the world's end no secret is in any answer.
func TestACredentialInTheAnswerToACallWithAnother(t *testing.T) {
	var mu sync.Mutex
	var kept []string // every credential, as it came
	said := begins(func(w http.ResponseWriter, r *http.Request) {
		says(200, "application/json", fmt.Sprintf(`{"jsonrpc":"2.0","id":0,"result":{"content":[{"type":"text","text":%q}]}}`, strings.Join(kept, " ")))(w, r)
	})
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, r.Header.Get("Authorization"))
		said(w, r)
	}), nil)
	w := open(t)
	err := w.change("mintmark.yaml", "\n  open: {", fmt.Sprintf(`
  split: {url: "http://%s/mcp", credentials: [{provider: token, scheme: bearer, tools: ["lookup_*"]}, {provider: user, scheme: basic}]}
  open: {`, address))
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() request{
		"a session of the broker's": func() request {
			return w.stateless2026("tools/call", 0, `"name":"lookup_order"`, "", to("/mcp/split"))
		},
		"a session of the agent's": func() request {
			begun := w.do(w.call(to("/mcp/split"), body(strings.Replace(initializeAsking, `"id":1`, `"id":"mintmark-initialize"`, 1))))
			return w.call(to("/mcp/split"), with("Mcp-Session-Id", begun.header.Get("Mcp-Session-Id")),
				body(strings.Replace(toolCall("lookup_order"), `"id":1`, `"id":0`, 1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := w.do(call()); !strings.Contains(got.body, "Basic ****") || !strings.Contains(got.body, "Bearer ****") {
				t.Errorf("got %s, want both credentials in it, masked", got.body)
			}
		})
	}
}
