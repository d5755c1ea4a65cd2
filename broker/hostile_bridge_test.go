package broker_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// messages are what an upstream can say through a bridge, which words anew what it
// relays: only what a strict reading takes gets that far.
func messages(way string) map[string]attack {
	m := spoken()
	if way != "h2" {
		m = attacks()
	}
	for name := range m {
		if strings.HasPrefix(name, "header ") && name != "header Mcp-Protocol-Version" && name != "header Www-Authenticate" {
			delete(m, name)
		}
	}
	return m
}

// bridges are the ways in which an agent calls a hostile upstream through a bridge.
type bridges struct {
	does            atomic.Pointer[attack]
	stole           atomic.Int64
	sessions, newer *world // of an upstream that has sessions, and of one that has none
	calls           map[string]bridging
}

type bridging struct {
	w    *world
	call request
}

// newBridges makes the upstreams, which are called over http, https or h2.
func newBridges(t *testing.T, way string) *bridges {
	t.Helper()
	b := &bridges{}
	b.sessions = scriptedServer(t, b.hostile, func(s *setup) {
		s.Policy += "\nforbid (principal, action, resource in Upstream::\"stuck\");" // a list would wait for it
	})
	b.newer = modern(t, http.HandlerFunc(b.hostileNewer))
	if way != "http" {
		b.sessions.move(way, "orders", begins(b.hostile))
		b.newer.move(way, "stateless", http.HandlerFunc(b.hostileNewer))
	}
	first := b.newer.do(b.newer.call(to("/mcp/stateless"), body(initialize)))
	handle := with("Mcp-Session-Id", first.header.Get("Mcp-Session-Id"))
	if first.header.Get("Mcp-Session-Id") == "" {
		t.Fatalf("begin a session: got %d %s", first.status, first.body)
	}
	b.calls = map[string]bridging{
		"a newer agent":         {b.sessions, b.sessions.lookup(1)},
		"an agent in a session": {b.newer, b.newer.call(to("/mcp/stateless"), handle)},
	}
	if way == "http" { // over TLS what answers is another client, and the bridge the same
		maps.Copy(b.calls, map[string]bridging{
			"a newer agent's list":       {b.sessions, b.sessions.stateless2026("tools/list", 1, "", "")},
			"its list":                   {b.newer, b.newer.call(to("/mcp/stateless"), handle, body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))},
			"one endpoint":               {b.sessions, b.sessions.stateless2026("tools/call", 1, `"name":"orders__lookup_order","arguments":{}`, "", to("/mcp"))},
			"one endpoint's list of all": {b.sessions, b.sessions.stateless2026("tools/list", 1, "", "", to("/mcp"))},
		})
	}
	return b
}

func (b *bridges) hostile(rw http.ResponseWriter, r *http.Request) {
	b.stole.Add(int64(len(stolen(r))))
	(*b.does.Load())(rw, r, loot(r))
}

func (b *bridges) hostileNewer(rw http.ResponseWriter, r *http.Request) {
	text := bodyOf(r)
	if strings.Contains(text, `"server/discover"`) {
		_, id, _ := strings.Cut(text, `"id":`)
		rw.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(rw, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"},"ttlMs":0,"cacheScope":"private"}}`, id[:strings.IndexAny(id, ",}")])
		return
	}
	b.hostile(rw, r)
}

// move has a registered MCP upstream served by h, in one way.
func (w *world) move(way, name string, h http.Handler) {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.dir, "mintmark.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	entry := "\n  " + name + `: {url: "`
	_, rest, _ := strings.Cut(string(content), entry)
	old, _, _ := strings.Cut(rest, `", `)
	url, also := w.serveOver(way, h)
	if err := w.change("mintmark.yaml", entry+old+`", `, entry+url+`/mcp", `+also); err != nil {
		w.t.Fatal(err)
	}
}

// Whatever an upstream of another era, or one of several behind one endpoint,
// answers: nothing of what was injected comes through.
func TestAHostileUpstreamShowsNothingThroughABridge(t *testing.T) {
	t.Parallel()
	for way, least := range map[string]int{"http": 300, "https": 100, "h2": 50} {
		t.Run(way, func(t *testing.T) {
			b, tried := newBridges(t, way), 0
			for place, a := range messages(way) {
				b.does.Store(&a)
				for how, c := range b.calls {
					if strings.HasPrefix(place, "tokens of ") && place != "tokens of 3" && (way != "http" || how != "a newer agent" && how != "an agent in a session") {
						continue // as of suiting
					}
					b.wantNothing(t, place+" by "+how, c)
					tried++
				}
			}
			if tried < least {
				t.Errorf("tried %d answers, want %d at least", tried, least)
			}
		})
	}
}

// wantNothing makes one call and looks for what was injected in all that it left.
func (b *bridges) wantNothing(t *testing.T, what string, c bridging) {
	t.Helper()
	c.w.in(t)
	b.stole.Store(0)
	got := c.w.do(c.call)
	for again := 0; b.stole.Load() == 0 && again < 5; again++ {
		got = c.w.do(c.call)
	}
	if b.stole.Load() == 0 {
		t.Fatalf("%s: the upstream got no credential: %d %.300q", what, got.status, got.body)
	}
	c.w.wantNoSighting(got)
	if t.Failed() {
		t.Fatalf("%s: got %.600q", what, got.body)
	}
}
