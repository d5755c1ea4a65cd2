package injector

import (
	"encoding/base64"
	"fmt"
	"net/textproto"
	"strings"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

// Open returns the scheme that a registration asks for.
func Open(i bundle.Injection) (Scheme, error) {
	switch i.Scheme {
	case "bearer":
		return Bearer{}, nil
	case "basic":
		return Basic{}, nil
	case "header":
		return NewHeader(i.Header, i.Template)
	case "sigv4":
		return NewSigV4(i.Region, i.Service), nil
	}
	return nil, fmt.Errorf("expected scheme bearer, basic, header or sigv4, got %q", i.Scheme)
}

// Bearer puts a Token into Authorization (RFC 6750, section 2.1).
type Bearer struct{}

// Owns reports whether name is Authorization.
func (Bearer) Owns(name string) bool { return name == authorization }

// Inject writes the token. It returns an error for a credential without one,
// and for a token that is no header value.
func (Bearer) Inject(out *Outgoing, c providers.Opened) error {
	token := c.Token()
	if token == "" {
		return fmt.Errorf("scheme bearer: expected a credential with a token, got none")
	}
	return setHeader(out, authorization, "Bearer "+token)
}

// Basic puts a Password into Authorization (RFC 7617).
type Basic struct{}

// Owns reports whether name is Authorization.
func (Basic) Owns(name string) bool { return name == authorization }

// Inject writes the user name and password. It returns an error for a
// credential without a password and for a user name with a colon, which would
// be read as another user (RFC 7617, section 2).
func (Basic) Inject(out *Outgoing, c providers.Opened) error {
	if c.Password() == "" {
		return fmt.Errorf("scheme basic: expected a credential with a password, got none")
	}
	if strings.Contains(c.Username(), ":") {
		return fmt.Errorf("scheme basic: expected a user name without a colon")
	}
	pair := base64.StdEncoding.EncodeToString([]byte(c.Username() + ":" + c.Password()))
	return setHeader(out, authorization, "Basic "+pair)
}

// Header puts a credential into any one header by a template.
type Header struct {
	name     string
	template string
}

// NewHeader returns a Header that writes template, or "{token}" when it is
// empty, into the header name.
func NewHeader(name, template string) (Header, error) {
	if name == "" {
		return Header{}, fmt.Errorf("scheme header: expected the name of a header, got none")
	}
	if template == "" {
		template = "{token}"
	}
	return Header{name: textproto.CanonicalMIMEHeaderKey(name), template: template}, nil
}

// Owns reports whether name is the header's.
func (h Header) Owns(name string) bool { return name == h.name }

// Inject writes the filled template. It returns an error when the credential
// lacks a part that the template names.
func (h Header) Inject(out *Outgoing, c providers.Opened) error {
	parts := [...]struct{ name, value string }{{"{token}", c.Token()}, {"{username}", c.Username()}, {"{password}", c.Password()}}
	pairs := make([]string, 0, 2*len(parts))
	for _, p := range parts {
		if strings.Contains(h.template, p.name) && p.value == "" {
			return fmt.Errorf("scheme header: expected a credential with a %s, got none", strings.Trim(p.name, "{}"))
		}
		pairs = append(pairs, p.name, p.value)
	}
	return setHeader(out, h.name, strings.NewReplacer(pairs...).Replace(h.template))
}

const authorization = "Authorization"

// setHeader writes one header. A value with control characters would end the
// header and begin another, so it is refused, without being quoted.
func setHeader(out *Outgoing, name, value string) error {
	for i := range len(value) {
		if c := value[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return fmt.Errorf("expected a credential that is a header value, got one with a control character")
		}
	}
	out.Header[name] = []string{value}
	return nil
}
