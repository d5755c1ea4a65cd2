package mcp_test

import (
	"fmt"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

func TestRead(t *testing.T) {
	cases := []struct {
		name, body string
		want       mcp.Message
	}{
		{"tools/call", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"query","arguments":{"a":[1,{"b":"}"}]}}}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("7"), Method: "tools/call", TargetOf: mcp.Tool, Target: "query", Arguments: []byte(`{"a":[1,{"b":"}"}]}`)}},
		{"params before method", `{"params":{"uri":"file:///x"},"method":"resources/read","id":"é","jsonrpc":"2.0"}`,
			mcp.Message{Kind: mcp.Request, ID: []byte(`"é"`), Method: "resources/read", TargetOf: mcp.Resource, Target: "file:///x"}},
		{"escaped names are names", `{"jsonrpc":"2.0","id":1,"\u006dethod":"ping"}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("1"), Method: "ping"}},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
			mcp.Message{Kind: mcp.Notification, Method: "notifications/initialized"}},
		{"response", `{"jsonrpc":"2.0","id":3,"result":{"roots":[]}}`,
			mcp.Message{Kind: mcp.Response, ID: []byte("3"), Method: "response"}},
		{"stateless", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("1"), Method: "tools/list", Version: "2026-07-28"}},
		{"initialize", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("0"), Method: "initialize", Initialize: "2025-11-25"}},
		{"completion of a prompt", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"}}}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("1"), Method: "completion/complete", TargetOf: mcp.Prompt, Target: "p"}},
		{"completion of a resource", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"uri":"file:///{x}","type":"ref/resource"},"argument":{"name":"x","value":""}}}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("1"), Method: "completion/complete", TargetOf: mcp.Resource, Target: "file:///{x}"}},
		{"answer with an error", `{"jsonrpc":"2.0","id":"a","error":{"code":-1,"message":"no","data":[1e2]}}`,
			mcp.Message{Kind: mcp.Response, ID: []byte(`"a"`), Method: "response"}},
		{"an id as long as ids may be", `{"jsonrpc":"2.0","id":-9007199254740991,"method":"ping"}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("-9007199254740991"), Method: "ping"}},
		{"a surrogate pair", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\ud83d\ude00"}}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("1"), Method: "tools/call", TargetOf: mcp.Tool, Target: "😀"}},
		{"any name and value in arguments", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"Name":1,"name":2,"ключ":"\u0000\u2028","__proto__":{},"n":[12345678901234567890,-0,1e308,4.9e-324,0e999]}}}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("1"), Method: "tools/call", TargetOf: mcp.Tool, Target: "a",
				Arguments: []byte(`{"Name":1,"name":2,"ключ":"\u0000\u2028","__proto__":{},"n":[12345678901234567890,-0,1e308,4.9e-324,0e999]}`)}},
		{"other names that MCP or a vendor gives", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x","_meta":{"progressToken":1,"com.example/a b":2,"io.modelcontextprotocol/clientInfo":{"name":"x","Name":"y"}}}}`,
			mcp.Message{Kind: mcp.Request, ID: []byte("1"), Method: "tools/list"}},
		{"white space around", " \n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n ",
			mcp.Message{Kind: mcp.Request, ID: []byte("1"), Method: "ping"}},
	}
	r := mcp.NewReader(64)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := r.Read([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Raw) != c.body {
				t.Errorf("Raw: got %q, want the body", got.Raw)
			}
			got.Raw = nil
			if g, w := fmt.Sprintf("%+q", got), fmt.Sprintf("%+q", c.want); g != w {
				t.Errorf("\n got %s\nwant %s", g, w)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	body := []byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"query","arguments":{"sql":"` + strings.Repeat("x", 500) + `"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`)
	r := mcp.NewReader(64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(body); err != nil {
			b.Fatal(err)
		}
	}
}
