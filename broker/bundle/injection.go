package bundle

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Injection says which provider's credential is put where, for which calls.
type Injection struct {
	Provider string `yaml:"provider" check:"required"`
	// Scheme is one of InjectionSchemes.
	Scheme string `yaml:"scheme" check:"required"`
	// Header, Parameter, Cookie and Field name where the schemes "header", "query",
	// "cookie" and "body" put the credential.
	Header    string `yaml:"header"`
	Parameter string `yaml:"parameter"`
	Cookie    string `yaml:"cookie"`
	Field     string `yaml:"field"`
	// Template is the value there, with {token}, {username} and {password}
	// replaced. Default "{token}".
	Template string `yaml:"template"`
	// Region and Service are what the schemes "sigv4" and "sigv4a" sign for. Of
	// sigv4a Region may be several, with commas between them, or "*".
	Region  string `yaml:"region"`
	Service string `yaml:"service"`
	// Payload is how these two sign the body: by its digest ("signed", the
	// default), not at all ("unsigned"), or, sigv4 for S3 alone, chunk by chunk
	// ("streaming").
	Payload string `yaml:"payload"`
	// KeepHeaders are the X-Amz- headers that an agent may send by these two, and
	// that are signed with the rest. Default: none.
	KeepHeaders KeptHeaders `yaml:"keep_headers"`
	// Tools limits this credential to calls of these tools, prompts, resources
	// or (kind http) paths, decoded and without a slash at their end; a trailing *
	// matches any rest. Empty: every call.
	// A call that is for none of these, such as initialize or tools/list, is
	// served only by a credential without Tools: an upstream of kind mcp whose
	// credentials all have them can't be initialized or listed.
	Tools []string `yaml:"tools"`
}

// InjectionSchemes returns the names of the schemes that an Injection may ask for.
func InjectionSchemes() []string {
	return []string{"bearer", "basic", "header", "query", "cookie", "body", "sigv4", "sigv4a", "dpop", "mtls"}
}

// setting is a field of an Injection that only some schemes read.
type setting struct {
	name, value string
	needs       []string // the schemes that can't do without it
	reads       []string // those that can
}

func (in Injection) settings() []setting {
	signing := []string{"sigv4", "sigv4a"}
	return []setting{
		{"cookie", in.Cookie, []string{"cookie"}, nil},
		{"field", in.Field, []string{"body"}, nil},
		{"header", in.Header, []string{"header"}, nil},
		{"keep_headers", strings.Join(in.KeepHeaders, ","), nil, signing},
		{"parameter", in.Parameter, []string{"query"}, nil},
		{"payload", in.Payload, nil, signing},
		{"region", in.Region, signing, nil},
		{"service", in.Service, signing, nil},
		{"template", in.Template, nil, []string{"header", "query", "cookie", "body"}},
	}
}

func (c checker) injection(path string, u Upstream, in Injection) {
	if _, ok := c.config.Providers[in.Provider]; !ok && in.Provider != "" && !c.decoder.lost("providers") {
		known := keys(c.config.Providers)
		c.decoder.fault(path+".provider", "a name under providers", c.quote(in.Provider)+DidYouMean(in.Provider, known))
	}
	for i, tool := range in.Tools {
		c.served(path+".tools"+index(i), u, tool)
	}
	if in.Scheme != "" {
		c.oneOf(path+".scheme", in.Scheme, InjectionSchemes()...)
	}
	if c.decoder.troubled(path + ".scheme") { // what goes with it is not known
		return
	}
	for _, s := range in.settings() {
		c.setting(path+"."+s.name, in.Scheme, s)
	}
	c.header(path+".header", in.Header)
	c.parameter(path+".parameter", in.Parameter)
	c.cookie(path+".cookie", in.Cookie)
	c.field(path+".field", in.Field)
	c.kept(path+".keep_headers", in.KeepHeaders)
	c.template(path+".template", in)
	c.fits(path, u, in)
	c.minted(path, u, in)
}

// served refuses what no call is for, which would leave such calls to the next
// credential. Of an upstream of kind http they are for paths as policies see them.
func (c checker) served(path string, u Upstream, tool string) {
	whole, open := strings.CutSuffix(tool, "*")
	switch {
	case strings.Contains(whole, "*"):
		c.decoder.fault(path, "a * at the end alone", c.quote(tool))
	case u.Kind != "http" || tool == "*":
	case !isCallsPath(whole, open):
		c.decoder.fault(path, "the decoded path of a call, that begins with a slash and ends without", c.quote(tool))
	}
}

// isCallsPath reports whether path can be that of a call, or, where it is open, the
// beginning of one.
func isCallsPath(path string, open bool) bool {
	switch {
	case open:
		path += "x"
	case len(path) > 1 && strings.HasSuffix(path, "/"): // which is the same as without, to policy and here
		return false
	}
	return !strings.Contains(path, "%") && PlainPath(path, (&url.URL{Path: path}).EscapedPath()) == nil
}

