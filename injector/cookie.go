package injector

import (
	"fmt"

	"mintmark/providers"
)

// Cookie puts a credential into one cookie. It is the only one that goes out: an
// agent's own never do.
type Cookie struct {
	name     string
	template pattern
	as       written
}

// NewCookie returns a Cookie that writes template, or "{token}" when it is empty,
// into the cookie name.
func NewCookie(name, text string) (Cookie, error) {
	if name == "" {
		return Cookie{}, fmt.Errorf("scheme cookie: expected the name of a cookie, got none")
	}
	template := newPattern(text)
	// The name apart: no placeholder in it is filled.
	return Cookie{name: name, template: template, as: written{"cookie " + name, string(template)}}, nil
}

// Owns reports whether name is the header Cookie.
func (Cookie) Owns(where Place, name string) bool { return where == InHeader && name == "Cookie" }

// Inject writes the cookie. It returns an error when the credential lacks a part
// that the template names, and when the value has what no cookie may (RFC 6265,
// section 4.1.1): a semicolon would begin another.
func (k Cookie) Inject(out *Outgoing, c providers.Opened) error {
	pair, err := secretsOf(c).text(k.as, func() ([]byte, error) { return k.pair(c) })
	if err != nil {
		return err
	}
	return setHeader(out, "Cookie", pair)
}

// pair returns the name and the value, with an equals sign between.
func (k Cookie) pair(c providers.Opened) ([]byte, error) {
	value, err := k.template.fill("cookie", c)
	if err != nil {
		return nil, err
	}
	defer clear(value)
	for _, b := range value {
		if b <= ' ' || b > '~' || b == '"' || b == ',' || b == ';' || b == '\\' {
			return nil, fmt.Errorf(`scheme cookie: expected a credential that is a cookie's value, got one with a blank, a quote, a comma, a semicolon, a backslash or beyond ASCII`)
		}
	}
	return append(append(make([]byte, 0, len(k.name)+1+len(value)), k.name+"="...), value...), nil
}
