package mcp_test

import (
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

// A developer reads what came by its kind alone, and never its content.
func TestRefusalsSayWhatCame(t *testing.T) {
	const whole = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","inputResponses":["s3cret"],"requestState":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"roots":{}}}}}`
	for _, c := range []struct{ from, to, says string }{
		{`"inputResponses"`, `"inputResponses"`, "inputResponses to be an object, got an array"},
		{`"requestState":"x"`, `"requestState":7`, "got no string or an empty one"},
		{`{"roots":{}}`, `"s3cret"`, "on every request, got a string"},
		{`,"io.modelcontextprotocol/clientCapabilities":{"roots":{}}`, ``, "on every request, got none"},
		{`{"roots":{}}`, `{"roots":true}`, `capability "roots" to be an object, got a boolean`},
		{`"_meta":{`, `"_meta":{"io.modelcontextprotocol/clientInfo":null,`, "to be an object, got null"},
	} {
		m, err := mcp.NewReader(64).Read([]byte(strings.Replace(whole, c.from, c.to, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mcp.SenderOf(&m); err == nil || !strings.HasSuffix(err.Error(), c.says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want %q", c.to, err, c.says)
		}
	}
}

func TestRefusalsOfInputSayWhatCame(t *testing.T) {
	for result, says := range map[string]string{
		`{"resultType":"input_required","requestState":["s3cret"]}`:                                                     "requestState to be a string, got an array",
		`{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list","params":"s3cret"}}}`:               "to be an object, got a string",
		`{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list","params":12}},"requestState":"s3"}`: "to be an object, got a number",
	} {
		o, err := mcp.CutObject([]byte(result))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mcp.Inputs("tools/call", o); err == nil || !strings.HasSuffix(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", result, err, says)
		}
	}
}
