package mcp_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

func TestHeaderValue(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"us-west1":             "us-west1",
		"file:///a b/c?d#e":    "file:///a b/c?d#e",
		"Hello, 世界":            "=?base64?SGVsbG8sIOS4lueVjA==?=",
		" padded ":             "=?base64?IHBhZGRlZCA=?=",
		"line1\nline2":         "=?base64?bGluZTEKbGluZTI=?=",
		"=?base64?literal?=":   "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
		"=?base64?without end": "=?base64?PT9iYXNlNjQ/d2l0aG91dCBlbmQ=?=",
	} {
		if got := mcp.HeaderValue(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestSetHeadersRefusesARevisionThatNoHeaderNames(t *testing.T) {
	for _, version := range []string{"", " 2026-07-28", "2026\n07", "é"} {
		h := http.Header{}
		err := mcp.SetHeaders(h, &mcp.Message{Kind: mcp.Request, Method: "ping", Version: version})
		if e, ok := err.(*mcp.Error); !ok || e.Code != mcp.CodeUnsupportedVersion || len(h) != 0 { //nolint:errorlint // the type itself is the contract
			t.Errorf("%q: got %v and %v, want an unsupported version and no header", version, err, h)
		}
	}
}

// What SetHeaders sets, CheckHeaders accepts, and no other value of it.
func FuzzSetHeaders(f *testing.F) {
	f.Add("tools/call", "lookup")
	f.Add("tools/call", "=?base64?x")
	f.Add("resources/read", " file:///世界 ")
	f.Add("prompts/get", "a\u00a0b")
	f.Add("tasks/get", "7f")
	f.Add("tools/list", "")
	f.Fuzz(func(t *testing.T, method, target string) {
		body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": map[string]any{
			"name": target, "uri": target, "taskId": target, "_meta": map[string]any{"io.modelcontextprotocol/protocolVersion": mcp.Stateless}}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := mcp.NewReader(64).Read(body)
		if err != nil {
			return
		}
		h := http.Header{}
		if err := mcp.SetHeaders(h, &m); err != nil {
			t.Fatalf("%q %q: got %v", method, target, err)
		}
		if err := mcp.CheckHeaders(h, &m); err != nil {
			t.Errorf("%q %q: got %v refused: %v", method, target, h, err)
		}
		for name, values := range h {
			if len(values) != 1 || strings.ContainsAny(values[0], "\r\n") || strings.TrimSpace(values[0]) != values[0] {
				t.Errorf("%s: got %q, want one value that a header can hold", name, values)
			}
		}
		if h[mcp.HeaderName] == nil {
			return
		}
		h.Set(mcp.HeaderName, mcp.HeaderValue(m.Target+"x"))
		if err := mcp.CheckHeaders(h, &m); err == nil {
			t.Errorf("%q %q: another name was accepted", method, target)
		}
	})
}
