// Package mcp reads MCP messages the one way every upstream will read them.
//
// JSON lets two parsers disagree: on duplicate names, on names that differ
// only in case, on broken Unicode, on numbers out of range, on what follows the
// message. A gateway that judges one reading while the server acts on the other
// is a hole, so whatever could be read in two ways is refused, and the bytes
// that were judged are the bytes that are sent. The differential tests hold
// that against other readers: Go's, Node's and Python's.
package mcp

// Kind is what a message is in JSON-RPC.
type Kind uint8

// The kinds of message. The zero Kind is none, and is never returned with a
// nil error.
const (
	None         Kind = iota
	Request           // has a method and an id
	Notification      // has a method and no id
	Response          // answers a request of the server
)

// TargetKind is what a message acts on.
type TargetKind uint8

// The kinds of target. NoTarget means the upstream itself.
const (
	NoTarget TargetKind = iota
	Tool
	Prompt
	Resource
	Task
)

// Message is one MCP message, read strictly. Its slices alias the body.
type Message struct {
	Kind      Kind
	TargetOf  TargetKind
	ID        []byte // JSON string or integer as it stands in Raw; nil for a notification
	Method    string
	Target    string // tool or prompt name, resource URI, task id
	Arguments []byte // params.arguments as it stands in Raw, or nil
	// Version is params._meta["io.modelcontextprotocol/protocolVersion"], the
	// mark of the stateless era, or "".
	Version string
	// Initialize is params.protocolVersion of an initialize request, or "".
	Initialize string
	Raw        []byte // the body, or its part that is this message of a batch
}

// String returns the word for k in messages to people.
func (k TargetKind) String() string {
	return [...]string{"upstream", "tool", "prompt", "resource", "task"}[k]
}
