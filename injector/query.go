package injector

import (
	"fmt"
	"net/url"

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
