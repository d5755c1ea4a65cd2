package mcp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

func TestReadRefuses(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	cases := []struct {
		name, body string
		code       int
		says       string
	}{
		{"empty", ``, mcp.CodeParse, "empty body"},
		{"spaces", " \n", mcp.CodeParse, "empty body"},
		{"truncated", `{"jsonrpc":"2.0","id":1,"method":"ping"`, mcp.CodeParse, "expected"},
		{"trailing value", `{"jsonrpc":"2.0","id":1,"method":"ping"}{"x":1}`, mcp.CodeParse, "end of the body"},
		{"trailing garbage", `{"jsonrpc":"2.0","id":1,"method":"ping"}x`, mcp.CodeParse, "end of the body"},
		{"trailing NUL", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\x00", mcp.CodeParse, "end of the body"},
		{"BOM", "\ufeff{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", mcp.CodeParse, "valid JSON"},
		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, mcp.CodeInvalidRequest, "batch"},
		{"scalar", `1`, mcp.CodeInvalidRequest, "a number"},
		{"duplicate method", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}`, mcp.CodeParse, `"/method" twice`},
		{"duplicate through an escape", `{"jsonrpc":"2.0","id":1,"method":"ping","\u006dethod":"x"}`, mcp.CodeParse, "twice"},
		{"duplicate tool name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}`, mcp.CodeParse, `"/params/name" twice`},
		{"duplicate deep in the arguments", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[{"y":1,"y":2}]}}}`, mcp.CodeParse, "twice"},
		{"case variant of method", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}`, mcp.CodeInvalidRequest, `"Method"`},
		{"case variant of name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}`, mcp.CodeInvalidRequest, `"Name"`},
		{"folded by long s", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"re\u017fult\":1}", mcp.CodeInvalidRequest, "some servers read"},
		{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xff\"}", mcp.CodeParse, "valid JSON"},
		{"lone surrogate", `{"jsonrpc":"2.0","id":1,"method":"\ud800"}`, mcp.CodeParse, "valid JSON"},
		{"too deep", `{"jsonrpc":"2.0","id":1,"method":"ping","params":` + deep + `}`, mcp.CodeParse, "64 levels"},
		{"id null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, mcp.CodeInvalidRequest, "null"},
		{"id fraction", `{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, mcp.CodeInvalidRequest, `"id"`},
		{"id exponent", `{"jsonrpc":"2.0","id":1e3,"method":"ping"}`, mcp.CodeInvalidRequest, `"id"`},
		{"id minus zero", `{"jsonrpc":"2.0","id":-0,"method":"ping"}`, mcp.CodeInvalidRequest, `"id"`},
		{"id beyond 2^53", `{"jsonrpc":"2.0","id":9007199254740992,"method":"ping"}`, mcp.CodeInvalidRequest, `"id"`},
		{"id overflow", `{"jsonrpc":"2.0","id":12345678901234567890,"method":"ping"}`, mcp.CodeInvalidRequest, `"id"`},
		{"no version", `{"id":1,"method":"ping"}`, mcp.CodeInvalidRequest, "jsonrpc"},
		{"version 1", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, mcp.CodeInvalidRequest, `"1.0"`},
		{"no method", `{"jsonrpc":"2.0","id":1}`, mcp.CodeInvalidRequest, "method"},
		{"empty method", `{"jsonrpc":"2.0","id":1,"method":""}`, mcp.CodeInvalidRequest, "empty"},
		{"method and result", `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, mcp.CodeInvalidRequest, "both"},
		{"result and error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`, mcp.CodeInvalidRequest, "either"},
		{"params an array", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["a"]}`, mcp.CodeInvalidRequest, "an object"},
		{"params null", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}`, mcp.CodeInvalidRequest, "null"},
		{"no tool name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`, mcp.CodeInvalidParams, "tool"},
		{"tool name a number", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":3}}`, mcp.CodeInvalidParams, "tool"},
		{"two targets", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"name":"p","uri":"u"}}}`, mcp.CodeInvalidParams, "both"},
	}
	r := mcp.NewReader(64)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := r.Read([]byte(c.body))
			e, ok := errors.AsType[*mcp.Error](err)
			if !ok {
				t.Fatalf("got %+v, %v, want an *mcp.Error", got, err)
			}
			if e.Code != c.code || !strings.Contains(e.Message, c.says) {
				t.Errorf("got %d %q, want %d and %q", e.Code, e.Message, c.code, c.says)
			}
			if got.Kind != mcp.None || got.Method != "" || got.Raw != nil {
				t.Errorf("got a message with the error: %+v", got)
			}
		})
	}
}

func TestCheckHeaders(t *testing.T) {
	const stateless = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"Grüße","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
	const legacy = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`
	modern := func(kv ...string) http.Header {
		h := http.Header{"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"=?base64?R3LDvMOfZQ==?="}}
		for i := 0; i < len(kv); i += 2 {
			h[kv[i]] = strings.Split(kv[i+1], "|")
		}
		return h
	}
	cases := []struct {
		name, body string
		header     http.Header
		code       int // 0: accepted
	}{
		{"stateless", stateless, modern(), 0},
		{"plain name of another spelling", stateless, modern("Mcp-Name", "Grusse"), mcp.CodeHeaderMismatch},
		{"broken base64", stateless, modern("Mcp-Name", "=?base64?R3L?="), mcp.CodeHeaderMismatch},
		{"other method", stateless, modern("Mcp-Method", "tools/list"), mcp.CodeHeaderMismatch},
		{"method missing", stateless, http.Header{"Mcp-Protocol-Version": {"2026-07-28"}}, mcp.CodeHeaderMismatch},
		{"version missing", stateless, http.Header{}, mcp.CodeHeaderMismatch},
		{"version only in the header", legacy, http.Header{"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"echo"}}, mcp.CodeInvalidParams},
		{"two names", stateless, modern("Mcp-Name", "=?base64?R3LDvMOfZQ==?=|other"), mcp.CodeHeaderMismatch},
		{"unknown version", legacy, http.Header{"Mcp-Protocol-Version": {"2031-01-01"}}, mcp.CodeUnsupportedVersion},
		{"legacy without headers", legacy, http.Header{}, 0},
		{"legacy with version", legacy, http.Header{"Mcp-Protocol-Version": {"2025-11-25"}}, 0},
		{"legacy that mirrors another name", legacy, http.Header{"Mcp-Name": {"other"}}, mcp.CodeHeaderMismatch},
	}
	r := mcp.NewReader(64)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, err := r.Read([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			err = mcp.CheckHeaders(c.header, &m)
			e, _ := errors.AsType[*mcp.Error](err)
			switch {
			case c.code == 0 && err != nil:
				t.Errorf("got %v, want none", err)
			case c.code != 0 && (e == nil || e.Code != c.code):
				t.Errorf("got %v, want code %d", err, c.code)
			}
		})
	}
}

func TestCheckContent(t *testing.T) {
	cases := []struct {
		header http.Header
		ok     bool
	}{
		{http.Header{"Content-Type": {"application/json"}}, true},
		{http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, true},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, true},
		{http.Header{}, false},
		{http.Header{"Content-Type": {"application/json", "text/plain"}}, false},
		{http.Header{"Content-Type": {"text/plain"}}, false},
		{http.Header{"Content-Type": {"application/json; charset=utf-16"}}, false},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, false},
	}
	for _, c := range cases {
		if err := mcp.CheckContent(c.header); (err == nil) != c.ok {
			t.Errorf("%v: got %v, want accepted %t", c.header, err, c.ok)
		}
	}
}

// FuzzRead holds the reading against encoding/json: whatever is accepted must
// be read as the same call by a parser that takes the last of two names and
// ignores their case.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"query","arguments":{"a":1}}}`,
		`{"jsonrpc":"2.0","id":"x","result":{}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`,
	} {
		f.Add([]byte(s))
	}
	r := mcp.NewReader(64)
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := r.Read(body)
		if err != nil {
			if m.Kind != mcp.None || m.Raw != nil {
				t.Fatalf("a message came with the error: %+v", m)
			}
			return
		}
		if !bytes.Equal(m.Raw, body) {
			t.Fatal("the bytes judged are not the bytes received")
		}
		var other struct {
			ID     json.RawMessage
			Method string
			Params struct {
				Name, URI any
				Arguments json.RawMessage
			}
		}
		if err := json.Unmarshal(body, &other); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if m.Kind != mcp.Response && other.Method != m.Method {
			t.Fatalf("method: got %q, another reader %q", m.Method, other.Method)
		}
		if m.TargetOf == mcp.Tool && other.Params.Name != m.Target {
			t.Fatalf("tool: got %q, another reader %q", m.Target, other.Params.Name)
		}
		if m.Kind != mcp.Response && !bytes.Equal(other.Params.Arguments, m.Arguments) {
			t.Fatalf("arguments: got %q, another reader %q", m.Arguments, other.Params.Arguments)
		}
		if !bytes.Equal(other.ID, m.ID) {
			t.Fatalf("id: got %q, another reader %q", m.ID, other.ID)
		}
	})
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
