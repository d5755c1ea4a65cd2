package mcp_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`

func TestReadClient(t *testing.T) {
	large := strings.Repeat("x", 2048)
	for _, c := range []struct{ what, params, want string }{
		{"all of it", `{"protocolVersion":"2025-06-18","capabilities":{"elicitation":{"form":{}},"sampling":{"tools":{}},"roots":{"listChanged":true},"tasks":{},"extensions":{}},"clientInfo":{"name":"a","x":1}}`,
			`{"revision":"2025-06-18","capabilities":{"elicitation":{"form":{}},"sampling":{"tools":{}},"roots":{}},"info":{"name":"a","x":1}}`},
		{"nothing", `{}`, `{"revision":"2025-11-25","capabilities":{}}`},
		{"a revision without sessions", `{"protocolVersion":"2026-07-28"}`, `{"revision":"2025-11-25","capabilities":{}}`},
		{"a revision nobody knows", `{"protocolVersion":"2024-01-01"}`, `{"revision":"2025-11-25","capabilities":{}}`},
		{"other types", `{"capabilities":[],"clientInfo":"a"}`, `{"revision":"2025-11-25","capabilities":{}}`},
		{"large icons", `{"clientInfo":{"name":"a","icons":"` + large + `","version":"1"}}`, `{"revision":"2025-11-25","capabilities":{},"info":{"name":"a","version":"1"}}`},
		{"a large name", `{"clientInfo":{"name":"` + large + `"}}`, `{"revision":"2025-11-25","capabilities":{}}`},
		{"large experiments", `{"capabilities":{"experimental":{"a":"` + large + `"},"roots":{}}}`, `{"revision":"2025-11-25","capabilities":{"roots":{}}}`},
		{"large capabilities", `{"capabilities":{"sampling":{"a":"` + large + `"}}}`, ""},
		{"a name twice", `{"capabilities":{"sampling":{},"sampling":{}}}`, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, err := mcp.ReadClient([]byte(initialize + c.params + `}`))
			if c.want == "" {
				wantProtocolError(t, err)
				return
			}
			if err != nil || string(got.JSON()) != c.want {
				t.Fatalf("got %s, %v, want %s", got.JSON(), err, c.want)
			}
			again, err := mcp.ParseClient(got.JSON())
			if err != nil || string(again.JSON()) != c.want {
				t.Errorf("parse: got %s, %v", again.JSON(), err)
			}
		})
	}
}

func wantProtocolError(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*mcp.Error](err); !ok {
		t.Errorf("got %v, want an *Error", err)
	}
}

func shop() mcp.Client {
	return mcp.Client{Revision: "2025-11-25", Info: []byte(`{"name":"a"}`), Capabilities: []byte(`{"roots":{}}`)}
}

const stated = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/clientInfo":{"name":"a"}`

