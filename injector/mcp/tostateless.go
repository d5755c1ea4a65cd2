package mcp

import (
	"bytes"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// maxClient is how much a client may say of itself, in each of two parts: it is
// said again in every request, and travels in the handle of its session.
const maxClient = 2 << 10

// Client is what the client of a session said of itself when it began.
type Client struct {
	Revision     string // of the session
	Info         []byte // an object, or nil
	Capabilities []byte // an object
}

// SessionRevision returns the revision that answers an initialize which asks for
// requested: the same when it is one with sessions, and else the newest of them.
func SessionRevision(requested string) string {
	newest := ""
	for _, v := range Versions() {
		if v >= Stateless {
			continue
		}
		if v == requested {
			return v
		}
		if newest == "" {
			newest = v
		}
	}
	return newest
}

// ReadClient reads an initialize message that was read strictly. Capabilities
// that the stateless revision has not, or that a bridge can't serve, are left
// out, so that no server counts on them. It returns an *Error for a client that
// has more to say of itself than can be kept.
func ReadClient(message []byte) (Client, error) {
	params, err := CutParams(message)
	if err != nil {
		return Client{}, err
	}
	c := Client{Revision: SessionRevision(params.Text("protocolVersion")), Capabilities: []byte(`{}`)}
	if raw := params.Get("capabilities"); isObject(raw) {
		if c.Capabilities, err = clientCapabilities(raw); err != nil {
			return Client{}, err
		}
	}
	if raw := params.Get("clientInfo"); isObject(raw) {
		c.Info = clientInfo(raw)
	}
	return c, nil
}

func clientCapabilities(raw []byte) ([]byte, error) {
	said, err := CutObject(raw)
	if err != nil {
		return nil, err
	}
	kept := Object{}
	for _, name := range [...]string{"elicitation", "sampling", "roots", "experimental"} {
		v := said.Get(name)
		switch {
		case !isObject(v):
			continue
		case name == "roots": // its listChanged has no counterpart
			v = []byte(`{}`)
		}
		kept = kept.With(name, v)
	}
	if len(kept.JSON()) > maxClient {
		kept = kept.Without("experimental")
	}
	if n := len(kept.JSON()); n > maxClient {
		return nil, invalidParams("expected capabilities of at most %d bytes, got %d", maxClient, n)
	}
	return kept.JSON(), nil
}

// clientInfo returns raw as it is, or only the names in it when it is large
// (icons may be), or nil when they are too.
func clientInfo(raw []byte) []byte {
	if len(raw) <= maxClient {
		return raw
	}
	said, err := CutObject(raw)
	if err != nil {
		return nil
	}
	kept := Object{}
	for _, name := range [...]string{"name", "title", "version"} {
		if v := said.Get(name); v != nil {
			kept = kept.With(name, v)
		}
	}
	if len(kept.JSON()) > maxClient {
		return nil
	}
	return kept.JSON()
}

// JSON writes c on one line, for ParseClient.
func (c Client) JSON() []byte {
	o := Object{}.With("revision", Quote(c.Revision)).With("capabilities", c.Capabilities)
	if c.Info != nil {
		o = o.With("info", c.Info)
	}
	return o.JSON()
}

// ParseClient reads what Client.JSON wrote.
func ParseClient(text []byte) (Client, error) {
	o, err := CutObject(text)
	if err != nil {
		return Client{}, err
	}
	return Client{Revision: o.Text("revision"), Info: o.Get("info"), Capabilities: o.Get("capabilities")}, nil
}

// stated returns meta with what every stateless request says of its client.
func (c Client) stated(meta Object) Object {
	meta = meta.Without(metaClientInfo).With(metaVersion, Quote(Stateless)).With(metaCapabilities, c.Capabilities)
	if c.Info != nil {
		meta = meta.With(metaClientInfo, c.Info)
	}
	return meta
}

// Discover returns the server/discover request that stands for an initialize of
// the given id.
func (c Client) Discover(id []byte) []byte {
	params := Object{}.With("_meta", c.stated(nil).JSON())
	return request(id, "server/discover", params.JSON())
}

// ToStateless returns a request of a session, which was read strictly, as the
// stateless revision has it. Its id and the values of its params stay as they
// are, byte for byte; what is added is in _meta. What asks for a task goes: a
// server without that capability ignores it (MCP 2025-11-25, Tasks). It returns
// an *Error for a _meta that is no object.
func (c Client) ToStateless(message []byte) ([]byte, error) {
	p, err := cutParts(message)
	if err != nil {
		return nil, err
	}
	p.params, p.meta = p.params.Without("task", inputResponses, requestState), c.stated(p.meta)
	return p.JSON(), nil
}

// InitializeResult returns the result of initialize that says what the result of
// server/discover says, as far as it can be kept: without a stream of the
// server's own there are no notices of change, and without state at the server
// neither subscriptions nor a log level. A server that does not give its name
// goes by name.
func InitializeResult(discovered Object, revision, name string) ([]byte, error) {
	result := Object{}.With("protocolVersion", Quote(revision))
	capabilities, err := serverCapabilities(discovered.Get("capabilities"))
	if err != nil {
		return nil, err
	}
	result = result.With("capabilities", capabilities)
	info := Object{}.With("name", Quote(name)).With("version", []byte(`"unknown"`)).JSON()
	if raw := discovered.Get("_meta"); isObject(raw) {
		meta, err := CutObject(raw)
		if err != nil {
			return nil, err
		}
		if said := meta.Get(metaServerInfo); isObject(said) {
			info = said
		}
	}
	result = result.With("serverInfo", info)
	if text := discovered.Get("instructions"); len(text) > 0 && text[0] == '"' {
		result = result.With("instructions", text)
	}
	return result.JSON(), nil
}

func serverCapabilities(raw []byte) ([]byte, error) {
	kept := Object{}
	if !isObject(raw) {
		return kept.JSON(), nil
	}
	said, err := CutObject(raw)
	if err != nil {
		return nil, err
	}
	for _, name := range [...]string{"tools", "prompts", "resources", "completions"} {
		v := said.Get(name)
		if !isObject(v) {
			continue
		}
		one, err := CutObject(v)
		if err != nil {
			return nil, err
		}
		kept = kept.With(name, one.Without("listChanged", "subscribe").JSON())
	}
	return kept.JSON(), nil
}

// FromStateless returns the answer a as one to the request of a session with the
// given id.
func FromStateless(a Answer, id []byte) []byte {
	if a.Failure != nil {
		return response(id, "error", a.Failure.JSON())
	}
	return response(id, "result", a.Result.Without("resultType", "ttlMs", "cacheScope").JSON())
}

// MirrorsArguments reports whether a tool, as it stands in a list, wants
// arguments repeated in headers (MCP 2026-07-28, "x-mcp-header"). Clients of
// earlier revisions know nothing of that, and a server refuses their calls.
func MirrorsArguments(tool []byte) bool {
	o, err := CutObject(tool)
	if err != nil {
		return true
	}
	dec := jsontext.NewDecoder(bytes.NewReader(o.Get("inputSchema")))
	for {
		in, n := dec.StackIndex(dec.StackDepth())
		token, err := dec.ReadToken()
		if err != nil { // its end: the rest was read before
			return false
		}
		if in == '{' && n%2 == 0 && token.Kind() == '"' && token.String() == "x-mcp-header" {
			return true
		}
	}
}

// NotBridged is the refusal of a method that the stateless revision has not, or
// has with another meaning.
func NotBridged(m *Message) error {
	return &Error{Code: CodeMethodNotFound, Status: http.StatusOK,
		Message: "this upstream speaks MCP " + Stateless + ", where " + m.Method + " has no counterpart"}
}
