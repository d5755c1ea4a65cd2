package injector

import (
	"encoding/base64"
	"fmt"
	"net/textproto"
	"strings"

	"mintmark/broker/bundle"
	"mintmark/internal/dpop"
	"mintmark/providers"
)

// Open returns the scheme that a registration asks for: one of
// bundle.InjectionSchemes.
func Open(i bundle.Injection) (Scheme, error) {
	switch i.Scheme {
	case "bearer":
		return Bearer{}, nil
	case "basic":
		return Basic{}, nil
	case "header":
		return NewHeader(i.Header, i.Template)
	case "query":
		return NewQuery(i.Parameter, i.Template)
	case "cookie":
		return NewCookie(i.Cookie, i.Template)
	case "body":
		return NewBody(i.Field, i.Template)
	case "sigv4":
		return NewSigV4(i.Region, i.Service, i.Payload, i.KeepHeaders)
	case "sigv4a":
		return NewSigV4A(i.Region, i.Service, i.Payload, i.KeepHeaders)
	case "dpop":
		return DPoP{nonces: new(dpop.Nonces)}, nil
	case "mtls":
		return MTLS{}, nil
	}
	return nil, fmt.Errorf("expected one of the schemes %s, got %q", strings.Join(bundle.InjectionSchemes(), ", "), i.Scheme)
}

// Bearer puts a Token into Authorization (RFC 6750, section 2.1).
type Bearer struct{}

// Owns reports whether name is the header Authorization.
func (Bearer) Owns(where Place, name string) bool { return where == InHeader && name == authorization }

// Inject writes the token, and has one that is bound to a certificate sent on a
// connection that shows it (RFC 8705, section 3). It returns an error for a credential
// without a token, for a token that is bound to a key alone (RFC 9449, section 7.2: it
// is no bearer token), and for one that is no header value.
func (Bearer) Inject(out *Outgoing, c providers.Opened) error {
	value, err := secretsOf(c).fill("bearer", "Bearer {token}", c)
	if err != nil {
		return err
	}
	if c.Key() == nil {
		return setHeader(out, authorization, value)
	}
	if len(c.Chain()) == 0 {
		return fmt.Errorf("scheme bearer: expected a token that its bearer may use, got one that is bound to a key; scheme dpop sends it")
	}
	shown, err := showing(out, c)
	if err != nil {
		return fmt.Errorf("scheme bearer: %w", err)
	}
	if err := setHeader(out, authorization, value); err != nil {
		return err
	}
	out.certificate = shown
	return nil
}

// Basic puts a Password into Authorization (RFC 7617).
type Basic struct{}

// Owns reports whether name is the header Authorization.
func (Basic) Owns(where Place, name string) bool { return where == InHeader && name == authorization }

// Inject writes the user name and password. It returns an error for a
// credential without a password and for a user name with a colon, which would
// be read as another user (RFC 7617, section 2).
func (Basic) Inject(out *Outgoing, c providers.Opened) error {
	value, err := secretsOf(c).text(written{scheme: "basic"}, func() ([]byte, error) {
		pair := c.Pair()
		defer clear(pair)
		if pair == nil {
			return nil, fmt.Errorf("scheme basic: expected a credential with a password, got none")
		}
		if strings.Contains(c.Username(), ":") {
			return nil, fmt.Errorf("scheme basic: expected a user name without a colon")
		}
		b := make([]byte, 0, len("Basic ")+base64.StdEncoding.EncodedLen(len(pair)))
		return base64.StdEncoding.AppendEncode(append(b, "Basic "...), pair), nil
	})
	if err != nil {
		return err
	}
	return setHeader(out, authorization, value)
}

// Header puts a credential into any one header by a template.
type Header struct {
	name     string
	template pattern
}

// NewHeader returns a Header that writes template, or "{token}" when it is
// empty, into the header name.
func NewHeader(name, text string) (Header, error) {
	if name == "" {
		return Header{}, fmt.Errorf("scheme header: expected the name of a header, got none")
	}
	return Header{name: textproto.CanonicalMIMEHeaderKey(name), template: newPattern(text)}, nil
}

// Owns reports whether name is the header's.
func (h Header) Owns(where Place, name string) bool { return where == InHeader && name == h.name }

// Inject writes the filled template. It returns an error when the credential
// lacks a part that the template names.
func (h Header) Inject(out *Outgoing, c providers.Opened) error {
	value, err := secretsOf(c).fill("header", h.template, c)
	if err != nil {
		return err
	}
	return setHeader(out, h.name, value)
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

// pattern is a value with placeholders for the parts of a credential.
type pattern string

func newPattern(text string) pattern {
	if text == "" {
		return "{token}"
	}
	return pattern(text)
}
