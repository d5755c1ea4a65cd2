package mcp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

// change returns a copy of h with other values: of "a|b" two, of "-" none.
func change(h http.Header, kv ...string) http.Header {
	h = h.Clone()
	for i := 0; i < len(kv); i += 2 {
		h[kv[i]] = strings.Split(kv[i+1], "|")
		if kv[i+1] == "-" {
			delete(h, kv[i])
		}
	}
	return h
}

// wantError holds err against an *Error with the given parts; code 0 is none.
func wantError(t *testing.T, err error, code, status int, says string) {
	t.Helper()
	if code == 0 {
		if err != nil {
			t.Errorf("got %v, want none", err)
		}
		return
	}
	e, ok := errors.AsType[*mcp.Error](err)
	if !ok {
		t.Fatalf("got %v, want an *mcp.Error", err)
	}
	if e.Code != code || e.Status != status || e.Message != says {
		t.Errorf("\n got %d, %d, %s\nwant %d, %d, %s", e.Code, e.Status, e.Message, code, status, says)
	}
}

func TestCheckHeaders(t *testing.T) {
	const (
		version   = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`
		stateless = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo",` + version + `}}`
		foreign   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"Grüße",` + version + `}}`
		padded    = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":" echo",` + version + `}}`
		list      = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + version + `}}`
		read      = `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a","name":"b",` + version + `}}`
		task      = `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"7",` + version + `}}`
		old       = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}}}`
		legacy    = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`
		notice    = `{"jsonrpc":"2.0","method":"notifications/cancelled"}`
		answer    = `{"jsonrpc":"2.0","id":1,"result":{}}`

		supported = `expected a protocol version of 2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26, got `
	)
	none := http.Header{}
	modern := http.Header{"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"echo"}}
	for _, c := range []struct {
		name, body string
		header     http.Header
		code       int // 0: accepted
		says       string
	}{
		{"stateless", stateless, modern, 0, ""},
		{"plain name in base64", stateless, change(modern, "Mcp-Name", "=?base64?ZWNobw==?="), 0, ""},
		{"foreign name in base64", foreign, change(modern, "Mcp-Name", "=?base64?R3LDvMOfZQ==?="), 0, ""},
		{"padded name in base64", padded, change(modern, "Mcp-Name", "=?base64?IGVjaG8=?="), 0, ""},
		{"arguments mirrored", stateless, change(modern, "Mcp-Param-Region", "us-west1"), 0, ""},
		{"resource by its uri", read, change(modern, "Mcp-Method", "resources/read", "Mcp-Name", "file:///a"), 0, ""},
		{"task", task, change(modern, "Mcp-Method", "tasks/get", "Mcp-Name", "7"), 0, ""},
		{"method without a name", list, change(modern, "Mcp-Method", "tools/list", "Mcp-Name", "-"), 0, ""},
		{"notification of no revision", notice, change(modern, "Mcp-Method", "-", "Mcp-Name", "-"), 0, ""},
		{"notification with its method", notice, change(modern, "Mcp-Method", "notifications/cancelled", "Mcp-Name", "-"), 0, ""},
		{"legacy without headers", legacy, none, 0, ""},
		{"legacy with its version", legacy, change(none, "Mcp-Protocol-Version", "2025-11-25"), 0, ""},
		{"legacy that mirrors what it calls", legacy, change(none, "Mcp-Method", "tools/call", "Mcp-Name", "echo"), 0, ""},
		{"answer", answer, change(none, "Mcp-Protocol-Version", "2025-06-18"), 0, ""},

		{"other method", stateless, change(modern, "Mcp-Method", "tools/list"), mcp.CodeHeaderMismatch, `expected the header Mcp-Method to equal the body's value "tools/call", got "tools/list"`},
		{"other case of the method", stateless, change(modern, "Mcp-Method", "Tools/Call"), mcp.CodeHeaderMismatch, `expected the header Mcp-Method to equal the body's value "tools/call", got "Tools/Call"`},
		{"two methods in one", stateless, change(modern, "Mcp-Method", "tools/call, tools/list"), mcp.CodeHeaderMismatch, `expected the header Mcp-Method to equal the body's value "tools/call", got "tools/call, tools/list"`},
		{"no method", stateless, change(modern, "Mcp-Method", "-"), mcp.CodeHeaderMismatch, `expected the header Mcp-Method with the body's value "tools/call", got none`},
		{"empty method", stateless, change(modern, "Mcp-Method", ""), mcp.CodeHeaderMismatch, `expected the header Mcp-Method to equal the body's value "tools/call", got ""`},
		{"other method of a notification", notice, change(modern, "Mcp-Name", "-"), mcp.CodeHeaderMismatch, `expected the header Mcp-Method to equal the body's value "notifications/cancelled", got "tools/call"`},
		{"other name", stateless, change(modern, "Mcp-Name", "refund"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name to equal the body's value "echo", got "refund"`},
		{"other case of the name", stateless, change(modern, "Mcp-Name", "Echo"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name to equal the body's value "echo", got "Echo"`},
		{"other name in base64", stateless, change(modern, "Mcp-Name", "=?base64?cmVmdW5k?="), mcp.CodeHeaderMismatch, `expected the header Mcp-Name to equal the body's value "echo", got "refund"`},
		{"no name", stateless, change(modern, "Mcp-Name", "-"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name with the body's value "echo", got none`},
		{"no name of a task", task, change(modern, "Mcp-Method", "tasks/get", "Mcp-Name", "-"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name with the body's value "7", got none`},
		{"name where the uri counts", read, change(modern, "Mcp-Method", "resources/read", "Mcp-Name", "b"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name to equal the body's value "file:///a", got "b"`},
		{"name where none is called", list, change(modern, "Mcp-Method", "tools/list"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name to equal the body's value "", got "echo"`},
		{"foreign name as it is", foreign, change(modern, "Mcp-Name", "Grüße"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name in visible ASCII or as =?base64?…?=, got "Grüße"`},
		{"foreign name in Latin-1", foreign, change(modern, "Mcp-Name", "Gr\xfc\xdfe"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name in visible ASCII or as =?base64?…?=, got "Gr\xfc\xdfe"`},
		{"padded name as it is", padded, modern, mcp.CodeHeaderMismatch, `expected the header Mcp-Name to equal the body's value " echo", got "echo"`},
		{"broken base64", stateless, change(modern, "Mcp-Name", "=?base64?R3L?="), mcp.CodeHeaderMismatch, `expected the header Mcp-Name in visible ASCII or as =?base64?…?=, got "=?base64?R3L?="`},
		{"base64 with more bits than bytes", stateless, change(modern, "Mcp-Name", "=?base64?ZWNobx==?="), mcp.CodeHeaderMismatch, `expected the header Mcp-Name in visible ASCII or as =?base64?…?=, got "=?base64?ZWNobx==?="`},
		{"base64 without an end", stateless, change(modern, "Mcp-Name", "=?base64?ZWNobw=="), mcp.CodeHeaderMismatch, `expected the header Mcp-Name in visible ASCII or as =?base64?…?=, got "=?base64?ZWNobw=="`},
		{"sentinel in capitals", stateless, change(modern, "Mcp-Name", "=?BASE64?ZWNobw==?="), mcp.CodeHeaderMismatch, `expected the header Mcp-Name to equal the body's value "echo", got "=?BASE64?ZWNobw==?="`},
		{"version in the body alone", stateless, none, mcp.CodeHeaderMismatch, `expected the header MCP-Protocol-Version to equal _meta's protocolVersion "2026-07-28", got ""`},
		{"version in the header alone", legacy, modern, mcp.CodeInvalidParams, `expected every request of revision 2026-07-28 to have "io.modelcontextprotocol/protocolVersion" in params._meta, got none`},
		{"two versions", stateless, change(modern, "Mcp-Protocol-Version", "2025-11-25"), mcp.CodeHeaderMismatch, `expected the header MCP-Protocol-Version to equal _meta's protocolVersion "2026-07-28", got "2025-11-25"`},
		{"two versions of a legacy header", old, modern, mcp.CodeHeaderMismatch, `expected the header MCP-Protocol-Version to equal _meta's protocolVersion "2025-11-25", got "2026-07-28"`},
		{"legacy version in _meta", old, change(none, "Mcp-Protocol-Version", "2025-11-25"), mcp.CodeUnsupportedVersion, supported + `"2025-11-25"`},
		{"unknown version", legacy, change(none, "Mcp-Protocol-Version", "2031-01-01"), mcp.CodeUnsupportedVersion, supported + `"2031-01-01"`},
		{"version before Streamable HTTP", legacy, change(none, "Mcp-Protocol-Version", "2024-11-05"), mcp.CodeUnsupportedVersion, supported + `"2024-11-05"`},
		{"legacy that mirrors another method", legacy, change(none, "Mcp-Method", "ping"), mcp.CodeHeaderMismatch, `expected the header Mcp-Method to equal the body's value "tools/call", got "ping"`},
		{"legacy that mirrors another name", legacy, change(none, "Mcp-Name", "other"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name to equal the body's value "echo", got "other"`},
		{"answer that names a method", answer, change(none, "Mcp-Method", "tools/call"), mcp.CodeHeaderMismatch, `expected no header Mcp-Method on what calls no method, got one`},
		{"answer that names a tool", answer, change(none, "Mcp-Name", "echo"), mcp.CodeHeaderMismatch, `expected no header Mcp-Name on what calls no method, got one`},
		{"two names", stateless, change(modern, "Mcp-Name", "echo|refund"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name once, got it 2 times`},
		{"the same name twice", stateless, change(modern, "Mcp-Name", "echo|echo"), mcp.CodeHeaderMismatch, `expected the header Mcp-Name once, got it 2 times`},
		{"two methods", stateless, change(modern, "Mcp-Method", "tools/call|ping|ping"), mcp.CodeHeaderMismatch, `expected the header Mcp-Method once, got it 3 times`},
		{"two headers of the version", stateless, change(modern, "Mcp-Protocol-Version", "2026-07-28|2025-11-25"), mcp.CodeHeaderMismatch, `expected the header Mcp-Protocol-Version once, got it 2 times`},
		{"two sessions", legacy, change(none, "Mcp-Session-Id", "a|b"), mcp.CodeHeaderMismatch, `expected the header Mcp-Session-Id once, got it 2 times`},
		{"two events", legacy, change(none, "Last-Event-Id", "a|b"), mcp.CodeHeaderMismatch, `expected the header Last-Event-Id once, got it 2 times`},
		{"an argument twice", stateless, change(modern, "Mcp-Param-Region", "a|b", "Mcp-Param-Zone", "a|b"), mcp.CodeHeaderMismatch, `expected the header Mcp-Param-Region once, got it 2 times`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := mcp.NewReader(64).Read([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			wantError(t, mcp.CheckHeaders(c.header, &m), c.code, http.StatusBadRequest, c.says)
		})
	}
}

func TestCheckContent(t *testing.T) {
	const utf8 = `expected Content-Type application/json in UTF-8, got `
	json := http.Header{"Content-Type": {"application/json"}}
	for _, c := range []struct {
		header http.Header
		says   string // "": accepted
	}{
		{json, ""},
		{change(json, "Content-Type", "application/json; charset=UTF-8"), ""},
		{change(json, "Content-Type", `Application/JSON;charset="utf-8"`), ""},
		{change(json, "Content-Encoding", "identity"), ""},

		{change(json, "Content-Type", "-"), `expected one Content-Type header, application/json, got 0`},
		{change(json, "Content-Type", "application/json|application/json"), `expected one Content-Type header, application/json, got 2`},
		{change(json, "Content-Type", "text/plain"), utf8 + `"text/plain"`},
		{change(json, "Content-Type", ""), utf8 + `""`},
		{change(json, "Content-Type", "application/json, text/plain"), utf8 + `"application/json, text/plain"`},
		{change(json, "Content-Type", "application/json-patch+json"), utf8 + `"application/json-patch+json"`},
		{change(json, "Content-Type", "application/json-seq"), utf8 + `"application/json-seq"`},
		{change(json, "Content-Type", "text/json"), utf8 + `"text/json"`},
		{change(json, "Content-Type", "multipart/form-data; boundary=x"), utf8 + `"multipart/form-data; boundary=x"`},
		{change(json, "Content-Type", "application/json; charset=utf-16"), utf8 + `"application/json; charset=utf-16"`},
		{change(json, "Content-Type", "application/json; charset=latin1"), utf8 + `"application/json; charset=latin1"`},
		{change(json, "Content-Type", "application/json; charset=utf-8; charset=utf-16"), utf8 + `"application/json; charset=utf-8; charset=utf-16"`},
		{change(json, "Content-Type", "application/json; charset"), utf8 + `"application/json; charset"`},
		{change(json, "Content-Encoding", "gzip"), `expected an uncompressed body, got Content-Encoding ["gzip"]`},
		{change(json, "Content-Encoding", "identity, gzip"), `expected an uncompressed body, got Content-Encoding ["identity, gzip"]`},
		{change(json, "Content-Encoding", "identity|br"), `expected an uncompressed body, got Content-Encoding ["identity" "br"]`},
		{change(json, "Content-Encoding", ""), `expected an uncompressed body, got Content-Encoding [""]`},
	} {
		code := 0
		if c.says != "" {
			code = mcp.CodeInvalidRequest
		}
		wantError(t, mcp.CheckContent(c.header), code, http.StatusUnsupportedMediaType, c.says)
	}
}

func TestCheckBatch(t *testing.T) {
	none := http.Header{}
	for _, c := range []struct {
		name   string
		header http.Header
		code   int
		says   string
	}{
		{"no revision", none, 0, ""},
		{"2025-03-26", change(none, "Mcp-Protocol-Version", "2025-03-26"), 0, ""},
		{"2025-06-18", change(none, "Mcp-Protocol-Version", "2025-06-18"), mcp.CodeInvalidRequest,
			`expected one JSON-RPC message, got a batch (an array), which only revision 2025-03-26 has, in revision "2025-06-18"; send each message in its own POST`},
		{"2026-07-28", change(none, "Mcp-Protocol-Version", "2026-07-28"), mcp.CodeInvalidRequest,
			`expected one JSON-RPC message, got a batch (an array), which only revision 2025-03-26 has, in revision "2026-07-28"; send each message in its own POST`},
		{"unknown revision", change(none, "Mcp-Protocol-Version", "2031-01-01"), mcp.CodeUnsupportedVersion,
			`expected a protocol version of 2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26, got "2031-01-01"`},
		{"empty revision", change(none, "Mcp-Protocol-Version", "", "Mcp-Method", "ping"), mcp.CodeHeaderMismatch,
			`expected no header Mcp-Method on a batch, which has no one method, got one`},
		{"name", change(none, "Mcp-Name", "a"), mcp.CodeHeaderMismatch, `expected no header Mcp-Name on a batch, which has no one method, got one`},
		{"two sessions", change(none, "Mcp-Session-Id", "a|b"), mcp.CodeHeaderMismatch, `expected the header Mcp-Session-Id once, got it 2 times`},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, mcp.CheckBatch(c.header), c.code, http.StatusBadRequest, c.says) })
	}
}
