package policies

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
)

// The entity types of the model.
const (
	typeAgent       types.EntityType = "Agent"
	typeTrustDomain types.EntityType = "TrustDomain"
	typePathPrefix  types.EntityType = "PathPrefix"
	typeAction      types.EntityType = "Action"
	typeUpstream    types.EntityType = "Upstream"
	typeTool        types.EntityType = "Tool"
	typePrompt      types.EntityType = "Prompt"
	typeResource    types.EntityType = "Resource"
	typePath        types.EntityType = "Path"
)

func entityTypes() []types.EntityType {
	return []types.EntityType{typeAgent, typeTrustDomain, typePathPrefix, typeAction,
		typeUpstream, typeTool, typePrompt, typeResource, typePath}
}

// The kinds of upstream.
const (
	kindMCP  = "mcp"
	kindHTTP = "http"
)

// entityType returns the Cedar type of a target. A value outside the constants
// has none, so that a request with it is refused.
func (t TargetType) entityType() types.EntityType {
	switch t {
	case 0:
		return typeUpstream
	case Tool:
		return typeTool
	case Prompt:
		return typePrompt
	case Resource:
		return typeResource
	case Path:
		return typePath
	default:
		return ""
	}
}

// word returns what a target of type t is called in a sentence.
func (t TargetType) word() string {
	switch t {
	case Tool:
		return "tool"
	case Prompt:
		return "prompt"
	case Resource:
		return "resource"
	case Path:
		return "path"
	default:
		return "upstream"
	}
}

// kindOf returns the kind of upstream that an entity type belongs to, or "".
func kindOf(t types.EntityType) string {
	switch t {
	case typeTool, typePrompt, typeResource:
		return kindMCP
	case typePath:
		return kindHTTP
	default:
		return ""
	}
}

// verb is one thing an agent can ask for. What a server asks an agent for on its
// own account is not judged, so that no policy can seem to forbid it.
type verb struct {
	name  string
	group string // "" for none
	on    []types.EntityType
}

// groups are the names a policy can put after "action in".
func groups() []string { return []string{"connect", "list", "tasks", kindHTTP} }

// verbs is the whole model: every method of MCP revisions 2025-03-26 to
// 2026-07-28 that crosses the broker as a question, and what HTTP adds. A
// method that is not here is denied, so a new revision starts out closed.
func verbs() []verb {
	return slices.Concat(
		each("connect", []types.EntityType{typeUpstream},
			"initialize", "server/discover", "ping", "logging/setLevel", "subscriptions/listen",
			"notifications/initialized", "notifications/cancelled", "notifications/progress",
			"notifications/roots/list_changed", "notifications/tasks/status",
			"stream",   // GET: the server's own stream
			"end",      // DELETE: the end of a session
			"response", // the client's answer to what the server asked
		),
		each("list", []types.EntityType{typeUpstream},
			"tools/list", "prompts/list", "resources/list", "resources/templates/list"),
		each("tasks", []types.EntityType{typeUpstream},
			"tasks/get", "tasks/list", "tasks/result", "tasks/update", "tasks/cancel"),
		each("", []types.EntityType{typeTool}, "tools/call"),
		each("", []types.EntityType{typePrompt}, "prompts/get"),
		each("", []types.EntityType{typeResource},
			"resources/read", "resources/subscribe", "resources/unsubscribe"),
		each("", []types.EntityType{typePrompt, typeResource, typeUpstream}, "completion/complete"),
		each(kindHTTP, []types.EntityType{typePath},
			"http/GET", "http/HEAD", "http/POST", "http/PUT", "http/PATCH", "http/DELETE"),
	)
}

func each(group string, on []types.EntityType, names ...string) []verb {
	out := make([]verb, len(names))
	for i, n := range names {
		out[i] = verb{name: n, group: group, on: on}
	}
	return out
}

// kind returns the kind of upstream that v is for.
func (v verb) kind() string {
	if v.group == kindHTTP {
		return kindHTTP
	}
	return kindMCP
}

func actionUID(name string) types.EntityUID {
	return types.NewEntityUID(typeAction, types.String(name))
}
