package broker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mintmark/broker/bundle"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// wellKnown is where OAuth clients look for the metadata of what they call: at
// this path, with the path of what they call behind it (RFC 9728, section 3).
const wellKnown = "/.well-known/oauth-protected-resource"

// metadata is a document that says which servers issue tokens for a resource
// (RFC 9728, section 2). It says nothing of the resource itself, so that nobody
// can learn from it which upstreams there are.
type metadata struct {
	Resource string       `json:"resource"`
	Servers  []bundle.URL `json:"authorization_servers"`
	Methods  []string     `json:"bearer_methods_supported"`
	Name     string       `json:"resource_name"`
}

// metadataPath returns the path of the resource whose metadata is asked for, and
// false when something else is.
func metadataPath(r *http.Request) (resource string, ok bool) {
	resource, ok = strings.CutPrefix(r.URL.EscapedPath(), wellKnown)
	return resource, ok && (resource == "" || resource[0] == '/')
}

// isResource reports whether path is one that metadata can be of: the listener
// as a whole, all of its upstreams, or any upstream that could be registered.
func isResource(path string) bool {
	name, one := strings.CutPrefix(path, "/mcp/")
	return path == "" || path == "/mcp" || one && bundle.IsName(name)
}

// origin returns scheme and host of the URL by which r reached the listener,
// and false where its host could not stand in one. The host must be checked.
func (l *listener) origin(r *http.Request) (string, bool) {
	scheme := "http"
	if l.secure {
		scheme = "https"
	}
	plain := r.Host != "" && !strings.ContainsFunc(r.Host, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(".-_:[]", c)
	})
	return scheme + "://" + r.Host, plain
}

// serveMetadata answers who asks for metadata, without asking who that is: those
// who ask have no token yet. It is no call: it reads no body, waits for nothing,
// and says the same to everyone. Nor is it on record, where it would tell nobody
// anything and let strangers fill the log; a counter has how often it was asked.
func (b *Broker) serveMetadata(l *listener, w http.ResponseWriter, r *http.Request, path string) {
	doc, err := b.metadataOf(l, r, path)
	status, body, kind, keep := http.StatusOK, any(doc), "application/json", "max-age=300"
	if err != nil {
		refused := refusalOf(err)
		status, kind, keep = refused.Status, "application/problem+json", "no-store"
		body = map[string]any{"title": "mintmark refused the request", "status": status, "detail": refused.Text}
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", keep)
	if status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, HEAD")
	}
	leaveBody(w, r)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(slowest)) // it stays set: the server writes after this returns
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
	b.metrics.metadata.WithLabelValues(strconv.Itoa(status)).Inc()
}

// metadataOf returns the document about path, or why there is none. Without a
// server that issues tokens there is none: workloads get theirs from the
// Workload API, and an OAuth client that is told of no server has nowhere to go.
func (b *Broker) metadataOf(l *listener, r *http.Request, path string) (doc metadata, err error) {
	if err := l.checkHost(r); err != nil {
		return doc, err
	}
	servers := b.current.Load().bundle.Config.AuthorizationServers
	origin, ok := l.origin(r)
	switch {
	case len(servers) == 0:
		return doc, fault.New("receive", fault.NotFound, "no authorization server issues tokens for this broker; workloads get theirs from the SPIFFE Workload API")
	case !ok || !isResource(path) || r.URL.RawQuery != "":
		return doc, fault.New("receive", fault.NotFound, "no such path; metadata is at "+wellKnown+", and with /mcp or /mcp/NAME behind it")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return doc, &mcp.Error{Code: mcp.CodeInvalidRequest, Status: http.StatusMethodNotAllowed, Message: fmt.Sprintf("expected method GET or HEAD on this path, got %.16q", r.Method)}
	case r.ContentLength != 0:
		return doc, fault.New("receive", fault.Invalid, "expected no body, got one")
	}
	return metadata{Resource: origin + path, Servers: servers, Methods: []string{"header"}, Name: "Mintmark"}, nil
}
