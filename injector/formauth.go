package injector

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
)

// FormAuthority returns the name of a field by which the form that is a request's
// body authenticates its caller (RFC 6750, section 2.2), or "". The body is sent as
// it was judged, so that such a field can't be taken out: the call is refused. A
// body that calls itself no form is not looked at. It returns an error for a form
// that can't be read.
func FormAuthority(h http.Header, body []byte) (field string, err error) {
	for _, kind := range h["Content-Type"] {
		switch lower := strings.ToLower(kind); {
		case strings.Contains(lower, "urlencoded"):
			if field := fieldAuthority(body); field != "" {
				return field, nil
			}
		case strings.Contains(lower, "multipart/form-data"):
			if field, err := partAuthority(kind, body); field != "" || err != nil {
				return field, err
			}
		}
	}
	return "", nil
}

// fieldAuthority looks at a form that is written like a query. It reads as lenient
// servers do: a semicolon may part fields, and what is no escape stands for itself.
func fieldAuthority(form []byte) string {
	for field := range bytes.FieldsFuncSeq(form, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := bytes.Cut(field, []byte("="))
		if decoded, err := url.QueryUnescape(string(name)); err == nil {
			name = []byte(decoded)
		}
		if namesAuthority(strings.TrimSpace(string(name))) {
			return string(name)
		}
	}
	return ""
}

var errForm = errors.New("expected a multipart form that can be read")

// partAuthority looks at a form of parts.
func partAuthority(kind string, body []byte) (string, error) {
	_, parameters, err := mime.ParseMediaType(kind)
	if err != nil || parameters["boundary"] == "" {
		return "", errForm
	}
	parts := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) && bytes.Contains(body, []byte("--"+parameters["boundary"]+"--")) {
			return "", nil
		}
		if err != nil { // also an end that nothing announces
			return "", errForm
		}
		if name := part.FormName(); namesAuthority(strings.TrimSpace(name)) {
			return name, nil
		}
	}
}
