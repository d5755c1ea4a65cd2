// Package mcp reads MCP messages the one way every upstream will read them.
//
// JSON lets two parsers disagree: on duplicate names, on names that differ
// only in case, on broken Unicode, on numbers out of range, on what follows the
// message. A gateway that judges one reading while the server acts on the other
// is a hole, so whatever could be read in two ways is refused, and the bytes
// that were judged are the bytes that are sent. The differential tests hold
// that against other readers: Go's, Node's and Python's.
package mcp

import (
	"bytes"
	"strings"
	"sync"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind is what a message is in JSON-RPC.
type Kind uint8

// The kinds of message. The zero Kind is none, and is never returned with a
// nil error.
const (
	None         Kind = iota
	Request           // has a method and an id
	Notification      // has a method and no id
	Response          // answers a request of the server
)

// TargetKind is what a message acts on.
type TargetKind uint8

// The kinds of target. NoTarget means the upstream itself.
const (
	NoTarget TargetKind = iota
	Tool
	Prompt
	Resource
	Task
)

// Message is one MCP message, read strictly. Its slices alias the body.
type Message struct {
	Kind      Kind
	TargetOf  TargetKind
	ID        []byte // JSON string or integer as it stands in Raw; nil for a notification
	Method    string
	Target    string // tool or prompt name, resource URI, task id
	Arguments []byte // params.arguments as it stands in Raw, or nil
	// Version is params._meta["io.modelcontextprotocol/protocolVersion"], the
	// mark of the stateless era, or "".
	Version string
	// Initialize is params.protocolVersion of an initialize request, or "".
	Initialize string
	Raw        []byte // the body, or its part that is this message of a batch
}

const (
	metaVersion = "io.modelcontextprotocol/protocolVersion"

	maxIDLength   = 128
	maxNameLength = 4096
)

// Reader reads messages within limits. It is safe for concurrent use.
type Reader struct {
	depth    int
	decoders sync.Pool
}

// NewReader returns a Reader that refuses nesting deeper than depth.
func NewReader(depth int) *Reader {
	return &Reader{depth: depth, decoders: sync.Pool{New: func() any { return new(decoder) }}}
}

type decoder struct {
	buf   bytes.Buffer
	dec   jsontext.Decoder
	short []byte // what it reads instead of a long message
	gaps  gaps
}

// Read parses body as exactly one message. On error the message is zero and
// the error is an *Error that says where and why.
func (r *Reader) Read(body []byte) (Message, error) {
	if err := checkShape(body, r.depth); err != nil {
		return Message{}, err
	}
	d := r.decoders.Get().(*decoder)
	defer r.free(d)
	d.short, d.gaps = shorten(d.short[:0], d.gaps[:0], body)
	if len(d.gaps) > 0 {
		if m, err := d.read(d.short, body); err == nil {
			return m, nil
		}
		d.gaps = d.gaps[:0] // an error says where in the message it is
	}
	return d.read(body, body)
}

// read reads the message in body by what of it is in text, which is all of it but the
// gaps.
func (d *decoder) read(text, body []byte) (Message, error) {
	p := parser{dec: d.over(text), body: body, gaps: d.gaps}
	m, err := p.message()
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return Message{}, err
	}
	m.Raw = body
	return m, nil
}

// over returns the decoder at the beginning of text.
func (d *decoder) over(text []byte) *jsontext.Decoder {
	d.buf = *bytes.NewBuffer(text)
	d.dec.Reset(&d.buf)
	return &d.dec
}

func (r *Reader) free(d *decoder) {
	d.buf = bytes.Buffer{} // do not keep the body alive in the pool
	clear(d.short)
	if cap(d.short) > mostShort {
		d.short = nil
	}
	r.decoders.Put(d)
}

// mostShort is how much room a decoder in the pool has at most.
const mostShort = 16 << 10

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

// value skips one value and returns its bytes as they stand in the body.
func (p *parser) value() ([]byte, error) {
	v, err := p.dec.ReadValue()
	if err != nil {
		return nil, syntaxError(err)
	}
	begin, end := p.gaps.origin(int(p.dec.InputOffset())-len(v)), p.at()
	return p.body[begin:end:end], nil
}

// at returns where in the body the decoder is.
func (p *parser) at() int { return p.gaps.origin(int(p.dec.InputOffset())) }

// text reads a string of at most limit bytes.
func (p *parser) text(limit int) (string, error) {
	where := p.dec.StackPointer
	if kind := p.dec.PeekKind(); kind != '"' && kind != 0 {
		return "", invalidRequest("expected %q to be a string, got %s", where(), kindName(kind))
	}
	quoted, err := p.value()
	if err != nil {
		return "", err
	}
	s := unquote(quoted)
	if len(s) > limit {
		return "", invalidRequest("expected %q to be at most %d bytes long, got %d", where(), limit, len(s))
	}
	return s, nil
}

// unquote returns what a JSON string says, which the decoder has validated. The
// words that nearly every message has cost no copy.
func unquote(quoted []byte) string {
	text := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		text, _ = jsontext.AppendUnquote(nil, quoted)
	}
	switch string(text) {
	case "2.0":
		return "2.0"
	case "tools/call":
		return "tools/call"
	case Stateless:
		return Stateless
	}
	return string(text)
}

// textOrSkip reads a string where one may be meant for us; a member of the
// same name and another type, in a method we read no target from, passes.
func (p *parser) textOrSkip(limit int) (string, error) {
	if p.dec.PeekKind() == '"' {
		return p.text(limit)
	}
	_, err := p.value()
	return "", err
}

func (p *parser) objectOrSkip(known []string, member func(string) error) error {
	if p.dec.PeekKind() == '{' {
		return p.object(known, member)
	}
	_, err := p.value()
	return err
}

// id reads a request id: a string, or an integer that every JSON reader holds
// exactly.
func (p *parser) id() ([]byte, error) {
	kind := p.dec.PeekKind()
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	switch {
	case len(v) > maxIDLength:
		return nil, invalidRequest(`expected "id" to be at most %d bytes long, got %d`, maxIDLength, len(v))
	case kind == '"', kind == '0' && exactInteger(v):
		return v, nil
	}
	return nil, invalidRequest(`expected "id" to be a string or an integer between -(2^53-1) and 2^53-1, got %s`, kindName(kind))
}

func exactInteger(v []byte) bool {
	digits := bytes.TrimPrefix(v, []byte("-"))
	if len(digits) > 16 || (len(digits) == 1 && digits[0] == '0' && len(v) == 2) { // -0 reads as 0 or as -0
		return false
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + uint64(c-'0')
	}
	return n <= 1<<53-1
}

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

// String returns the word for k in messages to people.
func (k TargetKind) String() string {
	return [...]string{"upstream", "tool", "prompt", "resource", "task"}[k]
}
