package mcp_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

// public keeps what is named public.
func public(e mcp.Entry) bool { return strings.HasPrefix(e.Name, "public") }

func TestFilterLists(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"nothing listed":       {`{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`, ``},
		"all may stay":         {`{"jsonrpc":"2.0","id":1, "result":{"tools":[ {"name":"public"} ]}}`, ``},
		"one goes":             {`{"jsonrpc":"2.0","id":1,"result":{"a":1,"tools":[{"name":"x"},{"name":"public", "n": 1e2}],"z":{}}}`, `{"jsonrpc":"2.0","id":1,"result":{"a":1,"tools":[{"name":"public", "n": 1e2}],"z":{}}}`},
		"the name is escaped":  {`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"\u0070ublic"},{"name":"\u0078"}]}}`, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"\u0070ublic"}]}}`},
		"no list at all":       {`{"jsonrpc":"2.0","id":1,"result":{"tools":null}}`, ``},
		"an error":             {`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"tools"}}`, ``},
		"a notification":       {`{"jsonrpc":"2.0","method":"notifications/message","params":{"tools":[{"name":"x"}]}}`, ``},
		"in a batch":           {`[{"jsonrpc":"2.0","id":1,"result":{"prompts":[{"name":"x"}]}},{"jsonrpc":"2.0","id":2,"result":{}}]`, `[{"jsonrpc":"2.0","id":1,"result":{"prompts":[]}},{"jsonrpc":"2.0","id":2,"result":{}}]`},
		"cached for everybody": {`{"jsonrpc":"2.0","id":1,"result":{"contents":[],"cacheScope":"public"}}`, `{"jsonrpc":"2.0","id":1,"result":{"contents":[],"cacheScope":"private"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.want
			if want == "" {
				want = c.message
			}
			if got, err := mcp.FilterLists([]byte(c.message), public); err != nil || string(got) != want {
				t.Errorf("got %s, %v\nwant %s", got, err, want)
			}
		})
	}
}

// shown is what a careless client takes from an answer: encoding/json matches
// names in any case and takes the last of two.
type shown struct {
	Result struct {
		Tools, Prompts    []struct{ Name string }
		Resources         []struct{ URI string }
		ResourceTemplates []struct{ URITemplate string }
		CacheScope        string
	}
}

func (s shown) names() (names []string) {
	for _, e := range slices.Concat(s.Result.Tools, s.Result.Prompts) {
		names = append(names, e.Name)
	}
	for _, e := range s.Result.Resources {
		names = append(names, e.URI)
	}
	for _, e := range s.Result.ResourceTemplates {
		names = append(names, e.URITemplate)
	}
	return names
}

// Whatever a server sends, a client that reads it carelessly is shown only what
// was kept, and what passes is one text that is stable.
func FuzzFilterLists(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"public"},{"name":"x"}],"cacheScope":"public"}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"public","URI":"x"}]}}`,
		`[{"result":{"prompts":[{"name":"x"}]}}]`,
		`{"RESULT":{"tools":[{"name":"x"}]}}`,
		`{"result":{"resourceTemplates":[{"uriTemplate":"x"}],"re\u0073ources":[]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := mcp.FilterLists(message, public)
		if err != nil {
			if got != nil {
				t.Fatalf("got %q with an error", got)
			}
			return
		}
		again, err := mcp.FilterLists(got, public)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("filtered again: got %q, %v, want %q", again, err, got)
		}
		var one shown
		many := []shown{}
		if json.Unmarshal(got, &one) == nil {
			many = append(many, one)
		} else if json.Unmarshal(got, &many) != nil {
			return // no client reads it
		}
		for _, s := range many {
			for _, name := range s.names() {
				if name != "" && !strings.HasPrefix(name, "public") {
					t.Errorf("%q shows %q after %q", message, name, got)
				}
			}
			if s.Result.CacheScope == "public" {
				t.Errorf("%q may be shared after %q", message, got)
			}
		}
	})
}
