package connect

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mintmark/injector/mcp"
)

// params knows which arguments a server wants repeated in headers: the ones
// that its tools' schemas mark with x-mcp-header (MCP 2026-07-28, "Custom
// Headers from Tool Parameters"). A stdio client does not do that, so it is
// done for it. It is safe for concurrent use.
type params struct {
	mu    sync.Mutex
	tools map[string][]param
}

// param is one argument that is repeated.
type param struct {
	path   []string // names that lead to it
	header string
}

type schema struct {
	Header     string                    `json:"x-mcp-header"`
	Properties map[string]jsontext.Value `json:"properties"`
}

// learn reads the result of a tools/list.
func (p *params) learn(result jsontext.Value) {
	var list struct {
		Tools []struct {
			Name   string         `json:"name"`
			Schema jsontext.Value `json:"inputSchema"`
		} `json:"tools"`
	}
	if json.Unmarshal(result, &list, jsontext.AllowDuplicateNames(true)) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, tool := range list.Tools {
		delete(p.tools, tool.Name)
		if found := marked(tool.Schema, nil); len(found) > 0 {
			if p.tools == nil {
				p.tools = make(map[string][]param)
			}
			p.tools[tool.Name] = found
		}
	}
}

// marked returns the marked properties of a schema, which path leads to. What is
// marked against the rules is not followed.
func marked(text jsontext.Value, path []string) (found []param) {
	var s schema
	if json.Unmarshal(text, &s, jsontext.AllowDuplicateNames(true)) != nil {
		return nil
	}
	if s.Header != "" && len(path) > 0 && isToken(s.Header) {
		found = append(found, param{path: path, header: http.CanonicalHeaderKey(mcp.PrefixParam + s.Header)})
	}
	for name, property := range s.Properties {
		found = append(found, marked(property, append(path[:len(path):len(path)], name))...)
	}
	return found
}

func isToken(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") == ""
}

// set sets the headers of a call.
func (p *params) set(h http.Header, m *mcp.Message) {
	if m.TargetOf != mcp.Tool || m.Arguments == nil {
		return
	}
	p.mu.Lock()
	marked := p.tools[m.Target]
	p.mu.Unlock()
	for _, param := range marked {
		if text, ok := primitive(lookup(m.Arguments, param.path)); ok {
			h[param.header] = []string{mcp.HeaderValue(text)}
		}
	}
}

// lookup returns what path leads to in the arguments of a call, or nil.
func lookup(value jsontext.Value, path []string) jsontext.Value {
	for _, name := range path {
		var object map[string]jsontext.Value
		if json.Unmarshal(value, &object) != nil {
			return nil
		}
		value = object[name]
	}
	return value
}

// primitive returns a value as a header has it, if it may stand in one.
func primitive(value jsontext.Value) (string, bool) {
	switch value.Kind() {
	case '"':
		text, err := jsontext.AppendUnquote(nil, value)
		return string(text), err == nil
	case 't', 'f':
		return string(value), true
	case '0':
		n, err := strconv.ParseInt(keyOf(value), 10, 64)
		return strconv.FormatInt(n, 10), err == nil
	}
	return "", false
}
