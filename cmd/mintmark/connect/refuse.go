package connect

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mintmark/injector/mcp"
)

// ours begins what this program and the broker say of themselves.
const ours = "mintmark: "

// refusal is what a client gets in place of an answer, in words that a person
// can act on. Its code is outside the range that JSON-RPC and MCP reserve and
// follows the HTTP status that says the same, as the broker's own are.
type refusal struct {
	status int
	text   string
	code   int            // 0: by the status
	data   jsontext.Value // error.data, or nil
}

// Error returns the words.
func (r *refusal) Error() string { return r.text }

func refusef(status int, format string, args ...any) *refusal {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*refusal](err)
	return ok
}

// refusalOf returns err as a refusal.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if e, ok := errors.AsType[*mcp.Error](err); ok {
		r := &refusal{status: e.Status, text: e.Message, code: e.Code}
		if data, err := json.Marshal(e.Data); err == nil && e.Data != nil {
			r.data = data
		}
		return r
	}
	return refusef(http.StatusInternalServerError, "internal error; its cause is in the log of mintmark connect")
}

// message is the refusal as an answer to the request of that id, or to none in
// particular.
func (r *refusal) message(id []byte) []byte {
	if keyOf(id) == "" {
		id = []byte("null")
	}
	code := r.code
	if code == 0 {
		code = -31000 - r.status
	}
	failure := map[string]any{"code": code, "message": ours + strings.TrimPrefix(r.text, ours)}
	if r.data != nil {
		failure["data"] = r.data
	}
	message, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": jsontext.Value(id), "error": failure}, json.Deterministic(true))
	if err != nil { // nothing above can fail to encode
		return []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-31500,"message":"mintmark: internal error"}}`)
	}
	return message
}

// said returns what an error answer says that is not under the request's id.
// Codes by which the two sides agree on a revision stay what they are; others
// mean what the status does. What does not begin as the broker's own words do is the
// upstream's, which the broker passed on, and is called so.
func said(status int, failure jsontext.Value) *refusal {
	var e struct {
		Code    int            `json:"code"`
		Message string         `json:"message"`
		Data    jsontext.Value `json:"data"`
	}
	if err := json.Unmarshal(failure, &e, jsontext.AllowDuplicateNames(true)); err != nil || e.Message == "" {
		return unexplained(status)
	}
	if !strings.HasPrefix(e.Message, ours) {
		e.Message = "the server said: " + e.Message
	}
	r := &refusal{status: status, text: e.Message, data: e.Data}
	if status < http.StatusBadRequest {
		r.status = http.StatusBadGateway
	}
	if e.Code <= mcp.CodeHeaderMismatch && e.Code >= mcp.CodeUnsupportedVersion {
		r.code = e.Code
	}
	return r
}

// unexplained says what a status means that came without a JSON-RPC error.
func unexplained(status int) *refusal {
	next := map[int]string{
		http.StatusUnauthorized:          "is this workload's trust domain the broker's, and --audience what its jwt-svid attestor wants?",
		http.StatusForbidden:             "an operator finds the reason in the broker's log",
		http.StatusNotFound:              "is --broker a Mintmark broker, and the upstream registered there?",
		http.StatusMethodNotAllowed:      "is --broker a Mintmark broker?",
		http.StatusRequestEntityTooLarge: "send less at once, or have an operator raise limits.body",
		http.StatusTooManyRequests:       "call again later",
		http.StatusBadGateway:            "call again; if it stays so, the upstream is down",
		http.StatusServiceUnavailable:    "call again in a moment",
		http.StatusGatewayTimeout:        "call again; if it stays so, the upstream is too slow",
	}[status]
	if next == "" {
		next = "is --broker a Mintmark broker?"
	}
	answered := fmt.Sprintf("the broker answered %d %s", status, http.StatusText(status))
	if status < http.StatusBadRequest {
		return refusef(http.StatusBadGateway, "%s without an answer to the request; %s", answered, next)
	}
	return refusef(status, "%s; %s", answered, next)
}
