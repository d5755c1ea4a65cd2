package injector

import (
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"mintmark/injector/mcp"
)

// Strip returns the headers of in that may go on to an upstream, and the names
// of those that were taken out because they could carry authority.
//
// For an MCP upstream only the transport's own headers pass; what a registered
// server may need beyond them, it gets by registration. For a plain HTTP
// upstream the list of what passes is wider, and still a list: a header nobody
// thought of does not pass.
func Strip(in http.Header, plain bool, s Scheme) (out http.Header, stripped []string) {
	out = make(http.Header, 8) // what most calls need, and a map's first size
	stripped = make([]string, 0, 2)
	named := connectionNamed(in)
	for name, values := range in {
		switch {
		case s != nil && s.Owns(name), carriesAuthority(name):
			stripped = append(stripped, name)
		case named[name], len(values) == 0:
			// hop by hop
		case s != nil && (name == "Range" || name == "If-Range"):
			// A credential that an upstream repeats could be fetched in pieces too
			// small to be recognised.
		case passes(name, plain):
			out[name] = values
		}
	}
	slices.Sort(stripped)
	return out, stripped
}

// StripQuery returns the query of in without the parameters that could carry
// authority, and their names. It returns ok false for a query that two servers
// could split differently.
func StripQuery(raw string) (query string, stripped []string, ok bool) {
	if raw == "" {
		return "", nil, true
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' || r == '#' }) {
		return "", nil, false
	}
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(key)
		if err != nil {
			return "", nil, false
		}
		if _, err := url.QueryUnescape(value); err != nil {
			return "", nil, false
		}
		if queryCarriesAuthority(name) {
			stripped = append(stripped, name)
			continue
		}
		kept = append(kept, part)
	}
	slices.Sort(stripped)
	return strings.Join(kept, "&"), stripped, true
}

// passes is the list of what an agent may say to an upstream.
func passes(name string, plain bool) bool {
	switch name {
	case "Accept", "Content-Type", "Traceparent", "Tracestate":
		return true
	case mcp.HeaderVersion, mcp.HeaderMethod, mcp.HeaderName:
		return !plain
	case "Accept-Language", "If-Match", "If-None-Match", "If-Modified-Since",
		"If-Unmodified-Since", "If-Range", "Range", "Content-Language", "Cache-Control", "Content-Disposition":
		return plain
	}
	return !plain && strings.HasPrefix(name, mcp.PrefixParam)
}

// carriesAuthority reports whether a header is one by which callers prove who
// they are. It decides only what a record calls stripped: a header that is in
// neither list does not pass either.
func carriesAuthority(name string) bool {
	switch name {
	case "Authorization", "Proxy-Authorization", "Cookie", "Cookie2", "Dpop", "Www-Authenticate",
		"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Client-Cert", "X-Remote-User",
		"Signature", "Signature-Input":
		return true
	}
	if name == mcp.HeaderSession {
		return false
	}
	var buf [64]byte
	lower := appendLower(buf[:0], name)
	for _, word := range [...]string{"auth", "token", "api-key", "apikey", "secret", "password", "credential", "x-amz-", "x-goog-", "x-ms-", "session"} {
		if bytes.Contains(lower, []byte(word)) {
			return true
		}
	}
	return false
}

// appendLower appends s with its ASCII letters in lower case.
func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		b = append(b, lower(s[i]))
	}
	return b
}

// queryCarriesAuthority names the parameters by which calls are authenticated:
// exactly, because much else that an API needs has "token" or "key" in its name
// (page_token, continuation-token).
func queryCarriesAuthority(name string) bool {
	lower := strings.ToLower(parameter(name))
	switch lower {
	case "access_token", "accesstoken", "auth_token", "authtoken", "id_token", "refresh_token", "oauth_token", "bearer_token", "token", "jwt",
		"api_key", "api-key", "apikey", "key", "auth", "authorization", "secret", "client_secret", "password", "passwd",
		"awsaccesskeyid", "signature", "sig", "googleaccessid", "private_token", "session_token", "sessionid", "subscription-key",
		"access_key", "accesskey", "private_key", "session", "pat", "bearer", "pass", "pwd", "ticket", "hmac", "hapikey", "credential", "credentials",
		"_method", "x-http-method", "x-http-method-override", "x-method-override":
		return true
	}
	return strings.HasPrefix(lower, "x-amz-") || strings.HasPrefix(lower, "x-goog-") || strings.HasPrefix(lower, "x-ms-")
}

// parameter returns the name that servers which are free with names (PHP and
// those that follow it) read in a parameter's: without spaces before it, cut at a
// bracket or a zero byte, with an underscore for a dot or space.
func parameter(name string) string {
	name = strings.TrimLeft(name, " ")
	if i := strings.IndexAny(name, "[\x00"); i > 0 {
		name = name[:i]
	}
	return strings.Map(func(r rune) rune {
		if r == '.' || r == ' ' {
			return '_'
		}
		return r
	}, name)
}

// connectionNamed returns the headers that Connection declares hop-by-hop. It is a
// set, since each of very many headers may be looked for among as many names.
func connectionNamed(h http.Header) map[string]bool {
	values := h["Connection"]
	if len(values) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			names[textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	return names
}
