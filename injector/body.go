package injector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// Body puts a credential into a member of the JSON object that is the request's
// body. The member is written right after the opening brace; every other byte is
// sent as it was judged.
type Body struct {
	field    string
	template pattern
}

// NewBody returns a Body that writes template, or "{token}" when it is empty, into
// the member field of the outermost object.
func NewBody(field, text string) (Body, error) {
	if field == "" {
		return Body{}, fmt.Errorf("scheme body: expected the name of a field, got none")
	}
	return Body{field: field, template: newPattern(text)}, nil
}

// Owns reports whether some server takes a member of this name for the scheme's, or a
// parameter of the query, as those do that have one set of both.
func (b Body) Owns(where Place, name string) bool {
	return (where == InBody || where == InQuery) && alike(name, b.field)
}

// Admit demands a body that is one JSON object, in UTF-8, of at most 65,536 members
// in one place, and without a second member of any name, which has none that some server takes for the scheme's own.
func (b Body) Admit(header http.Header, body []byte) error {
	const want = "expected a JSON object in UTF-8 as the body, where the credential of this upstream goes"
	if !isJSON(header) {
		return fault.New("receive", fault.Invalid, want+"; the Content-Type says something else")
	}
	if err := mcp.CheckWidth(body); err != nil {
		return fault.Wrap("receive", fault.Invalid, err.Error(), err)
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	if first, err := dec.ReadToken(); err != nil || first.Kind() != '{' {
		return fault.New("receive", fault.Invalid, want)
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return fault.Wrap("receive", fault.Invalid, want, err)
		}
		if b.Owns(InBody, name.String()) {
			return fault.New("receive", fault.Invalid, fmt.Sprintf("expected no member %q in the body: the broker writes it; leave it out", b.field))
		}
		if err := dec.SkipValue(); err != nil {
			return fault.Wrap("receive", fault.Invalid, want, err)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return fault.Wrap("receive", fault.Invalid, want, err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return fault.New("receive", fault.Invalid, want+" and nothing after it")
	}
	return nil
}

// Inject writes the member. It returns an error when the credential lacks a part
// that the template names, and for a body that Admit would refuse.
func (b Body) Inject(out *Outgoing, c providers.Opened) error {
	value, err := secretsOf(c).fill("body", b.template, c)
	if err != nil {
		return err
	}
	if err := b.Admit(out.Header, out.Body); err != nil {
		return fmt.Errorf("scheme body: %w", err)
	}
	member, err := json.Marshal(map[string]string{b.field: value})
	if err != nil || !utf8.ValidString(value) {
		return errors.New("scheme body: expected a credential that is a JSON string")
	}
	out.Body = splice(out.Body, member[1:len(member)-1])
	return nil
}

// splice returns the JSON object body with one more member, which is first.
func splice(body, member []byte) []byte {
	open := bytes.IndexByte(body, '{') + 1
	whole := make([]byte, 0, len(body)+len(member)+1)
	whole = append(append(whole, body[:open]...), member...)
	if next := bytes.TrimLeft(body[open:], blanks); next[0] != '}' {
		whole = append(whole, ',')
	}
	return append(whole, body[open:]...)
}

// isJSON reports whether a request says of itself, once, that it is JSON.
func isJSON(header http.Header) bool {
	types := header["Content-Type"]
	if len(types) != 1 {
		return false
	}
	kind, parameters, err := mime.ParseMediaType(types[0])
	charset := parameters["charset"]
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json")) && (charset == "" || strings.EqualFold(charset, "utf-8"))
}
