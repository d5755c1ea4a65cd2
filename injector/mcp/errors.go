package mcp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// The JSON-RPC and MCP error codes this package answers with.
const (
	CodeParse              = -32700
	CodeInvalidRequest     = -32600
	CodeMethodNotFound     = -32601
	CodeInvalidParams      = -32602
	CodeHeaderMismatch     = -32020 // MCP 2026-07-28, Streamable HTTP, "Header mirroring"
	CodeMissingCapability  = -32021 // MCP 2026-07-28, versioning and capabilities
	CodeUnsupportedVersion = -32022 // MCP 2026-07-28, versioning
)

// Error is a message that cannot be judged: what was expected, what came. Its
// text is safe for the sender to read.
type Error struct {
	Code    int // JSON-RPC error code
	Status  int // HTTP status
	Message string
	Data    any // error.data, or nil
}

// Error returns the text.
func (e *Error) Error() string { return e.Message }

func parseError(format string, args ...any) error {
	return &Error{Code: CodeParse, Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

func invalidRequest(format string, args ...any) error {
	return &Error{Code: CodeInvalidRequest, Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

func invalidParams(format string, args ...any) error {
	return &Error{Code: CodeInvalidParams, Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

func headerMismatch(format string, args ...any) error {
	return &Error{Code: CodeHeaderMismatch, Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

// syntaxError says where the JSON broke, without quoting what stood there.
func syntaxError(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
			return parseError("expected each name once, got %q twice", clip(string(e.JSONPointer), 256))
		}
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return parseError("expected valid JSON, got a fault at byte %d (%s)", e.ByteOffset, reason(e.Err))
	}
	return parseError("expected one complete JSON value, got a truncated one")
}

func reason(err error) string {
	if err == nil {
		return "syntax"
	}
	return err.Error()
}

// clip keeps what a sender chose from filling an answer.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}

// inBatch returns err with the message of a batch that it is about.
func inBatch(i int, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.Message = fmt.Sprintf("message %d of the batch: %s", i+1, e.Message)
	}
	return err
}
