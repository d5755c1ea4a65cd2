package mcp_test

import (
	"fmt"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

func TestAnAnswerIsToItsRequestAlone(t *testing.T) {
	const stream = "text/event-stream"
	list := `{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}`
	for name, c := range map[string]struct {
		kind, text string
		passes     bool
	}{
		"its own":                        {"application/json", `{"jsonrpc":"2.0","id":1,"result":{"id":2,"tools":[{"id":2}]}}`, true},
		"its own, the id last":           {"application/json", `{"result":{"id":2},"id" : 1 }`, true},
		"its own, as a string":           {"application/json", `{"id":"1","result":{}}`, true},
		"another's":                      {"application/json", list, false},
		"another's, the id last":         {"application/json", `{"result":{"tools":[]},"id":2}`, false},
		"another's, escaped":             {"application/json", `{"\u0069d":"\u0032","re\u0073ult":{}}`, false},
		"another's, in capitals":         {"application/json", `{"ID":2,"Result":{}}`, false},
		"both":                           {"application/json", `{"id":1,"id":2,"result":{}}`, false},
		"a long id":                      {"application/json", `{"id":"` + strings.Repeat("1", 2000) + `","result":{}}`, false},
		"an object for an id":            {"application/json", `{"id":{},"result":{}}`, false},
		"behind its own":                 {"application/json", `{"id":1,"result":{}}` + list, false},
		"an error of nobody's":           {"application/json", `{"id":"server-error","error":{"code":1,"message":""}}`, true},
		"the server's question":          {"application/json", `{"id":2,"method":"ping","params":{"result":1}}`, true},
		"a name in a string":             {"application/json", `{"id":1,"result":{"text":"\",\"id\":2,\"result\":"}}`, true},
		"a batch of its own":             {"application/json", `[{"id":1,"result":{}},{"id":"b","result":[{"id":2}]}]`, true},
		"a batch with another's":         {"application/json", `[{"id":1,"result":{}},` + list + `]`, false},
		"a line's end in a string":       {"application/json", "{\"id\":1,\"result\":\"a\nb\"}", false},
		"an event of its own":            {stream, "id: 7\nevent: message\ndata: {\"id\":1,\"result\":{}}\n\n", true},
		"another's event":                {stream, ": alive\n\ndata: " + list + "\n\n", false},
		"another's, in lines":            {stream, "data: {\"id\":2,\r\ndata:\"result\":{}\r\nid: 1\r\ndata: }\r\n\r\n", false},
		"another's, in lines by \\r":     {stream, "data: {\"id\":2,\rdata:\"result\":{}\rdata: }\r\r", false},
		"another's, behind a mark":       {stream, "\uFEFFdata: " + list + "\n\n", false},
		"another's in a comment":         {stream, ": " + list + "\ndata: {\"id\":1,\"result\":{}}\n\n", true},
		"another's in a field":           {stream, "date: " + list + "\nid: " + list + "\n\n", true},
		"half of one, and its own":       {stream, "data: {\"id\":2,\n\ndata: {\"id\":1,\"result\":{}}\n\n", true},
		"one that is no message at all":  {"text/plain", list, true},
		"another's, with a mark's field": {stream, "data: {}\n\n\uFEFFdata: " + list + "\n\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, len(c.text)} {
				own := mcp.NewOwn(c.kind, []byte("1"), []byte(`"b"`))
				var err error
				for text := []byte(c.text); len(text) > 0 && err == nil; text = text[min(size, len(text)):] {
					err = own.Next(text[:min(size, len(text))])
				}
				if (err == nil) != c.passes {
					t.Errorf("in pieces of %d: got %v, want it to pass: %t", size, err, c.passes)
				}
			}
		})
	}
}

// What is looked at eight bytes at once comes to the same as one byte after another,
// wherever in them a character stands that counts.
func TestAnAnswerIsToItsRequestInPiecesToo(t *testing.T) {
	for _, kind := range []string{"application/json", "text/event-stream"} {
		for _, s := range []string{`"`, `\"`, `\\`, `\`, "\x1f", "\x00", "\t", " ", "é", "\xff", "\x80", `","id":2,"x":"`, `"},"id":2,"x":{"y":"`, `"]}`, `{`, `}`, "\n", "\r", `":[[{"a":{}}],"`} {
			for at := range 20 {
				text := `{"jsonrpc":"2.0","result":{"a":[1,{"text":"` + strings.Repeat("x", at) + s + `yyyyyyyyyyyy"},  {} ]},"id":1}`
				for _, text := range []string{text, strings.Replace(text, `"id":1`, `"id":3`, 1)} {
					if kind == "text/event-stream" {
						text = "event: message\ndata: " + text + "\n\ndata: " + text + "\n\n"
					}
					whole, apart := mcp.NewOwn(kind, []byte("1")), mcp.NewOwn(kind, []byte("1"))
					got := whole.Next([]byte(text))
					var want error
					for i := range len(text) {
						if want = apart.Next([]byte(text[i : i+1])); want != nil {
							break
						}
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%q\n got %v\nwant %v", text, got, want)
					}
				}
			}
		}
	}
}
