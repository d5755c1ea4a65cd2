package connect_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/cmd/mintmark/connect"
)

func TestSessionOnTheWire(t *testing.T) {
	f := newFake(t, withSession(func(w http.ResponseWriter, r request) {
		if r.method == http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		inform(w, http.StatusOK, result(`"a"`))
	}))
	c := f.run(connect.Options{Upstream: "orders"})
	c.send(initialize)
	c.want(agreed)
	if r := f.next(); r.body != initialize || r.path != "/mcp/orders" || r.header["Mcp-Session-Id"] != nil || r.header["Mcp-Protocol-Version"] != nil ||
		r.header.Get("Content-Type") != "application/json" || r.header.Get("Accept") != "application/json, text/event-stream" {
		t.Errorf("initialize: got %+v", r)
	}
	const call = ` { "jsonrpc" : "2.0","id":"a","method":"tools/call","params":{"name":"\u0061","arguments":{"n":1.50}}}` + "\t"
	c.send(initialized, call)
	c.want(result(`"a"`))
	for range 3 {
		r := f.next()
		if r.header.Get("Mcp-Session-Id") != sessionID || r.header.Get("Mcp-Protocol-Version") != "2025-11-25" || r.header["Mcp-Method"] != nil {
			t.Errorf("%s %s: got %v, want the session's headers", r.method, r.body, r.header)
		}
		switch {
		case r.method == http.MethodGet && r.header.Get("Accept") == "text/event-stream":
		case r.body == initialized, r.body == call:
		default:
			t.Errorf("got %+v, want the messages byte for byte and one GET", r)
		}
	}
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	if r := f.next(); r.method != http.MethodDelete || r.header.Get("Mcp-Session-Id") != sessionID || r.body != "" {
		t.Errorf("end: got %+v, want a DELETE of the session", r)
	}
}

func TestWithoutAnUpstreamItCallsMCP(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { inform(w, http.StatusOK, result("1")) })
	c := f.run(connect.Options{})
	c.send(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	c.want(result("1"))
	if r := f.next(); r.path != "/mcp" {
		t.Errorf("got path %s, want /mcp", r.path)
	}
}

// An old revision has no header for itself, and a broker takes none it does not
// know.
func TestOldRevisionIsNotInAHeader(t *testing.T) {
	for _, version := range []string{"2024-11-05", "2025-03-26"} {
		t.Run(version, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, _ request) {
				inform(w, http.StatusOK, strings.Replace(agreed, "2025-11-25", version, 1))
			})
			c := f.run(connect.Options{})
			c.send(initialize, `{"jsonrpc":"2.0","id":5,"method":"ping"}`)
			f.next()
			if r := f.next(); r.header["Mcp-Protocol-Version"] != nil {
				t.Errorf("got %v, want no header", r.header)
			}
		})
	}
}

func TestWhatFollowsInitializeWaitsForItsAnswer(t *testing.T) {
	free := make(chan struct{})
	var answered atomic.Bool
	f := newFake(t, nil)
	f.handle = withSession(func(w http.ResponseWriter, _ request) { w.WriteHeader(http.StatusMethodNotAllowed) })
	inner := f.handle
	f.handle = func(w http.ResponseWriter, r request) {
		if r.body == initialize {
			f.wait(free)
			answered.Store(true)
		} else if !answered.Load() {
			t.Errorf("got %s before the answer to initialize", r.body)
		}
		inner(w, r)
	}
	c := f.run(connect.Options{})
	c.send(initialize)
	f.next()
	sent := make(chan struct{})
	go func() { defer close(sent); c.send(initialized, initialized) }() // the pipe has no room for two
	select {
	case r := <-f.seen:
		t.Errorf("got %s before the answer to initialize", r.body)
	case <-sent:
		t.Error("two messages were taken before the answer to initialize")
	case <-time.After(100 * time.Millisecond): // nothing came: that is what is wanted
	}
	close(free)
	<-sent
	c.want(agreed)
	if r := f.next(); r.body != initialized {
		t.Errorf("got %+v", r)
	}
}

