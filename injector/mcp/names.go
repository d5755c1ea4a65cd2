package mcp

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// The names this package reads, by the object they stand in.
var (
	topNames   = [...]string{"jsonrpc", "id", "method", "params", "result", "error"}
	paramNames = [...]string{"name", "uri", "taskId", "arguments", "_meta", "ref", "protocolVersion"}
	metaNames  = [...]string{metaVersion}
	refNames   = [...]string{"type", "name", "uri"}
	errorNames = [...]string{"code", "message", "data"}
)

// match returns the one of known that the quoted name says, or "" for a name
// that is not read. It refuses a name that some readers take for one of known:
// they fold case, as Go's encoding/json does; they map task_id to taskId, as
// pydantic and protobuf's JSON do; they end a name at a NUL, as C does; or they
// normalise it.
//
// Names that MCP gives to the objects that are read here are of printable
// ASCII, so that all others are refused. Within arguments, results and other
// values any name passes: nothing there is judged.
func match(known []string, quoted []byte) (string, error) {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name, _ = jsontext.AppendUnquote(nil, quoted) // the decoder has validated it
	}
	for _, k := range known {
		if string(name) == k {
			return k, nil
		}
	}
	for _, k := range known {
		if alike(name, k) {
			return "", invalidRequest("expected the name %q, got %q, which some servers read as the same", k, clip(string(name), 128))
		}
	}
	if !printable(name) {
		return "", invalidRequest("expected a name of printable ASCII, got %+q, which some servers read as another", clip(string(name), 64))
	}
	// Copied to another object by assignment, the one sets what a JavaScript
	// object inherits; merged, so does the other.
	if string(name) == "__proto__" || string(name) == "constructor" {
		return "", invalidRequest("expected no name %q, which some servers read as what an object inherits", name)
	}
	return "", nil
}

// alike reports whether two names differ only in case and in what joins their
// words.
func alike(name []byte, known string) bool {
	i := 0
	for _, c := range name {
		if c == '_' || c == '-' {
			continue
		}
		for i < len(known) && known[i] == '_' {
			i++
		}
		if i == len(known) || lower(c) != lower(known[i]) {
			return false
		}
		i++
	}
	return i == len(known)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func printable(name []byte) bool {
	for _, c := range name {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
