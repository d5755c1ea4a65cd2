package mcp

import (
	"fmt"
	"net/http"
)

// UnknownMethod is the refusal of a method that no revision has, in the words
// that clients know: 404 in the stateless revision, and an ordinary answer
// before it.
func UnknownMethod(m *Message) error {
	status := http.StatusOK
	if m.Version != "" {
		status = http.StatusNotFound
	}
	return &Error{Code: CodeMethodNotFound, Status: status, Message: fmt.Sprintf("the method %q is not one that policies know, so none can permit it", m.Method)}
}

// removed reports whether a method of earlier revisions is gone from the
// stateless one (MCP 2026-07-28, changelog).
func removed(method string) bool {
	switch method {
	case "initialize", "notifications/initialized", "ping", "logging/setLevel",
		"resources/subscribe", "resources/unsubscribe", "notifications/roots/list_changed":
		return true
	}
	return false
}

func checkRevision(m *Message) error {
	if m.Version != "" && removed(m.Method) {
		return &Error{Code: CodeMethodNotFound, Status: http.StatusNotFound, Message: fmt.Sprintf("revision %s has no method %q", m.Version, m.Method)}
	}
	return nil
}