// setting demands a field of the schemes that need it and refuses it of those
// that don't read it.
func (c checker) setting(path, scheme string, s setting) {
	readers := append(slices.Clone(s.needs), s.reads...)
	switch {
	case slices.Contains(s.needs, scheme) && s.value == "":
		c.decoder.fault(path, "a value, as scheme "+strconv.Quote(scheme)+" needs it", "nothing")
	case s.value == "" || slices.Contains(readers, scheme):
	case len(readers) == 1:
		c.decoder.fault(path, "scheme "+strconv.Quote(readers[0])+", which alone reads it", c.quote(scheme))
	default:
		c.decoder.fault(path, "one of the schemes "+strings.Join(readers, ", "), c.quote(scheme))
	}
}

// fits refuses a scheme that can't work at this upstream, or would not be safe there.
func (c checker) fits(path string, u Upstream, in Injection) {
	secure := u.URL.URL == nil || u.URL.Scheme == "https" // what is wrong with it is reported elsewhere
	switch in.Scheme {
	case "body":
		if u.Kind != "http" {
			c.decoder.fault(path+".scheme", "kind: http for scheme body, as a message of MCP has no place for a credential", "kind: "+u.Kind)
		}
	case "mtls":
		if !secure {
			c.decoder.fault(path+".scheme", "an https url for scheme mtls", "an http one")
		}
	case "sigv4", "sigv4a":
		c.payload(path+".payload", in, secure || u.URL.Loopback())
	}
}

func (c checker) payload(path string, in Injection, secure bool) {
	switch in.Payload {
	case "":
	case "unsigned":
		if !secure {
			c.decoder.fault(path, "an https url, as nothing else keeps an unsigned body from being changed", "an http one")
		}
	case "streaming":
		if in.Scheme != "sigv4" || in.Service != "s3" {
			c.decoder.fault(path, "scheme sigv4 and service s3 for streaming, which other services don't read", c.quote(in.Scheme)+" for "+c.quote(in.Service))
		}
	default:
		c.oneOf(path, in.Payload, "signed", "unsigned", "streaming")
	}
}

// isToken reports whether s is a token of HTTP (RFC 9110, section 5.6.2), as names
// of headers and cookies are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !isAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) })
}

// header refuses names that are no header's, and headers that frame or route
// the request, which are the broker's to write.
func (c checker) header(path, name string) {
	reserved := []string{"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive",
		"te", "trailer", "upgrade", "expect", "accept", "accept-encoding", "origin", "forwarded", "via"}
	lower := strings.ToLower(name)
	switch {
	case name == "":
	case !isToken(name):
		c.decoder.fault(path, `a header name such as "X-Api-Key"`, c.quote(name))
	case slices.Contains(reserved, lower), strings.HasPrefix(lower, "mcp-"), strings.HasPrefix(lower, "x-forwarded-"):
		c.decoder.fault(path, "a header that is not the protocol's own", c.quote(name))
	}
}

// parameter refuses names that servers read in different ways, so that the agent's
// own of that name is known in each spelling.
func (c checker) parameter(path, name string) {
	if name != "" && strings.ContainsFunc(name, func(r rune) bool { return !isAlphanumeric(r) && r != '_' && r != '-' && r != '.' }) {
		c.decoder.fault(path, `a parameter of letters, digits, "_", "-" and ".", such as "api_key"`, c.quote(name))
	}
}

func (c checker) cookie(path, name string) {
	if name != "" && !isToken(name) {
		c.decoder.fault(path, `a cookie name such as "session"`, c.quote(name))
	}
}

func (c checker) field(path, name string) {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		c.decoder.fault(path, `a member of the outermost JSON object, such as "token"`, c.quote(name))
	}
}

// template refuses placeholders that nothing fills, and a template without
// any: its text would be the secret.
func (c checker) template(path string, in Injection) {
	template, rest, placeholders := in.Template, in.Template, []string{"{token}", "{username}", "{password}"}
	for _, p := range placeholders {
		rest = strings.ReplaceAll(rest, p, "")
	}
	switch {
	case template == "":
	case strings.ContainsAny(rest, "{}"):
		got := "an unmatched brace"
		if other := firstInBraces(rest); other != "" {
			got = c.quote(other) + DidYouMean(other, placeholders)
		}
		c.decoder.fault(path, "no placeholders but {token}, {username} and {password}", got)
	case rest == template:
		c.decoder.fault(path, "at least one of {token}, {username} and {password}", fmt.Sprintf("a literal value of %d characters", utf8.RuneCountInString(template)))
	case strings.Contains(template, "{token}") && (strings.Contains(template, "{username}") || strings.Contains(template, "{password}")):
		c.decoder.fault(path, "either {token}, or {username} and {password}, as no credential has both", "both")
	case strings.ContainsFunc(rest, func(r rune) bool { return r < ' ' || r > '~' }):
		c.decoder.fault(path, "the characters a header can hold", "others")
	case in.Scheme == "cookie" && strings.ContainsAny(rest, ` ",;\`):
		c.decoder.fault(path, "the characters a cookie can hold: no blank, quote, comma, semicolon or backslash", "others")
	}
}

// firstInBraces returns the first part of text that is within braces, with these, or
// "" where none is.
func firstInBraces(text string) string {
	_, rest, _ := strings.Cut(text, "{")
	inside, _, closed := strings.Cut(rest, "}")
	if !closed {
		return ""
	}
	return "{" + inside + "}"
}
