package injector

import (
	"fmt"
	"net/http"
	"net/url"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// Query puts a credential into a parameter of the query. Servers log queries: an
// upstream that takes a header is better served by one.
type Query struct {
	name     string
	template pattern
}

// NewQuery returns a Query that writes template, or "{token}" when it is empty,
// into the parameter name.
func NewQuery(name, text string) (Query, error) {
	if name == "" {
		return Query{}, fmt.Errorf("scheme query: expected the name of a parameter, got none")
	}
	return Query{name: name, template: newPattern(text)}, nil
}

// Owns reports whether some server takes a parameter of this name for the scheme's.
func (q Query) Owns(where Place, name string) bool { return where == InQuery && alike(name, q.name) }

// Admit refuses a form with the parameter: many servers have one set of parameters, of
// the query and of the body, and take the first or the last of a name.
func (q Query) Admit(header http.Header, body []byte) error {
	field, err := formField(header, body, func(name string) bool { return alike(name, q.name) })
	if err != nil {
		return fault.Wrap("receive", fault.Invalid, err.Error(), err)
	}
	if field != "" {
		return fault.New("receive", fault.Invalid, fmt.Sprintf("expected no field %.32q in the form: the broker writes the parameter %q; leave it out", field, q.name))
	}
	return nil
}

// Inject appends the parameter. It returns an error when the credential lacks a
// part that the template names.
func (q Query) Inject(out *Outgoing, c providers.Opened) error {
	value, err := secretsOf(c).fill("query", q.template, c)
	if err != nil {
		return err
	}
	target := *out.URL // which others share
	if target.RawQuery != "" {
		target.RawQuery += "&"
	}
	target.RawQuery += url.QueryEscape(q.name) + "=" + url.QueryEscape(value)
	out.URL = &target
	return nil
}
