package mcp

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// parser reads one message. The messages of a batch have one each, over one
// decoder.
type parser struct {
	dec  *jsontext.Decoder
	body []byte
	gaps gaps // what of body dec does not read
	seen struct{ jsonrpc, method, result, failure, code, message bool }
	// params holds what the method decides the meaning of: names are read
	// before the method may be known.
	params params
}

type params struct {
	present         bool
	name, uri, task string
	hasName, hasURI bool
	hasTask         bool
	ref             ref
	arguments       []byte
	version         string
	protocolVersion string
}

// ref is what a completion is asked for. Servers tell what it names by its
// type, so that type and name must say the same.
type ref struct {
	kind, name, uri string
	hasName, hasURI bool
}

func (p *parser) message() (Message, error) {
	if kind := p.dec.PeekKind(); kind == '[' {
		return Message{}, invalidRequest("expected one JSON-RPC message, got a batch (an array); send each message in its own POST")
	} else if kind != '{' && kind != 0 {
		if _, err := p.value(); err != nil { // PeekKind saw its first character alone
			return Message{}, err
		}
		return Message{}, invalidRequest("expected a JSON object, got %s", kindName(kind))
	}
	var m Message
	if err := p.object(topNames[:], func(name string) error { return p.topMember(&m, name) }); err != nil {
		return Message{}, err
	}
	return p.complete(m)
}

// end refuses what follows the message, or the batch, but white space.
func (p *parser) end() error {
	if _, err := p.dec.ReadToken(); err == nil || p.at() < len(bytes.TrimRight(p.body, space)) {
		return parseError("expected the end of the body after the message, got more data at byte %d", p.at())
	}
	return nil
}

// object reads an object, calling member after each name with the decoder at
// the member's value; name is "" for a member that is not among known.
func (p *parser) object(known []string, member func(name string) error) error {
	if kind := p.dec.PeekKind(); kind != '{' && kind != 0 {
		return invalidRequest("expected %q to be an object, got %s", p.dec.StackPointer(), kindName(kind))
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	for p.dec.PeekKind() == '"' {
		raw, err := p.dec.ReadValue()
		if err != nil {
			return syntaxError(err)
		}
		name, err := match(known, raw)
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	return nil
}

func (p *parser) topMember(m *Message, name string) (err error) {
	switch name {
	case "jsonrpc":
		p.seen.jsonrpc = true
		var version string
		if version, err = p.text(8); err == nil && version != "2.0" {
			err = invalidRequest(`expected "jsonrpc" to be "2.0", got %q`, version)
		}
	case "id":
		m.ID, err = p.id()
	case "method":
		p.seen.method = true
		m.Method, err = p.text(256)
	case "params":
		p.params.present = true
		err = p.object(paramNames[:], p.paramMember)
	case "result":
		p.seen.result = true
		_, err = p.value()
	case "error":
		p.seen.failure = true
		err = p.object(errorNames[:], p.errorMember)
	default:
		_, err = p.value()
	}
	return err
}

// errorMember reads what an error must have: servers take an answer whose error
// has it not for no answer.
func (p *parser) errorMember(name string) (err error) {
	switch name {
	case "code":
		p.seen.code = true
		kind := p.dec.PeekKind()
		var v []byte
		if v, err = p.value(); err == nil && !(kind == '0' && exactInteger(v)) {
			err = invalidRequest(`expected the error's "code" to be an integer between -(2^53-1) and 2^53-1, got %s`, kindName(kind))
		}
	case "message":
		p.seen.message = true
		if kind := p.dec.PeekKind(); kind != '"' && kind != 0 {
			return invalidRequest(`expected the error's "message" to be a string, got %s`, kindName(kind))
		}
		_, err = p.value()
	default:
		_, err = p.value()
	}
	return err
}

func (p *parser) paramMember(name string) (err error) {
	switch name {
	case "name":
		p.params.hasName = true
		p.params.name, err = p.textOrSkip(maxNameLength)
	case "uri":
		p.params.hasURI = true
		p.params.uri, err = p.textOrSkip(maxNameLength)
	case "taskId":
		p.params.hasTask = true
		p.params.task, err = p.textOrSkip(maxNameLength)
	case "arguments":
		p.params.arguments, err = p.value()
	case "protocolVersion":
		p.params.protocolVersion, err = p.textOrSkip(64)
	case "ref":
		err = p.objectOrSkip(refNames[:], p.refMember)
	case "_meta":
		err = p.objectOrSkip(metaNames[:], p.metaMember)
	default:
		_, err = p.value()
	}
	return err
}

func (p *parser) refMember(name string) (err error) {
	switch name {
	case "type":
		p.params.ref.kind, err = p.textOrSkip(maxNameLength)
	case "name":
		p.params.ref.hasName = true
		p.params.ref.name, err = p.textOrSkip(maxNameLength)
	case "uri":
		p.params.ref.hasURI = true
		p.params.ref.uri, err = p.textOrSkip(maxNameLength)
	default:
		_, err = p.value()
	}
	return err
}

func (p *parser) metaMember(name string) (err error) {
	if name == metaVersion {
		if p.params.version, err = p.text(64); err == nil && p.params.version == "" {
			err = invalidParams("expected %q to be a protocol revision, got an empty string", p.dec.StackPointer())
		}
		return err
	}
	_, err = p.value()
	return err
}
