package mcp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

func ExampleJoinName() {
	joined := mcp.JoinName("orders", "_look__up")
	upstream, tool, ok := mcp.SplitName(joined)
	fmt.Println(joined, upstream, tool, ok)
	// Output: orders___look__up orders _look__up true
}

// isName is the rule of broker/bundle for the name of an upstream.
func isName(s string) bool {
	return s != "" && len(s) <= 63 && s[0] >= 'a' && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Whatever an upstream calls its own, what stands for it names that upstream and
// it, and nothing else stands for it.
func FuzzPrefix(f *testing.F) {
	for _, seed := range [][2]string{
		{"orders", "lookup"}, {"orders", "_x"}, {"orders", "__x"}, {"a-1", "orders__x"}, {"orders", "mintmark+orders:x"}, {"orders", "größe/ä b:\n"},
		{"orders", "file:///orders/7?a=b#c"}, {"orders", "urn:x:y"}, {"orders", "https://[::1]/"}, {"orders", ""}, {"", "x"}, {"a_b", "c"}, {"orders", "\xff"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, upstream, own string) {
		for _, way := range []struct {
			join  func(upstream, own string) string
			split func(joined string) (upstream, own string, ok bool)
		}{{mcp.JoinName, mcp.SplitName}, {mcp.JoinURI, mcp.SplitURI}} {
			if up, name, ok := way.split(own); ok && (up == "" || name == "" || way.join(up, name) != own) {
				t.Errorf("split %q: got %q and %q", own, up, name)
			}
			if !isName(upstream) || own == "" {
				continue
			}
			if up, name, ok := way.split(way.join(upstream, own)); !ok || up != upstream || name != own {
				t.Errorf("join %q and %q: got %q, %q, %t", upstream, own, up, name, ok)
			}
		}
	})
}

// Of a request that is taken only what names the upstream changes.
func FuzzUnprefix(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1.0,"method":"tools/call","params":{"name":"orders__x", "arguments" : {"a":1e2, "\u0062":[ ]}}}`,
		`{"jsonrpc":"2.0","id":"\u0061","method":"prompts/get","params":{"name":"orders\u005f_x"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"_meta":{"x": 1},"uri":"mintmark+orders:file:///x"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"mintmark+orders:x"},"argument":{}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"orders__x","title":"t"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`, `{"method":"tools/list"}`, `[]`, `{`,
	} {
		f.Add([]byte(seed))
	}
	reader := mcp.NewReader(64)
	f.Fuzz(func(t *testing.T, request []byte) {
		was, err := reader.Read(request)
		if err != nil || was.Kind != mcp.Request {
			return
		}
		upstream, own, err := mcp.Unprefix(request)
		if err != nil {
			if e, ok := errors.AsType[*mcp.Error](err); !ok || upstream != "" || own != nil || e.Code == 0 {
				t.Fatalf("got %q, %q, %v", upstream, own, err)
			}
			return
		}
		is, err := reader.Read(own)
		if err != nil {
			t.Fatalf("read %s, made of %s: %v", own, request, err)
		}
		joined := mcp.JoinName(upstream, is.Target)
		if is.TargetOf == mcp.Resource {
			joined = mcp.JoinURI(upstream, is.Target)
		}
		if was.Target != joined || was.TargetOf != is.TargetOf || was.Method != is.Method || !bytes.Equal(was.ID, is.ID) || !bytes.Equal(was.Arguments, is.Arguments) || was.Version != is.Version {
			t.Errorf("of %s\ngot %s", request, own)
		}
	})
}

// A URI in a result names the upstream, and the rest is the upstream's own.
func FuzzPrefixResult(f *testing.F) {
	f.Add("tools/call", `file:///x`, `"a":1e2`)
	f.Add("prompts/get", `urn:x:ä`, `"text":"\u0061"`)
	f.Add("resources/read", "x:\n\"", `"blob":"",  "_meta":{ }`)
	f.Fuzz(func(t *testing.T, method, uri, rest string) {
		object := func(uri string) string { return `{"uri":` + string(mcp.Quote(uri)) + `,` + rest + `}` }
		result := func(uri string) string {
			content := `[{"type":"resource","resource":` + object(uri) + `},{"type":"resource_link","uri":` + string(mcp.Quote(uri)) + `},{"type":"text"},7]`
			switch method {
			case "tools/call":
				return `{"content":` + content + `}`
			case "prompts/get":
				return `{"messages":[{"role":"user","content":` + content + `}]}`
			}
			return `{"contents":[` + object(uri) + `]}`
		}
		was, err := mcp.CutObject([]byte(result(uri)))
		if err != nil || !json.Valid([]byte(object(uri))) || strings.Contains(rest, "uri") {
			return
		}
		is, err := mcp.PrefixResult(method, "orders", was)
		if err != nil {
			return
		}
		want := result(uri)
		if method == "tools/call" || method == "prompts/get" || method == "resources/read" {
			if uri = string(mustText(t, uri)); uri != "" {
				want = result(mcp.JoinURI("orders", uri))
			}
		}
		var a, b any
		if json.Unmarshal(is.JSON(), &a) != nil || json.Unmarshal([]byte(want), &b) != nil {
			t.Fatalf("got %s", is.JSON())
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("got %s\nwant %s", is.JSON(), want)
		}
	})
}

// mustText returns s as it is after it was written as JSON.
func mustText(t *testing.T, s string) []byte {
	t.Helper()
	var text string
	if err := json.Unmarshal(mcp.Quote(s), &text); err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

func TestAResourcesURIStaysOne(t *testing.T) {
	for _, own := range []string{"file:///orders/7?a=b#c", "https://example.org/x", "urn:isbn:1", "mintmark+a:b:c"} {
		joined := mcp.JoinURI("orders-2", own)
		if u, err := url.Parse(joined); err != nil || u.Scheme != "mintmark+orders-2" || u.String() != joined {
			t.Errorf("parse %q: got %v, %v", joined, u, err)
		}
	}
}

func TestListedNames(t *testing.T) {
	for method, c := range map[string]struct{ result, want string }{
		"tools/list":               {`{"tools":[{"title":"t", "name":"x"},{"name":"` + strings.Repeat("x", 4089) + `"}]}`, `{"title":"t","name":"orders__x"}`},
		"prompts/list":             {`{"prompts":[{"name":"\u0078"}]}`, `{"name":"orders__x"}`},
		"resources/list":           {`{"resources":[{"uri":"a:b","name":"n"}]}`, `{"uri":"mintmark+orders:a:b","name":"n"}`},
		"resources/templates/list": {`{"resourceTemplates":[{"uriTemplate":"a:{b}"}]}`, `{"uriTemplate":"mintmark+orders:a:{b}"}`},
		"tools/call":               {`{"tools":[{"name":"x"}]}`, ``},
	} {
		result, err := mcp.CutObject([]byte(c.result))
		if err != nil {
			t.Fatal(err)
		}
		got, err := mcp.Listed(method, "orders", result)
		if err != nil || string(bytes.Join(got, []byte{','})) != c.want {
			t.Errorf("%s: got %s, %v, want %s", method, got, err, c.want)
		}
	}
}

func TestWithoutTasks(t *testing.T) {
	of := func(extensions string) string {
		return `{"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"extensions":` + extensions + `,"sampling":{}}}}}`
	}
	if got, err := mcp.WithoutTasks([]byte(of(`{"io.modelcontextprotocol/tasks":{},"other":{}}`))); err != nil || string(got) != of(`{"other":{}}`) {
		t.Errorf("got %s, %v", got, err)
	}
	for _, same := range []string{of(`{}`), of(`7`), `{"method":"tools/call"}`} {
		if got, err := mcp.WithoutTasks([]byte(same)); err != nil || string(got) != same {
			t.Errorf("got %s, %v, want %s", got, err, same)
		}
	}
	if _, err := mcp.WithoutTasks([]byte(`{"method":"tools/call","params":{"task":{}}}`)); err == nil {
		t.Error("a request for a task: got no error")
	}
}
