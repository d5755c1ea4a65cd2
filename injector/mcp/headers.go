package mcp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// Stateless is the first revision without sessions, whose requests mirror
// their method and target in headers.
const Stateless = "2026-07-28"

// Versions lists the protocol revisions that are understood, newest first.
func Versions() []string {
	return []string{Stateless, "2025-11-25", "2025-06-18", "2025-03-26"}
}

// The headers of the Streamable HTTP transport, in Go's canonical form.
const (
	HeaderVersion   = "Mcp-Protocol-Version"
	HeaderMethod    = "Mcp-Method"
	HeaderName      = "Mcp-Name"
	HeaderSession   = "Mcp-Session-Id"
	HeaderLastEvent = "Last-Event-Id"
	// PrefixParam begins the headers that mirror single arguments; an
	// intermediary forwards the ones it does not know.
	PrefixParam = "Mcp-Param-"
)

// CheckContent refuses a body that is not plain JSON in UTF-8: another type
// could be read by other rules, and a compressed one can't be judged.
func CheckContent(h http.Header) error {
	types := h["Content-Type"]
	if len(types) != 1 {
		return &Error{Code: CodeInvalidRequest, Status: http.StatusUnsupportedMediaType,
			Message: fmt.Sprintf("expected one Content-Type header, application/json, got %d", len(types))}
	}
	if types[0] != "application/json" {
		kind, params, err := mime.ParseMediaType(types[0])
		charset, named := params["charset"]
		if err != nil || kind != "application/json" || (named && !strings.EqualFold(charset, "utf-8")) {
			return &Error{Code: CodeInvalidRequest, Status: http.StatusUnsupportedMediaType,
				Message: fmt.Sprintf("expected Content-Type application/json in UTF-8, got %q", types[0])}
		}
	}
	if enc := h["Content-Encoding"]; len(enc) > 0 && !(len(enc) == 1 && strings.EqualFold(enc[0], "identity")) {
		return &Error{Code: CodeInvalidRequest, Status: http.StatusUnsupportedMediaType,
			Message: fmt.Sprintf("expected an uncompressed body, got Content-Encoding %q", enc)}
	}
	return nil
}

// CheckHeaders holds the headers that repeat parts of m against m, which is
// the only truth (MCP 2026-07-28, Streamable HTTP). It returns an *Error.
func CheckHeaders(h http.Header, m *Message) error {
	if err := CheckSingle(h); err != nil {
		return err
	}
	version := h.Get(HeaderVersion)
	if version != "" && !slices.Contains(Versions(), version) {
		return unsupportedVersion(version)
	}
	if m.Kind == Response {
		return CheckUnmirrored(h)
	}
	// What the headers of a notification are, revision 2026-07-28 leaves open.
	must := version >= Stateless && m.Kind == Request
	switch {
	case m.Version == "" && must:
		return invalidParams("expected every request of revision %s to have %q in params._meta, got none", version, metaVersion)
	case m.Version != "" && m.Version != version:
		return headerMismatch("expected the header MCP-Protocol-Version to equal _meta's protocolVersion %q, got %q", m.Version, version)
	case m.Version != "" && m.Version < Stateless:
		return unsupportedVersion(m.Version)
	}
	if err := mirror(h, HeaderMethod, m.Method, must); err != nil {
		return err
	}
	return mirror(h, HeaderName, m.Target, must && named(m.Method))
}

// CheckUnmirrored refuses the headers that name a call on a request that makes
// none: whoever routes by them further on would see a call nobody judged. It
// also refuses a revision that is not known.
func CheckUnmirrored(h http.Header) error {
	for _, name := range [...]string{HeaderMethod, HeaderName} {
		if len(h[name]) > 0 {
			return headerMismatch("expected no header %s on what calls no method, got one", name)
		}
	}
	if version := h.Get(HeaderVersion); version != "" && !slices.Contains(Versions(), version) {
		return unsupportedVersion(version)
	}
	return nil
}

// CheckSingle refuses a repeated transport header, the ones that mirror single
// arguments among them: readers differ on which of them counts.
func CheckSingle(h http.Header) error {
	repeated := ""
	for name, values := range h {
		if len(values) > 1 && (strings.HasPrefix(name, "Mcp-") || name == HeaderLastEvent) && (repeated == "" || name < repeated) {
			repeated = name // the first by name: the order of a map says nothing
		}
	}
	if repeated != "" {
		return headerMismatch("expected the header %s once, got it %d times", repeated, len(h[repeated]))
	}
	return nil
}

// mirror checks one mirror header. Where it is not required it may be absent,
// but never different.
func mirror(h http.Header, name, want string, required bool) error {
	values := h[name]
	if len(values) == 0 {
		if required {
			return headerMismatch("expected the header %s with the body's value %q, got none", name, want)
		}
		return nil
	}
	got, err := decodeValue(values[0])
	if err != nil {
		return headerMismatch("expected the header %s in visible ASCII or as =?base64?…?=, got %q", name, values[0])
	}
	if got != want {
		return headerMismatch("expected the header %s to equal the body's value %q, got %q", name, want, got)
	}
	return nil
}

var errPlain = errors.New("a byte that is not ASCII")

// decodeValue undoes the sentinel encoding of values that are not header-safe.
// A byte that is not ASCII is read as UTF-8 by some and as Latin-1 by others.
func decodeValue(v string) (string, error) {
	rest, found := strings.CutPrefix(v, sentinel)
	if !found {
		if strings.IndexFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) >= 0 {
			return "", errPlain
		}
		return v, nil
	}
	rest, found = strings.CutSuffix(rest, "?=")
	if !found {
		return "", base64.CorruptInputError(len(v))
	}
	b, err := base64.StdEncoding.Strict().DecodeString(rest)
	return string(b), err
}

func named(method string) bool {
	switch method {
	case "tools/call", "prompts/get", "resources/read", "tasks/get", "tasks/update", "tasks/cancel":
		return true
	}
	return false
}

func unsupportedVersion(got string) error { return OnlyVersions(got, Versions()) }

// OnlyVersions is the refusal of a revision by a server that speaks the supported
// ones, in the words on which a client begins again with one of them (MCP
// 2026-07-28, Version Negotiation).
func OnlyVersions(got string, supported []string) error {
	return &Error{Code: CodeUnsupportedVersion, Status: http.StatusBadRequest,
		Message: fmt.Sprintf("expected a protocol version of %s, got %q", strings.Join(supported, ", "), got),
		Data:    map[string]any{"supported": supported, "requested": got}}
}
