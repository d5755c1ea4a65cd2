package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// messages are what an upstream can say through a bridge, which words anew what it
// relays: only what a strict reading takes gets that far.
func messages() map[string]attack {
	m := attacks()
	for name := range m {
		if strings.HasPrefix(name, "header ") && name != "header Mcp-Protocol-Version" && name != "header Www-Authenticate" {
			delete(m, name)
		}
	}
	return m
}

// Whatever an upstream of another era, or one of several behind one endpoint,
// answers: nothing of what was injected comes through.
func TestAHostileUpstreamShowsNothingThroughABridge(t *testing.T) {
	t.Parallel()
	var does atomic.Pointer[attack]
	var stole atomic.Int64
	hostile := func(rw http.ResponseWriter, r *http.Request) {
		stole.Add(int64(len(stolen(r))))
		(*does.Load())(rw, r, loot(r))
	}
	sessions := scriptedServer(t, hostile, func(s *setup) {
		s.Policy += "\nforbid (principal, action, resource in Upstream::\"stuck\");" // a list would wait for it
	})
	newer := modern(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		if strings.Contains(string(text), `"server/discover"`) {
			_, id, _ := strings.Cut(string(text), `"id":`)
			rw.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(rw, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"},"ttlMs":0,"cacheScope":"private"}}`, id[:strings.IndexAny(id, ",}")])
			return
		}
		hostile(rw, r)
	}))
	first := newer.do(newer.call(to("/mcp/stateless"), body(initialize)))
	handle := with("Mcp-Session-Id", first.header.Get("Mcp-Session-Id"))
	if first.header.Get("Mcp-Session-Id") == "" {
		t.Fatalf("begin a session: got %d %s", first.status, first.body)
	}
	tried := 0
	for place, a := range messages() {
		does.Store(&a)
		for way, c := range map[string]struct {
			w    *world
			call request
		}{
			"a newer agent":              {sessions, sessions.lookup(1)},
			"a newer agent's list":       {sessions, sessions.stateless2026("tools/list", 1, "", "")},
			"an agent in a session":      {newer, newer.call(to("/mcp/stateless"), handle)},
			"its list":                   {newer, newer.call(to("/mcp/stateless"), handle, body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))},
			"one endpoint":               {sessions, sessions.stateless2026("tools/call", 1, `"name":"orders__lookup_order","arguments":{}`, "", to("/mcp"))},
			"one endpoint's list of all": {sessions, sessions.stateless2026("tools/list", 1, "", "", to("/mcp"))},
		} {
			if strings.HasPrefix(place, "tokens of ") && place != "tokens of 3" && way != "a newer agent" && way != "an agent in a session" {
				continue // as of suiting
			}
			c.w.in(t)
			stole.Store(0)
			got := c.w.do(c.call)
			for again := 0; stole.Load() == 0 && again < 5; again++ {
				got = c.w.do(c.call)
			}
			if stole.Load() == 0 {
				t.Fatalf("%s by %s: the upstream got no credential: %d %.300q", place, way, got.status, got.body)
			}
			c.w.wantNoSighting(got)
			if t.Failed() {
				t.Fatalf("%s by %s: got %.600q", place, way, got.body)
			}
			tried++
		}
	}
	if tried < 300 {
		t.Errorf("tried %d answers, want 300 at least", tried)
	}
}
