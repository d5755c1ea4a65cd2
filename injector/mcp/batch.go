package mcp

import (
	"bytes"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// batched is the one revision whose messages may come in batches. It has no
// header for its name, so that a request without one may be of it.
const batched = "2025-03-26"

// maxBatch is how many messages a batch may have.
const maxBatch = 100

// IsBatch reports whether body can only be a batch: an array.
func IsBatch(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, space), []byte("["))
}

// CheckBatch holds the headers of a request whose body is a batch against what
// may come in one. It returns an *Error.
func CheckBatch(h http.Header) error {
	if err := CheckSingle(h); err != nil {
		return err
	}
	for _, name := range [...]string{HeaderMethod, HeaderName} {
		if len(h[name]) > 0 {
			return headerMismatch("expected no header %s on a batch, which has no one method, got one", name)
		}
	}
	version := h.Get(HeaderVersion)
	if version != "" && !slices.Contains(Versions(), version) {
		return unsupportedVersion(version)
	}
	if version != "" && version != batched {
		return invalidRequest("expected one JSON-RPC message, got a batch (an array), which only revision %s has, in revision %q; send each message in its own POST", batched, version)
	}
	return nil
}

// ReadBatch parses body as a batch of messages of revision 2025-03-26, each as
// strictly as Read. On error there are no messages and the error is an *Error.
func (r *Reader) ReadBatch(body []byte) ([]Message, error) {
	if err := checkShape(body, r.depth); err != nil {
		return nil, err
	}
	d := r.decoders.Get().(*decoder)
	defer r.free(d)
	p := parser{dec: d.over(body), body: body}
	ms, err := p.batch()
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return nil, err
	}
	return ms, nil
}

func (p *parser) batch() ([]Message, error) {
	if kind := p.dec.PeekKind(); kind != '[' && kind != 0 {
		return nil, invalidRequest("expected a batch (an array), got %s", kindName(kind))
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	var ms []Message
	for p.dec.PeekKind() != ']' {
		if len(ms) == maxBatch {
			return nil, invalidRequest("expected a batch of at most %d messages, got more", maxBatch)
		}
		m, err := p.entry()
		if err != nil {
			return nil, inBatch(len(ms), err)
		}
		ms = append(ms, m)
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	return ms, checkTogether(ms)
}

// entry reads the next message of a batch.
func (p *parser) entry() (Message, error) {
	one := parser{dec: p.dec, body: p.body}
	begin := int(p.dec.InputOffset())
	m, err := one.message()
	if err != nil {
		return Message{}, err
	}
	end := int(p.dec.InputOffset())
	begin += bytes.IndexByte(p.body[begin:end], '{') // after white space and a comma
	m.Raw = p.body[begin:end:end]
	return m, nil
}

// checkTogether refuses messages that may not be in one batch.
func checkTogether(ms []Message) error {
	if len(ms) == 0 {
		return invalidRequest("expected a batch of at least one message, got none")
	}
	ids := make(map[string]bool, len(ms))
	for i, m := range ms {
		switch {
		case m.Method == "initialize":
			return inBatch(i, invalidRequest(`expected "initialize" in its own POST, got it in a batch`))
		case m.Version != "":
			return inBatch(i, invalidRequest("expected messages of revision %s in a batch, got one of revision %q", batched, m.Version))
		case (m.Kind == Response) != (ms[0].Kind == Response):
			return inBatch(i, invalidRequest("expected a batch of answers, or one of requests and notifications, got both"))
		case m.ID != nil && ids[idText(m.ID)]:
			return inBatch(i, invalidRequest(`expected each "id" once in a batch, got %s twice`, m.ID))
		case m.ID != nil:
			ids[idText(m.ID)] = true
		}
	}
	return nil
}

// idText returns the text that an id comes to where 1 and "1" are one key, as
// they are in a JavaScript object.
func idText(id []byte) string {
	if len(id) == 0 || id[0] != '"' {
		return string(id)
	}
	text, _ := jsontext.AppendUnquote(nil, id) // what is no JSON is no id
	return string(text)
}