func TestToStateless(t *testing.T) {
	for _, c := range []struct{ what, message, want string }{
		{"no params", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{` + stated + `}}}`},
		{"bytes stay", `{"id":"\u0031","jsonrpc":"2.0","params":{"arguments": {"n" : 1.0e0, "s":"\u00e9"} ,"name":"t"},"method":"tools/call"}`,
			`{"id":"\u0031","jsonrpc":"2.0","params":{"arguments":{"n" : 1.0e0, "s":"\u00e9"},"name":"t","_meta":{` + stated + `}},"method":"tools/call"}`},
		{"a progress token", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":7},"cursor":"c"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":7,` + stated + `},"cursor":"c"}}`},
		{"what it says of itself counts once", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"b"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}}}`,
			`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"a"}}}}`},
		{"no state and no task", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"requestState":"s","inputResponses":{},"task":{"ttl":1}}}`,
			`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{` + stated + `}}}`},
		{"no object", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":7}}`, ""},
		{"a state in another case", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"RequestState":"s"}}`, ""},
		{"capabilities in another case", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol/ClientCapabilities":{}}}}`, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, err := shop().ToStateless([]byte(c.message))
			if c.want == "" {
				wantProtocolError(t, err)
				return
			}
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func cut(t *testing.T, text string) mcp.Object {
	t.Helper()
	o, err := mcp.CutObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestInitializeResult(t *testing.T) {
	for _, c := range []struct{ what, discovered, want string }{
		{"all of it", `{"resultType":"complete","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"prompts":{},"completions":{},"logging":{},"extensions":{"a":{}},"experimental":{}},"instructions":"i","ttlMs":1,"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}}`,
			`{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"prompts":{},"resources":{},"completions":{}},"serverInfo":{"name":"s","version":"1"},"instructions":"i"}`},
		{"nothing", `{}`, `{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"orders","version":"unknown"}}`},
		{"other types", `{"capabilities":{"tools":true},"instructions":7,"_meta":{"io.modelcontextprotocol/serverInfo":7}}`,
			`{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"orders","version":"unknown"}}`},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got, err := mcp.InitializeResult(cut(t, c.discovered), "2025-06-18", "orders"); err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestInputs(t *testing.T) {
	const ask = `"resultType":"input_required"`
	for _, c := range []struct {
		what, method, result string
		want                 int // of requests; -1: complete, -2: an error
		state                string
	}{
		{"complete", "tools/call", `{"resultType":"complete"}`, -1, ""},
		{"no type", "tools/call", `{"content":[]}`, -1, ""},
		{"a state alone", "tools/call", `{` + ask + `,"requestState":"a\/b"}`, 0, `"a\/b"`},
		{"two requests", "prompts/get", `{` + ask + `,"inputRequests":{"a":{"method":"roots/list"},"b":{"method":"roots/list","params":{}}}}`, 2, ""},
		{"where none may be", "tools/list", `{` + ask + `,"requestState":"s"}`, -2, ""},
		{"neither", "tools/call", `{` + ask + `}`, -2, ""},
		{"a state that is no text", "tools/call", `{` + ask + `,"requestState":7}`, -2, ""},
		{"requests that are no object", "tools/call", `{` + ask + `,"inputRequests":[]}`, -2, ""},
		{"params that are no object", "tools/call", `{` + ask + `,"inputRequests":{"a":{"method":"roots/list","params":7}}}`, -2, ""},
		{"too many", "tools/call", `{` + ask + `,"inputRequests":{"a":{}` + many(32) + `}}`, -2, ""},
		{"a task", "tools/call", `{"resultType":"task"}`, -2, ""},
		{"null", "tools/call", `{"resultType":null}`, -2, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, err := mcp.Inputs(c.method, cut(t, c.result))
			switch {
			case c.want == -2:
				wantProtocolError(t, err)
			case c.want == -1 && (got != nil || err != nil):
				t.Errorf("got %+v, %v, want nil", got, err)
			case c.want >= 0 && (err != nil || got == nil || len(got.Requests) != c.want || string(got.State) != c.state):
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"k` + strconv.Itoa(i) + `":{}`)
	}
	return b.String()
}

func TestInputRequest(t *testing.T) {
	for _, c := range []struct{ what, revision, can, method, params, want string }{
		{"a form", "2025-11-25", `{"elicitation":{}}`, "elicitation/create", `{"mode":"form","message":"m"}`, `{"mode":"form","message":"m"}`},
		{"a form before modes", "2025-06-18", `{"elicitation":{}}`, "elicitation/create", `{"mode":"form","message":"m"}`, `{"message":"m"}`},
		{"a form where only URLs", "2025-11-25", `{"elicitation":{"url":{}}}`, "elicitation/create", `{"message":"m"}`, ""},
		{"a URL", "2025-11-25", `{"elicitation":{"url":{}}}`, "elicitation/create", `{"mode":"url","url":"u"}`, `{"mode":"url","url":"u","elicitationId":"i"}`},
		{"a URL before modes", "2025-06-18", `{"elicitation":{"url":{}}}`, "elicitation/create", `{"mode":"url"}`, ""},
		{"a URL where only forms", "2025-11-25", `{"elicitation":{}}`, "elicitation/create", `{"mode":"url"}`, ""},
		{"another mode", "2025-11-25", `{"elicitation":{}}`, "elicitation/create", `{"mode":"voice"}`, ""},
		{"undeclared elicitation", "2025-11-25", `{}`, "elicitation/create", `{}`, ""},
		{"sampling", "2025-11-25", `{"sampling":{}}`, "sampling/createMessage", `{"maxTokens":1.0}`, `{"maxTokens":1.0}`},
		{"undeclared sampling", "2025-11-25", `{}`, "sampling/createMessage", `{}`, ""},
		{"roots", "2025-11-25", `{"roots":{}}`, "roots/list", ``, ``},
		{"undeclared roots", "2025-11-25", `{}`, "roots/list", `{}`, ""},
		{"anything else", "2025-11-25", `{}`, "tools/call", `{}`, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			client := mcp.Client{Revision: c.revision, Capabilities: []byte(c.can)}
			r := mcp.InputRequest{Key: "k", Method: c.method}
			want := `{"jsonrpc":"2.0","id":"i","method":"` + c.method + `"}`
			if c.params != "" {
				r.Params = []byte(c.params)
				want = `{"jsonrpc":"2.0","id":"i","method":"` + c.method + `","params":` + c.want + `}`
			}
			got, err := client.InputRequest(r, "i")
			if c.want == "" && c.params != "" {
				wantProtocolError(t, err)
				return
			}
			if err != nil || string(got) != want {
				t.Errorf("got  %s, %v\nwant %s", got, err, want)
			}
		})
	}
}

func TestAgain(t *testing.T) {
	first := `{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"n" : 1},"inputResponses":{"old":{}},"requestState":"old"}}`
	asked := []mcp.InputRequest{{Key: "k"}}
	answers := mcp.Object{}.With("k", []byte(`{"action":"accept"}`))
	for _, c := range []struct {
		what string
		in   mcp.Input
		want string
	}{
		{"both", mcp.Input{Requests: asked, State: []byte(`"\/"`)}, `{"arguments":{"n" : 1},"inputResponses":{"k":{"action":"accept"}},"requestState":"\/"}`},
		{"no state", mcp.Input{Requests: asked}, `{"arguments":{"n" : 1},"inputResponses":{"k":{"action":"accept"}}}`},
		{"a state alone", mcp.Input{State: []byte(`"s"`)}, `{"arguments":{"n" : 1},"requestState":"s"}`},
	} {
		t.Run(c.what, func(t *testing.T) {
			want := `{"jsonrpc":"2.0","id":"two","method":"m","params":` + c.want + `}`
			if got, err := mcp.Again([]byte(first), "two", answers, &c.in); err != nil || string(got) != want {
				t.Errorf("got  %s, %v\nwant %s", got, err, want)
			}
		})
	}
}

func TestIDKey(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{{`"a"`, `"\u0061"`, true}, {`"<"`, `"\u003c"`, true}, {`1`, `"1"`, false}, {`1`, `1`, true}, {``, `1`, false}, {`null`, `1`, false}} {
		if got := mcp.SameID([]byte(c.a), []byte(c.b)); got != c.same {
			t.Errorf("%s and %s: got %t, want %t", c.a, c.b, got, c.same)
		}
	}
}

func TestMirrorsArguments(t *testing.T) {
	for text, want := range map[string]bool{
		`{"name":"t"}`: false,
		`{"name":"t","inputSchema":{"type":"object","properties":{"a":{"type":"string"}}}}`:                                   false,
		`{"name":"t","inputSchema":{"type":"object","properties":{"a":{"type":"string","description":"x-mcp-header"}}}}`:      false,
		`{"name":"t","description":"x-mcp-header","inputSchema":{"type":"object","required":["x-mcp-header"]}}`:               false,
		`{"name":"t","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"Region"}}}}`:           true,
		`{"name":"t","inputSchema":{"properties":{"a":{"properties":{"b":{"type":"string","x\u002dmcp-header":"Region"}}}}}}`: true,
	} {
		if got := mcp.MirrorsArguments([]byte(text)); got != want {
			t.Errorf("%s: got %t, want %t", text, got, want)
		}
	}
}
