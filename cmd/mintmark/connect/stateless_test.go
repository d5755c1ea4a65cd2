package connect_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mintmark/cmd/mintmark/connect"
)

// modern returns a request of the revision without sessions.
func modern(id, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, id, method, params)
}

func TestMirrorHeaders(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { inform(w, http.StatusOK, result("1")) })
	c := f.run(connect.Options{Upstream: "orders"})
	for _, tt := range []struct{ method, params, name string }{
		{"server/discover", ``, ""},
		{"tools/list", ``, ""},
		{"tools/call", `"name":"lookup",`, "lookup"},
		{"tools/call", `"name":"größe",`, "=?base64?Z3LDtsOfZQ==?="},
		{"tools/call", `"name":"=?base64?x?=",`, "=?base64?PT9iYXNlNjQ/eD89?="},
		{"resources/read", `"uri":"file:///a b",`, "file:///a b"},
		{"prompts/get", `"name":" p ",`, "=?base64?IHAg?="},
		{"tasks/get", `"taskId":"7f",`, "7f"},
	} {
		body := modern("1", tt.method, tt.params)
		c.send(body)
		c.want(result("1"))
		r := f.next()
		if r.body != body || r.header.Get("Mcp-Protocol-Version") != "2026-07-28" || r.header.Get("Mcp-Method") != tt.method ||
			r.header.Get("Mcp-Name") != tt.name || (tt.name == "") != (r.header["Mcp-Name"] == nil) || r.header["Mcp-Session-Id"] != nil {
			t.Errorf("%s %s: got %v", tt.method, tt.params, r.header)
		}
	}
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	if len(f.seen) > 0 {
		t.Errorf("end: got %+v, want no request: there is no session", f.next())
	}
}

func TestRevisionThatNoHeaderCanName(t *testing.T) {
	f := newFake(t, func(http.ResponseWriter, request) {})
	c := f.run(connect.Options{})
	c.send(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"é"}}}`)
	c.wantError(1.0, -32022, "2026-07-28")
}

// The revision without sessions has no cancellation but the end of the exchange.
func TestCancelWithoutASession(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"within the answer": func(w http.ResponseWriter) {
			stream(w, `data: {"jsonrpc":"2.0","method":"notifications/progress"}`+"\n\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, nil)
			f.handle = func(w http.ResponseWriter, r request) {
				if strings.Contains(r.body, `"id":2`) {
					inform(w, http.StatusOK, result("2"))
					return
				}
				begin(w)
				f.wait(r.gone)
			}
			c := f.run(connect.Options{})
			c.send(modern("1", "tools/call", `"name":"slow",`))
			call := f.next()
			if strings.HasPrefix(name, "within") {
				c.want(`{"jsonrpc":"2.0","method":"notifications/progress"}`)
			}
			c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"no"}}`)
			recv(t, "the end of the exchange", ended(call.gone))
			// Nothing is left to cancel, and nobody to tell.
			c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
			c.send(modern("2", "tools/list", ""))
			c.want(result("2"))
			if r := f.next(); !strings.Contains(r.body, `"id":2`) {
				t.Errorf("got %s, want no cancellation", r.body)
			}
		})
	}
}

// A subscription has no end of its own: the end of the client is one.
func TestSubscriptionEndsWithTheClient(t *testing.T) {
	f := newFake(t, nil)
	f.handle = func(w http.ResponseWriter, r request) {
		stream(w, `data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged"}`+"\n\n")
		f.wait(r.gone)
	}
	c := f.run(connect.Options{})
	c.send(modern(`"l"`, "subscriptions/listen", ""))
	c.want(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged"}`)
	r := f.next()
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	recv(t, "the end of the subscription", ended(r.gone))
	if line, more := <-c.lines; more {
		t.Errorf("got %s, want nothing more", line)
	}
}

// A server marks the arguments that it wants repeated in headers, and a stdio
// client does not know of headers.
func TestMarkedArguments(t *testing.T) {
	const tools = `{"jsonrpc":"2.0","id":1,"result":{"tools":[
		{"name":"odd","inputSchema":true}, {"name":"none","inputSchema":{"type":"object","properties":{"a":true}}},
		{"name":"query","inputSchema":{"type":"object","x-mcp-header":"Root","properties":{
			"region":{"type":"string","x-mcp-header":"Region"},
			"limit":{"type":"integer","x-mcp-header":"Limit"}, "dry":{"type":"boolean","x-mcp-header":"dry-run"},
			"bad":{"type":"string","x-mcp-header":"no space"}, "wrong":{"x-mcp-header":7}, "list":{"type":"array","x-mcp-header":"List"},
			"where":{"type":"object","properties":{"city":{"type":"string","x-mcp-header":"City"}}},
			"absent":{"type":"string","x-mcp-header":"Absent"}, "nothing":{"type":"string","x-mcp-header":"Nothing"}}}}]}}`
	f := newFake(t, func(w http.ResponseWriter, r request) {
		if strings.Contains(r.body, "tools/list") {
			inform(w, http.StatusOK, tools)
			return
		}
		inform(w, http.StatusOK, result("2"))
	})
	c := f.run(connect.Options{})
	c.send(modern("1", "tools/list", ""))
	c.next()
	f.next()
	c.send(modern("2", "tools/call", `"name":"query","arguments":{"region":"us-west1","limit":42.0,"dry":true,"where":{"city":"Zürich"},"nothing":null,"bad":"b","list":["x"]},`))
	c.want(result("2"))
	want := map[string]string{"Mcp-Param-Region": "us-west1", "Mcp-Param-Limit": "42", "Mcp-Param-Dry-Run": "true", "Mcp-Param-City": "=?base64?WsO8cmljaA==?="}
	got := map[string]string{}
	for name, values := range f.next().header {
		if strings.HasPrefix(name, "Mcp-Param-") {
			got[name] = strings.Join(values, "|")
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	c.send(modern("2", "tools/call", `"name":"none","arguments":{"a":1},`))
	c.want(result("2"))
}
