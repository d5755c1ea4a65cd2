package injector

import (
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
	stripped = make([]string, 0, 1)
	named := connectionNamed(in)
	keeper, _ := s.(HeaderKeeper)
	for name, values := range in {
		switch {
		case keeper != nil && keeper.Keeps(name) && !named[name] && len(values) > 0:
			out[name] = values
		case s != nil && s.Owns(InHeader, name), carriesAuthority(name):
			stripped = append(stripped, name)
		case named[name], len(values) == 0:
			// hop by hop
		case passes(name, plain):
			out[name] = values
		}
	}
	slices.Sort(stripped)
	return out, stripped
}

// StripRange takes out of h what asks for a part of an answer: a credential that an
// upstream repeats could be fetched in pieces too small to be recognised.
func StripRange(h http.Header) {
	delete(h, "Range")
	delete(h, "If-Range")
}

// StripQuery returns a query without the parameters that could carry authority
// and those of s, which may be nil, and the names of both. It returns ok false for a query that two servers
// could split differently.
func StripQuery(raw string, s Scheme) (query string, stripped []string, ok bool) {
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
		if s != nil && s.Owns(InQuery, name) || namesAuthority(name) || namesMethod(name) {
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

// connectionNamed returns the headers that Connection declares hop-by-hop. It is a
// set, since each of very many headers may be looked for among as many names. The type
// of a body is none: the body was judged by it, and without one some servers take it for
// a form.
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
	delete(names, "Content-Type")
	return names
}
