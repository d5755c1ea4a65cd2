package mcp

import "fmt"

// The members of _meta by which the stateless revision says in every request
// what initialize said once, and of a result, what its answer did.
const (
	metaClientInfo   = "io.modelcontextprotocol/clientInfo"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaServerInfo   = "io.modelcontextprotocol/serverInfo"
	metaLogLevel     = "io.modelcontextprotocol/logLevel" // which log messages the request wants

	// progressToken belongs to the request alone, in both eras.
	progressToken = "progressToken"
	// tasksExtension is how a client of the stateless revision says, in its
	// capabilities, that it takes a task for an answer.
	tasksExtension = "io.modelcontextprotocol/tasks"
)

// parts is a message that was read strictly, cut as deep as the bridges edit it.
// What they do not edit stays as it is, byte for byte.
type parts struct{ top, params, meta Object }

// cutParts cuts a message. It returns an *Error for params and a _meta that are no
// objects, and for a name that some servers read as one that is edited here.
func cutParts(message []byte) (p parts, err error) {
	if p.top, err = CutObject(message); err != nil {
		return parts{}, err
	}
	if raw := p.top.Get("params"); raw != nil {
		if p.params, err = cutNamed(raw, []string{"_meta", "task", "cursor", inputResponses, requestState}); err != nil {
			return parts{}, err
		}
	}
	if raw := p.params.Get("_meta"); raw != nil {
		if p.meta, err = cutNamed(raw, []string{metaVersion, metaClientInfo, metaCapabilities, metaLogLevel, progressToken}); err != nil {
			return parts{}, err
		}
	}
	return p, nil
}

// JSON puts the message together again. A _meta that is empty goes.
func (p parts) JSON() []byte {
	params := p.params
	if len(p.meta) == 0 {
		params = params.Without("_meta")
	} else {
		params = params.With("_meta", p.meta.JSON())
	}
	if p.top.Get("params") == nil && len(params) == 0 {
		return p.top.JSON()
	}
	return p.top.With("params", params.JSON()).JSON()
}

// CutParams returns the params of a message, which are empty where it has none.
// It returns an *Error.
func CutParams(message []byte) (Object, error) {
	p, err := cutParts(message)
	return p.params, err
}

// Cursor returns where a list's question is to go on, or "" for its beginning.
func Cursor(request []byte) (string, error) {
	p, err := cutParts(request)
	if err != nil {
		return "", err
	}
	cursor := p.params.Text("cursor")
	if raw := p.params.Get("cursor"); cursor == "" && raw != nil && string(raw) != "null" {
		return "", invalidParams(`expected "cursor" to be a string that a list gave`)
	}
	return cursor, nil
}

// WithCursor returns a list's question that goes on at cursor; "" is its
// beginning.
func WithCursor(request []byte, cursor string) ([]byte, error) {
	p, err := cutParts(request)
	if err != nil {
		return nil, err
	}
	p.params = p.params.Without("cursor")
	if cursor != "" {
		p.params = p.params.With("cursor", Quote(cursor))
	}
	return p.JSON(), nil
}

// WithoutTasks returns a request whose client can't take a task for an answer. It
// returns an *Error for one that asks for a task.
func WithoutTasks(request []byte) ([]byte, error) {
	p, err := cutParts(request)
	if err != nil {
		return nil, err
	}
	if p.params.Get("task") != nil {
		return nil, invalidParams(`expected no "task" where several upstreams are one; tasks are served at /mcp/NAME`)
	}
	capabilities, err := CutObject(p.meta.Get(metaCapabilities))
	if err != nil {
		return request, nil //nolint:nilerr // it states none, or the server checks them
	}
	extensions, err := CutObject(capabilities.Get("extensions"))
	if err != nil || extensions.Get(tasksExtension) == nil {
		return request, nil //nolint:nilerr // there is nothing to take out
	}
	capabilities = capabilities.With("extensions", extensions.Without(tasksExtension).JSON())
	p.meta = p.meta.With(metaCapabilities, capabilities.JSON())
	return p.JSON(), nil
}

// Reply answers a request with a result, which is JSON.
func Reply(id, result []byte) []byte { return response(id, "result", result) }

// ReplyError answers a request with an error.
func ReplyError(id []byte, code int, message string) []byte {
	return response(id, "error", Object{}.With("code", fmt.Append(nil, code)).With("message", Quote(message)).JSON())
}

func response(id []byte, member string, value []byte) []byte {
	return Object{}.With("jsonrpc", []byte(`"2.0"`)).With("id", id).With(member, value).JSON()
}

// request words a request; params is JSON, or nil.
func request(id []byte, method string, params []byte) []byte {
	o := Object{}.With("jsonrpc", []byte(`"2.0"`)).With("id", id).With("method", Quote(method))
	if params != nil {
		o = o.With("params", params)
	}
	return o.JSON()
}

// SameID reports whether two ids are the same, however they are written.
func SameID(a, b []byte) bool { return IDKey(a) == IDKey(b) }

// IDKey returns what an id of JSON-RPC is known by: one text for all the ways in
// which a string can be written.
func IDKey(id []byte) string {
	if len(id) == 0 || id[0] != '"' {
		return string(id)
	}
	return string(Quote(Object{{Name: "id", Value: id}}.Text("id")))
}

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }
