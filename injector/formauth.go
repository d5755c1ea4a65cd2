package injector

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

var (
	errForm    = errors.New("expected a multipart form that can be read in one way")
	errFields  = errors.New("expected a form of at most 65,536 fields")
	errCharset = errors.New("expected a form in UTF-8: some servers read the names in it by another charset that its Content-Type says")
)

// FormAuthority returns the name of a field by which the form that is a request's
// body authenticates its caller (RFC 6750, section 2.2), or "". The body is sent as
// it was judged, so that such a field can't be taken out: the call is refused. A
// body that calls itself something else is not looked at; one that calls itself
// nothing is a form to some servers (Rack). It returns an error for a form that
// can't be read, or that servers read in different ways.
func FormAuthority(h http.Header, body []byte) (field string, err error) {
	return formField(h, body, namesAuthority)
}

// formField is FormAuthority for the fields that sought seeks.
func formField(h http.Header, body []byte, sought func(name string) bool) (field string, err error) {
	if len(body) == 0 {
		return "", nil
	}
	types := h["Content-Type"]
	if len(types) == 0 {
		types = []string{""}
	}
	for _, kind := range types {
		if field, err = fieldOfType(strings.TrimSpace(kind), body, sought); field != "" || err != nil {
			return field, err
		}
	}
	return "", nil
}

// fieldOfType looks at a body of one type. What stands anywhere in the type
// counts: one that names two kinds of form is looked at as both.
func fieldOfType(kind string, body []byte, sought func(name string) bool) (field string, err error) {
	lower := strings.ToLower(kind)
	query, parts := lower == "" || strings.Contains(lower, "urlencoded"), strings.Contains(lower, "multipart/")
	if (query || parts) && !inUTF8(lower) {
		return "", errCharset
	}
	if query {
		field, err = queryField(body, sought)
	}
	if field == "" && err == nil && parts {
		return partField(kind, body, sought)
	}
	return field, err
}

// mostFields is how many fields of a form are looked at: each costs about a
// microsecond.
const mostFields = 1 << 16

// inUTF8 reports whether the names of a form of this type are in UTF-8, or in
// what is the same for them. A name in EBCDIC or UTF-16 has its own bytes.
func inUTF8(kind string) bool {
	if !strings.Contains(kind, "charset") {
		return true
	}
	_, parameters, err := mime.ParseMediaType(kind)
	if err != nil || strings.Count(kind, "charset") > 1 {
		return false
	}
	switch parameters["charset"] {
	case "utf-8", "us-ascii", "iso-8859-1":
		return true
	}
	return false
}

// queryField looks at a form that is written like a query. It reads as lenient
// servers do: a byte order mark is passed over, a semicolon may part fields, and
// what is no escape stands for itself.
func queryField(form []byte, sought func(name string) bool) (string, error) {
	if bytes.Count(form, []byte("&"))+bytes.Count(form, []byte(";")) >= mostFields {
		return "", errFields
	}
	form = bytes.TrimPrefix(form, []byte("\ufeff"))
	for field := range bytes.FieldsFuncSeq(form, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := bytes.Cut(field, []byte("="))
		if decoded := unescaped(name); sought(strings.TrimSpace(decoded)) {
			return decoded, nil
		}
	}
	return "", nil
}

// unescaped returns a name as lenient servers read it, also with %u0061 for a
// character, as older ones of Microsoft do. Most names have no escape.
func unescaped(name []byte) string {
	name = bytes.TrimPrefix(name, []byte("\ufeff"))
	if !bytes.ContainsAny(name, "%+") {
		return string(name)
	}
	plain, s := make([]byte, 0, len(name)), spelled{text: name}
	for at := 0; ; {
		if r, ok := wideEscape(name[at:]); ok {
			plain, at = append(plain, string(r)...), at+len("%u0061")
			continue
		}
		c, after, ok := s.byteAt(at)
		if !ok {
			return strings.TrimPrefix(string(plain), "\ufeff")
		}
		plain, at = append(plain, c), after
	}
}

// wideEscape returns the character of an escape such as %u0061, which text begins
// with.
func wideEscape(text []byte) (r rune, ok bool) {
	if len(text) < len("%u0061") || text[0] != '%' || lower(text[1]) != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}
