package mcp

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// SetHeaders sets the headers that repeat parts of m, which states a revision
// in its _meta, as CheckHeaders wants them. It returns an *Error, and sets
// nothing, when that revision is none that a header could name.
func SetHeaders(h http.Header, m *Message) error {
	if m.Version == "" || HeaderValue(m.Version) != m.Version {
		return unsupportedVersion(m.Version)
	}
	h[HeaderVersion] = []string{m.Version}
	if m.Kind == Response {
		return nil
	}
	h[HeaderMethod] = []string{HeaderValue(m.Method)}
	if named(m.Method) {
		h[HeaderName] = []string{HeaderValue(m.Target)}
	}
	return nil
}

// sentinel begins a header value that is encoded.
const sentinel = "=?base64?"

// HeaderValue returns s as a mirror header holds it: as it is where it is plain
// ASCII, and else as =?base64?…?= (MCP 2026-07-28, "Value Encoding").
func HeaderValue(s string) string {
	plain := strings.TrimSpace(s) == s && !strings.HasPrefix(s, sentinel) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
	if plain {
		return s
	}
	return sentinel + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}
