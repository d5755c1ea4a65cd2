package mcp

import (
	"bytes"
	"strings"
)

// Entry is one thing that a server's list names: a tool, prompt, resource or
// template of resources.
type Entry struct {
	Method string // the call that it is for: "tools/call", "prompts/get", "resources/read"
	Name   string // tool or prompt name, resource URI, or URI template
	Raw    []byte // as it stands in the list
}

// Call returns the message that calls the entry.
func (e Entry) Call() []byte {
	id := "name"
	if e.Method == "resources/read" {
		id = "uri"
	}
	params := Object{}.With(id, Quote(e.Name))
	return Object{}.With("jsonrpc", []byte(`"2.0"`)).With("id", []byte{'1'}).With("method", Quote(e.Method)).With("params", params.JSON()).JSON()
}

// listing is where a result lists things, and what for.
type listing struct{ member, id, method string }

// listings are the lists of the protocol, all revisions (Server Features).
func listings() [4]listing {
	return [...]listing{
		{"tools", "name", "tools/call"},
		{"prompts", "name", "prompts/get"},
		{"resources", "uri", "resources/read"},
		{"resourceTemplates", "uriTemplate", "resources/read"},
	}
}

// Lists reports whether the answer to method lists what can be called, or says
// who may keep it: such an answer is read and not only relayed.
func Lists(method string) bool {
	switch method {
	case "tools/list", "prompts/list", "resources/list", "resources/templates/list",
		"server/discover", "resources/read": // have a cacheScope
		return true
	}
	return false
}

// FilterLists returns a message of a server without the entries of its lists
// that keep refuses. An entry that no call can name is left out unasked. Lists
// are known by their shape, since an answer may come on another stream than its
// question's. Because a list then holds for one agent, and every answer was
// judged for one, its cacheScope becomes "private" (MCP 2026-07-28, Caching). A
// message without a list is returned as it is, and a batch entry by entry. It
// returns an *Error for a message that two readers could read differently.
func FilterLists(message []byte, keep func(Entry) bool) ([]byte, error) {
	if trimmed := bytes.TrimLeft(message, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		return filterBatch(message, keep)
	}
	o, err := cutNamed(message, topNames[:])
	if err != nil {
		return nil, err
	}
	result := o.Get("result")
	if len(result) == 0 || result[0] != '{' {
		return message, nil
	}
	filtered, err := filterResult(result, keep)
	if err != nil {
		return nil, err
	}
	if filtered == nil {
		return message, nil
	}
	return o.With("result", filtered).JSON(), nil
}

func filterBatch(batch []byte, keep func(Entry) bool) ([]byte, error) {
	messages, err := CutArray(batch)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		if messages[i], err = FilterLists(messages[i], keep); err != nil {
			return nil, err
		}
	}
	return JoinArray(messages), nil
}

// filterResult returns nil when result can stay as it is.
func filterResult(result []byte, keep func(Entry) bool) ([]byte, error) {
	o, err := cutNamed(result, []string{"tools", "prompts", "resources", "resourceTemplates", "cacheScope"})
	if err != nil {
		return nil, err
	}
	changed := false
	for _, l := range listings() {
		list := o.Get(l.member)
		if len(list) == 0 || list[0] == 'n' {
			continue
		}
		kept, all, err := l.filter(list, keep)
		if err != nil {
			return nil, err
		}
		if !all {
			o, changed = o.With(l.member, kept), true
		}
	}
	if scope := o.Get("cacheScope"); scope != nil && string(scope) != `"private"` {
		o, changed = o.With("cacheScope", []byte(`"private"`)), true
	}
	if !changed {
		return nil, nil
	}
	return o.JSON(), nil
}

// filter returns list without the entries that keep refuses, and whether that
// is all of it.
func (l listing) filter(list []byte, keep func(Entry) bool) (_ []byte, all bool, _ error) {
	elements, err := CutArray(list)
	if err != nil {
		return nil, false, err
	}
	kept, seen := elements[:0:0], make(map[string]bool, len(elements))
	for _, element := range elements {
		name, err := l.name(element)
		if err != nil {
			return nil, false, err
		}
		if l.member == "tools" && seen[name] && name != "" {
			return nil, false, invalidRequest("expected each tool once, got %q twice, of which a client may take either", name)
		}
		seen[name] = true
		if name != "" && keep(Entry{Method: l.method, Name: name, Raw: element}) {
			kept = append(kept, element)
		}
	}
	return JoinArray(kept), len(kept) == len(elements), nil
}

// name returns what a call would name the entry by, or "" when none can.
func (l listing) name(element []byte) (string, error) {
	if element[0] != '{' {
		return "", nil
	}
	o, err := cutNamed(element, []string{"name", "uri", "uriTemplate"})
	if err != nil {
		return "", err
	}
	return o.Text(l.id), nil
}

// cutNamed cuts an object and refuses a name that some readers take for one of
// known, which are the names that decide what is read.
func cutNamed(raw []byte, known []string) (Object, error) {
	o, err := CutObject(raw)
	if err != nil {
		return nil, err
	}
	return o, unmistakable(o, known)
}

// unmistakable refuses a name that some readers take for one of known.
func unmistakable(o Object, known []string) error {
	for _, m := range o {
		for _, k := range known {
			if m.Name != k && strings.EqualFold(m.Name, k) {
				return invalidRequest("expected the name %q, got %q, which some clients read as the same", k, m.Name)
			}
		}
	}
	return nil
}
