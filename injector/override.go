package injector

import (
	"bytes"
	"encoding/hex"
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
	for part := range bytes.FieldsFuncSeq(form, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := bytes.Cut(part, []byte("="))
		if len(name) <= maxOverride && isOverride(unescape(string(name))) {
			return true
		}
	}
	return false
}

// maxOverride is longer than any way to write the name.
const maxOverride = 1 << 10

// unescape reads a name as lenient servers do: what is no escape stands for
// itself.
func unescape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '+':
			b.WriteByte(' ')
		case c == '%' && i+2 < len(name):
			value, err := hex.DecodeString(name[i+1 : i+3])
			if err != nil {
				b.WriteByte(c)
				continue
			}
			b.WriteByte(value[0])
			i += 2
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// partOverrides looks at the names of a form of parts. It does not look for the
// parts, which servers find in different ways: what is written like a name
// anywhere in the body counts.
func partOverrides(body []byte) bool {
	text := bytes.ToLower(body)
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("name"))
		if i < 0 {
			return false
		}
		whole := at+i == 0 || !isAlphanumeric(text[at+i-1]) // not "filename"
		at += i + len("name")
		rest, extended := bytes.CutPrefix(text[at:min(at+maxOverride, len(text))], []byte("*"))
		if extended && whole && len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9' {
			return true // a name in pieces, which no client sends
		}
		rest, assigned := bytes.CutPrefix(bytes.TrimLeft(rest, blanks), []byte("="))
		if assigned && isOverride(partName(bytes.TrimLeft(rest, blanks), extended)) {
			return true
		}
	}
}

const blanks = " \t\r\n"

// partName returns the name at the beginning of text, quoted or not.
func partName(text []byte, extended bool) string {
	end := ";\r\n"
	if quoted := len(text) > 0 && (text[0] == '"' || text[0] == '\''); quoted {
		end, text = string(text[:1]), text[1:]
	}
	text = bytes.ReplaceAll(text, []byte(`\`), nil)
	if i := bytes.IndexAny(text, end); i >= 0 {
		text = text[:i]
	}
	if i := bytes.LastIndexByte(text, '\''); extended && i >= 0 {
		text = text[i+1:] // after the charset and the language
	}
	return strings.TrimSpace(unescape(string(text)))
}

// memberOverrides looks at the names of the outermost object.
func memberOverrides(body []byte) bool {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
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
