package broker

import (
	"net/http"
	"slices"
	"strings"
)

// challenge asks a caller that proved nothing for what the attestors take
// (RFC 9110, section 11.6.1). Where none of that comes under an HTTP
// authentication scheme, as a client certificate does not, there is nothing to
// ask for by name: the status is then 403, since a 401 must ask, and one that
// asks for a token nobody takes would send its client to look for a server that
// issues it. What is said is the same.
//
// A call that policy denies is not challenged: no token of another scope would
// make a difference, so that insufficient_scope (RFC 6750, section 3.1) would
// have clients ask for one again and again.
func (r refusal) challenge(c *call) refusal {
	if r.Status != http.StatusUnauthorized {
		return r
	}
	for _, scheme := range c.snap.bundle.Config.Schemes() {
		if scheme == bearer {
			scheme = bearerChallenge(c, r.Text)
		}
		r.Challenges = append(r.Challenges, scheme)
	}
	if len(r.Challenges) == 0 {
		r.Status = http.StatusForbidden
	}
	return r
}

const bearer = "Bearer"

// bearerChallenge says what was wrong with a token, when one came (RFC 6750,
// section 3), and where to read who issues one, when somebody does (RFC 9728,
// section 5.1).
func bearerChallenge(c *call, hint string) string {
	var params []string
	if slices.ContainsFunc(c.r.Header["Authorization"], isBearer) {
		params = append(params, `error="invalid_token"`, `error_description="`+description(hint)+`"`)
	}
	if at := metadataURL(c); at != "" {
		params = append(params, `resource_metadata="`+at+`"`)
	}
	return strings.TrimSuffix(bearer+" "+strings.Join(params, ", "), " ")
}

func isBearer(authorization string) bool {
	scheme, _, _ := strings.Cut(authorization, " ")
	return strings.EqualFold(scheme, bearer)
}

// longestDescription bounds what may quote a caller's own token claims.
const longestDescription = 256

// description is a hint in the characters of an error_description, which has
// neither quotes nor backslashes.
func description(hint string) string {
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\':
			return '?'
		}
		return r
	}, hint)
	return text[:min(len(text), longestDescription)]
}

// metadataURL returns where the metadata of what c called is, or "" when there
// is none.
func metadataURL(c *call) string {
	path := c.r.URL.EscapedPath()
	origin, ok := c.from.origin(c.r)
	if !ok || path == "" || !isResource(path) || len(c.snap.bundle.Config.AuthorizationServers) == 0 || c.from.checkHost(c.r) != nil {
		return ""
	}
	return origin + wellKnown + path
}