func TestNotificationsKeepTheirOrder(t *testing.T) {
	f := newFake(t, withSession(nil))
	c := f.run(connect.Options{})
	f.begin(c)
	var want []string
	for _, n := range strings.Split("abcdefghijklmnopqrst", "") {
		want = append(want, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"`+n+`","progress":1}}`)
	}
	want = append(want, `{"jsonrpc":"2.0","id":"s1","result":{}}`)
	c.send(want...)
	for _, w := range want {
		if r := f.until("a message", func(r request) bool { return r.method == http.MethodPost }); r.body != w {
			t.Fatalf("got %s, want %s", r.body, w)
		}
	}
}

// The server's own stream is opened after notifications/initialized, and opened
// again from where it broke off.
func TestStreamOfTheServer(t *testing.T) {
	const note = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	var gets atomic.Int64
	f := newFake(t, nil)
	f.handle = withSession(func(w http.ResponseWriter, r request) {
		switch gets.Add(1) {
		case 1:
			stream(w, ": hello\n\nid: 7\nretry: 1\ndata:\n\nevent: ping\ndata: nothing\n\nid: 8\ndata: "+note+"\n\n")
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			stream(w, "event: message\r\ndata: {\"jsonrpc\": \"2.0\",\r\ndata:  \"id\": 5, \"method\": \"ping\"}\r\n\r\n")
			f.wait(r.gone)
		}
	})
	c := f.run(connect.Options{})
	f.begin(c)
	c.want(note)
	c.want(`{"jsonrpc":"2.0","id":5,"method":"ping"}`)
	for _, last := range []string{"", "8", "8"} {
		if r := f.next(); r.method != http.MethodGet || r.header.Get("Last-Event-Id") != last || r.header.Get("Mcp-Session-Id") != sessionID {
			t.Errorf("got %s with Last-Event-ID %q, want a GET with %q", r.method, r.header.Get("Last-Event-Id"), last)
		}
	}
	// The client's answer to the server's request.
	c.send(`{"jsonrpc":"2.0","id":5,"result":{}}`)
	if r := f.next(); r.body != `{"jsonrpc":"2.0","id":5,"result":{}}` {
		t.Errorf("got %+v, want the answer", r)
	}
}

// A session that the server does not know any more ends the program: with an
// error for each request that waits, and no DELETE.
func TestEndOfTheSessionAtTheServer(t *testing.T) {
	f := newFake(t, nil)
	f.handle = withSession(func(w http.ResponseWriter, r request) {
		switch {
		case r.method == http.MethodGet:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case strings.Contains(r.body, "slow"):
			f.wait(r.gone)
		default:
			inform(w, http.StatusNotFound, `{"jsonrpc":"2.0","id":2,"error":{"code":-31404,"message":"mintmark: unknown session: it ended"}}`)
		}
	})
	c := f.run(connect.Options{})
	f.begin(c)
	c.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow"}}`)
	f.until("the call", func(r request) bool { return strings.Contains(r.body, "slow") })
	c.send(`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)
	got := map[any]bool{}
	for range 2 {
		var e failure
		decode(t, c.next(), &e)
		if e.Error.Code != -31404 || !strings.Contains(e.Error.Message, "restart this MCP server") || !strings.Contains(e.Error.Message, "unknown session") {
			t.Errorf("got %+v, want that the session has ended, and what to do", e)
		}
		got[e.ID] = true
	}
	if !got[1.0] || !got[2.0] {
		t.Errorf("got answers to %v, want to both requests", got)
	}
	if err := recv(t, "the end", c.ended); err == nil || !strings.Contains(err.Error(), "session has ended") {
		t.Errorf("end: got %v, want that the session has ended", err)
	}
	c.ended <- nil
	for {
		select {
		case r := <-f.seen:
			if r.method == http.MethodDelete {
				t.Error("got a DELETE of a session that is none")
			}
			continue
		default:
		}
		break
	}
}

// Servers that have no stream of their own say so with 404 as well: that ends
// no session. An unknown method is no unknown session either.
func TestOther404sEndNoSession(t *testing.T) {
	f := newFake(t, withSession(func(w http.ResponseWriter, r request) {
		if r.method == http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		inform(w, http.StatusNotFound, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}`)
	}))
	c := f.run(connect.Options{})
	f.begin(c)
	f.until("the GET", func(r request) bool { return r.method == http.MethodGet })
	for range 2 {
		c.send(`{"jsonrpc":"2.0","id":1,"method":"tools/tsil"}`)
		c.want(`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}`)
	}
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
}

// A cancelled call of a session is cancelled at the server, and then given up: no
// answer comes of it.
func TestCancelInASession(t *testing.T) {
	const cancel = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`
	f := newFake(t, nil)
	f.handle = withSession(func(w http.ResponseWriter, r request) {
		if r.method == http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if strings.Contains(r.body, `"slow"`) {
			f.wait(r.gone)
			return
		}
		inform(w, http.StatusOK, result("2"))
	})
	c := f.run(connect.Options{})
	f.begin(c)
	c.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow"}}`, cancel)
	var call request
	for told := false; !told || call.gone == nil; {
		if r := f.until("a message", func(r request) bool { return r.method == http.MethodPost }); r.body == cancel {
			told = true
		} else {
			call = r
		}
	}
	recv(t, "the end of the call", ended(call.gone))
	c.send(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
	c.want(result("2"))
}

// A second initialize begins another session, and ends the first.
func TestInitializeAgain(t *testing.T) {
	f := newFake(t, withSession(nil))
	c := f.run(connect.Options{})
	f.begin(c)
	c.send(initialize)
	c.want(agreed)
	if r := f.until("the second initialize", func(r request) bool { return r.body == initialize }); r.header["Mcp-Session-Id"] != nil {
		t.Errorf("initialize: got %v, want no session", r.header)
	}
	f.until("the end of the first", func(r request) bool { return r.method == http.MethodDelete })
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	f.until("the end of the second", func(r request) bool { return r.method == http.MethodDelete })
}
