package broker

import (
	"fmt"
	"net/http"
	"slices"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// speaksMCP refuses a page in place of the answer to a request: no MCP server sends one,
// and no client reads it as an answer. The statuses that clients act on, and those of a
// server that failed, pass as they are. 404 is one to act on in a session alone, which it ends.
func speaksMCP(c *call, resp *http.Response) error {
	if mediaType(resp) != "text/html" || !c.wantsAnswer() {
		return nil
	}
	if c.session == "" && isNotThere(resp) {
		return notMCP(resp)
	}
	if resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode != http.StatusNotImplemented {
		return nil
	}
	return notMCP(resp)
}

// wantsAnswer reports whether c is a request, or a batch with one in it.
func (c *call) wantsAnswer() bool {
	return c.msg.Kind == mcp.Request || slices.ContainsFunc(c.batch, func(e *entry) bool { return e.msg.Kind == mcp.Request })
}

// isNotThere reports whether an answer is the page of a web server that has nothing at the
// url. A server with sessions answers a method that it does not know otherwise.
func isNotThere(resp *http.Response) bool {
	return resp.StatusCode == http.StatusNotFound && mediaType(resp) == "text/html"
}

// notMCP is the refusal of an answer that is none of an MCP server.
func notMCP(resp *http.Response) error {
	return fault.New("forward", fault.BadUpstream, fmt.Sprintf("expected an MCP server at the upstream's url, which answers a request in JSON or an "+
		"event stream, got HTTP status %d and %s; an operator of the broker is to look at url and kind of the upstream", resp.StatusCode, typeNamed(mediaType(resp))))
}

// notAnswered is why an answer to server/discover that ended has no message: it is of no
// MCP server, or of one that says no more than its status.
func notAnswered(resp *http.Response) error {
	kind, s := mediaType(resp), resp.StatusCode
	if s >= http.StatusMultipleChoices && s < http.StatusInternalServerError || isJSONType(kind) || isStream(resp) {
		return unanswered(s)
	}
	return notMCP(resp)
}

// typeNamed names a media type that is known, and no other: it is the upstream's text, and
// a secret in it would be of another case than is searched for.
func typeNamed(kind string) string {
	switch kind {
	case "text/html", "text/plain", "application/xml", "application/octet-stream":
		return kind
	case "":
		return "no media type"
	}
	return "another media type"
}

// ofGateway reports whether a status is what stands before a server answers with while
// that is down.
func ofGateway(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}
