package injector

import (
	"bytes"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Overrides reports whether the body of a plain POST names another method: web
// frameworks (Rails, Laravel, Symfony) take "_method" in a form or a JSON object
// for the method that is meant, so that what was judged as POST would be done as
// DELETE.
func Overrides(h http.Header, body []byte) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case len(body) == 0:
		return false
	case kind == "multipart/form-data":
		return bytes.Contains(bytes.ToLower(body), []byte("_method")) // read in too many ways to be cleverer
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return memberOverrides(body)
	}
	// Whatever else it is called, some server reads it as a form.
	return formOverrides(string(body))
}

func formOverrides(form string) bool {
	for part := range strings.FieldsFuncSeq(form, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(part, "=")
		if unescaped, err := url.QueryUnescape(name); err == nil {
			name = unescaped
		}
		if isOverride(name) {
			return true
		}
	}
	return false
}

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
