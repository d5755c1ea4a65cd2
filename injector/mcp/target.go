package mcp

import (
	"strings"
	"unicode"
)

// complete checks what only the whole message shows.
func (p *parser) complete(m Message) (Message, error) {
	if !p.seen.jsonrpc {
		return Message{}, invalidRequest(`expected a member "jsonrpc" with the value "2.0", got none`)
	}
	answers := p.seen.result || p.seen.failure
	switch {
	case answers && p.params.present:
		return Message{}, invalidRequest(`expected an answer to have no "params", got some`)
	case p.seen.method && answers:
		return Message{}, invalidRequest(`expected either "method" or "result"/"error", got both`)
	case p.seen.method && m.Method == "":
		return Message{}, invalidRequest(`expected "method" to name a method, got an empty string`)
	case p.seen.method && m.ID != nil:
		m.Kind = Request
	case p.seen.method:
		m.Kind = Notification
	case answers && (m.ID == nil || p.seen.result == p.seen.failure):
		return Message{}, invalidRequest(`expected an answer to have an "id" and either "result" or "error"`)
	case p.seen.failure && !(p.seen.code && p.seen.message):
		return Message{}, invalidRequest(`expected an "error" to have a "code" and a "message", got one without`)
	case answers:
		m.Kind, m.Method = Response, "response"
		return m, nil
	default:
		return Message{}, invalidRequest(`expected a member "method", got none`)
	}
	return p.target(m)
}

// target fills in what the method acts on.
func (p *parser) target(m Message) (Message, error) {
	q := &p.params
	m.Version, m.Arguments = q.version, q.arguments
	if err := checkRevision(&m); err != nil {
		return Message{}, err
	}
	switch m.Method {
	case "tools/call":
		m.TargetOf, m.Target = Tool, q.name
	case "prompts/get":
		m.TargetOf, m.Target = Prompt, q.name
	case "resources/read", "resources/subscribe", "resources/unsubscribe":
		m.TargetOf, m.Target = Resource, q.uri
	case "tasks/get", "tasks/update", "tasks/cancel", "tasks/result":
		m.TargetOf, m.Target = Task, q.task
	case "completion/complete":
		var err error
		if m.TargetOf, m.Target, err = q.ref.target(); err != nil {
			return Message{}, err
		}
	case "initialize":
		m.Initialize = q.protocolVersion
	}
	if strings.ContainsFunc(m.Method, unicode.IsControl) || strings.ContainsFunc(m.Target, unicode.IsControl) {
		return Message{}, invalidParams("expected names without control characters, got one in the method or its %s", m.TargetOf)
	}
	if m.TargetOf != NoTarget && m.Target == "" {
		return Message{}, invalidParams("expected %s to name its %s in %q, got none", m.Method, m.TargetOf, "params")
	}
	return m, nil
}

// target returns what a completion is for.
func (f ref) target() (TargetKind, string, error) {
	switch {
	case f.hasName && f.hasURI:
		return NoTarget, "", invalidParams(`expected "ref" to have either "name" or "uri", got both`)
	case f.kind == "ref/prompt" && !f.hasURI:
		return Prompt, f.name, nil
	case f.kind == "ref/resource" && !f.hasName:
		return Resource, f.uri, nil
	}
	return NoTarget, "", invalidParams(`expected "ref" to be of type "ref/prompt" with a "name", or of type "ref/resource" with a "uri", got type %q`, f.kind)
}
