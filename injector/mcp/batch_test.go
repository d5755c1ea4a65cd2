package mcp_test

import (
	"fmt"
	"testing"

	"mintmark/injector/mcp"
)

func TestReadBatch(t *testing.T) {
	const (
		call   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[{}]}}}`
		notice = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
		read   = `{ "id":"2", "method":"resources/read", "jsonrpc":"2.0", "params":{"uri":"u"} }`
		result = `{"jsonrpc":"2.0","id":1,"result":{}}`
		fault  = `{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"no"}}`
	)
	cases := []struct {
		name, body string
		want       []mcp.Message
	}{
		{"one", `[` + call + `]`, []mcp.Message{
			{Kind: mcp.Request, ID: []byte("1"), Method: "tools/call", TargetOf: mcp.Tool, Target: "a", Arguments: []byte(`{"x":[{}]}`), Raw: []byte(call)}}},
		{"several, with white space", " [\n" + call + " ,\t" + notice + "\r\n,\n" + read + "\n]\n", []mcp.Message{
			{Kind: mcp.Request, ID: []byte("1"), Method: "tools/call", TargetOf: mcp.Tool, Target: "a", Arguments: []byte(`{"x":[{}]}`), Raw: []byte(call)},
			{Kind: mcp.Notification, Method: "notifications/initialized", Raw: []byte(notice)},
			{Kind: mcp.Request, ID: []byte(`"2"`), Method: "resources/read", TargetOf: mcp.Resource, Target: "u", Raw: []byte(read)}}},
		{"answers", `[` + result + `,` + fault + `]`, []mcp.Message{
			{Kind: mcp.Response, ID: []byte("1"), Method: "response", Raw: []byte(result)},
			{Kind: mcp.Response, ID: []byte("2"), Method: "response", Raw: []byte(fault)}}},
	}
	r := mcp.NewReader(64)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := r.ReadBatch([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if g, w := fmt.Sprintf("%+q", got), fmt.Sprintf("%+q", c.want); g != w {
				t.Errorf("\n got %s\nwant %s", g, w)
			}
		})
	}
}

func TestIsBatch(t *testing.T) {
	for body, want := range map[string]bool{"[]": true, " \t\r\n[": true, "": false, " ": false, "{}": false, "\v[": false, "\ufeff[": false, "1": false} {
		if got := mcp.IsBatch([]byte(body)); got != want {
			t.Errorf("%q: got %t, want %t", body, got, want)
		}
	}
}
