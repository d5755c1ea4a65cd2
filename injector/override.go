package injector

import (
	"bytes"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Overrides reports whether the body of a plain POST names another method: web
// frameworks (Rails, Laravel, Symfony) take "_method" in a form or a JSON object
// for the method that is meant, so that what was judged as POST would be done as
// DELETE. Where types are several, or none that is known, the body is read in
// each way.
func Overrides(h http.Header, body []byte) bool {
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // as servers do
	if len(body) == 0 {
		return false
	}
	types := h["Content-Type"]
	if len(types) != 1 {
		return formOverrides(body) || partOverrides(body) || memberOverrides(body)
	}
	kind, parameters, err := mime.ParseMediaType(types[0])
	switch charset := strings.ToLower(parameters["charset"]); {
	case err != nil, charset != "" && charset != "utf-8" && charset != "us-ascii" && charset != "iso-8859-1":
		// What is written in another charset has its own bytes for a name.
		flat := bytes.ReplaceAll(body, []byte{0}, nil)
		return formOverrides(flat) || partOverrides(flat) || memberOverrides(flat)
	case strings.HasPrefix(kind, "multipart/"):
		return partOverrides(body)
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return memberOverrides(body)
	}
	// Whatever else it is called, some server reads it as a form.
	return formOverrides(body)
}

// formOverrides looks at the names of a form that is written like a query.
func formOverrides(form []byte) bool {
	for i := range form {
		if begins := i == 0 || form[i-1] == '&' || form[i-1] == ';'; begins && (&spelled{text: form[i:]}).isMethod() {
			return true
		}
	}
	return false
}

// partOverrides looks at the names of a form of parts. It does not look for the
// parts, which servers find in different ways: what is written like a name
// anywhere in the body counts, and in a line with an extended name (RFC 8187)
// whatever follows a quote.
func partOverrides(body []byte) bool {
	extended := false
	for i, c := range body {
		switch {
		case c == '\n':
			extended = extended && continues(body[i+1:])
		case c == '\'' && extended:
			if isPart(body[i+1:]) {
				return true
			}
		case hasName(body[i:]):
			rest, star := bytes.CutPrefix(body[i+len("name"):], []byte("*"))
			if whole := i == 0 || !isAlphanumeric(body[i-1]); whole && star && isPiece(rest) { // not "filename"
				return true
			}
			value, assigned := bytes.CutPrefix(bytes.TrimLeft(rest, blanks), []byte("="))
			if assigned && isPart(unquoted(bytes.TrimLeft(value, blanks))) {
				return true
			}
			extended = extended || assigned && star
		}
	}
	return false
}

const blanks = " \t\r\n"

// continues reports whether a line is the continuation of the header before it.
func continues(line []byte) bool { return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') }

func hasName(text []byte) bool {
	return (text[0] == 'n' || text[0] == 'N') && len(text) >= len("name") && bytes.EqualFold(text[:len("name")], []byte("name"))
}

// isPiece reports whether a number follows the asterisk: a name in pieces, which
// no client sends.
func isPiece(text []byte) bool { return len(text) > 0 && '0' <= text[0] && text[0] <= '9' }

// unquoted returns text without the quote that it begins with.
func unquoted(text []byte) []byte {
	if len(text) > 0 && (text[0] == '"' || text[0] == '\'') {
		return text[1:]
	}
	return text
}

func isPart(text []byte) bool { return (&spelled{text: text, part: true}).isMethod() }

// memberOverrides looks at the names of the outermost object.
func memberOverrides(body []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return false
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return false
		}
		if isOverride(name.String()) {
			return true
		}
		if dec.SkipValue() != nil {
			return false
		}
	}
	return false
}

func isOverride(name string) bool { return strings.EqualFold(parameter(name), "_method") }
