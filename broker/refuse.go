package broker

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// answerOf is the one table from what went wrong to what is said about it.
//
// Codes are outside the range JSON-RPC and MCP reserve (-32768 to -32000) and
// follow the HTTP status that says the same.
func answerOf(kind fault.Kind) (status, code int) {
	switch kind {
	case fault.Unauthenticated:
		status = http.StatusUnauthorized
	case fault.Denied:
		status = http.StatusForbidden
	case fault.Invalid:
		return http.StatusBadRequest, mcp.CodeInvalidRequest
	case fault.NotFound:
		status = http.StatusNotFound
	case fault.TooLarge:
		status = http.StatusRequestEntityTooLarge
	case fault.Unavailable:
		status = http.StatusServiceUnavailable
	case fault.BadUpstream:
		status = http.StatusBadGateway
	default:
		status = http.StatusInternalServerError
	}
	return status, -31000 - status
}

// refusal is a refusal in the words an agent's developer reads.
type refusal struct {
	Status int
	Code   int
	Kind   fault.Kind
	Step   string
	Text   string
	Data   map[string]any // what the protocol wants in error.data beside our own

	protocol bool         // the protocol says which status and code
	withheld *fault.Error // why, where the agent is not told; or nil
	why      string       // what the record says after Text; or ""
	// Challenges are what a caller that proved nothing is asked for.
	Challenges []string
	// Session says that the call's session is over, and not this call alone. Its
	// error answers no id: clients look for the end of a session in the status,
	// and one that finds its call answered looks no further.
	Session bool
}

func refusalOf(err error) refusal {
	if e, ok := errors.AsType[*mcp.Error](err); ok {
		data, _ := e.Data.(map[string]any)
		r := refusal{Status: e.Status, Code: e.Code, Kind: fault.Invalid, Step: "receive", Text: e.Message, Data: data, protocol: true}
		if f, ok := errors.AsType[*fault.Error](err); ok {
			r.Kind, r.Step = f.Kind, f.Op
		}
		return r
	}
	kind := fault.KindOf(err)
	r := refusal{Kind: kind, Step: "internal", Text: fault.HintOf(err), Session: errors.Is(err, errSession), withheld: withheldIn(err), why: fault.WhyOf(err)}
	r.Status, r.Code = answerOf(kind)
	if e, ok := errors.AsType[*fault.Error](err); ok {
		r.Step, _, _ = strings.Cut(e.Op, " ")
	}
	if r.Text == "" {
		r.Text = "internal error; the broker's log has the cause under this call's id"
	}
	return r
}

// write sends the refusal. A JSON-RPC request that was understood gets a
// JSON-RPC error under HTTP 200 where the transport itself did its work, so
// that every client shows the reason and keeps its connection; the rest gets
// the HTTP status with the same body.
func (r refusal) write(c *call) {
	h := c.w.Header()
	h.Set("Cache-Control", "no-store")
	if len(r.Challenges) > 0 {
		h["Www-Authenticate"] = r.Challenges
	}
	if r.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	if !c.whole {
		leaveBody(c.w, c.r)
	}
	// It stays set: the server writes after this returns.
	c.writeBy(time.Now().Add(slowest))
	switch {
	case c.plain:
		r.writeProblem(c)
	case c.batch != nil:
		r.writeBatch(c)
	default:
		r.writeRPC(c, r.status(c.msg.Kind), r.rpc(c))
	}
}

// status returns the HTTP status of the refusal of a message.
func (r refusal) status(kind mcp.Kind) int {
	if kind == mcp.Request && !r.protocol && (r.Kind == fault.Denied || r.Kind == fault.Unavailable || r.Kind == fault.BadUpstream) {
		return http.StatusOK
	}
	return r.Status
}

func (r refusal) writeRPC(c *call, status int, body []byte) {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
}

// leaveBody ends the connection behind the answer when a body comes with r that
// nobody reads: the server would wait for the rest of it before it answers.
func leaveBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
	}
}

// rpc is the refusal as a JSON-RPC error.
func (r refusal) rpc(c *call) []byte {
	id := json.RawMessage("null")
	if c.msg.Kind == mcp.Request && !r.Session {
		id = c.msg.ID
	}
	data := map[string]any{"call": c.id, "step": r.Step, "kind": r.Kind.String()}
	maps.Copy(data, r.Data)
	body, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": id,
		"error": map[string]any{"code": r.Code, "message": "mintmark: " + r.Text, "data": data},
	})
	if err != nil { // nothing above can fail to encode
		return []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-31500,"message":"mintmark: internal error"}}`)
	}
	return body
}

// writeProblem sends the refusal as problem details (RFC 9457).
func (r refusal) writeProblem(c *call) {
	c.w.Header().Set("Content-Type", "application/problem+json")
	c.w.WriteHeader(r.Status)
	_ = json.NewEncoder(c.w).Encode(map[string]any{
		"title": "mintmark refused the call", "status": r.Status, "detail": r.Text,
		"call": c.id, "step": r.Step, "kind": r.Kind.String(),
	})
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

func isProtocolError(err error) bool {
	_, ok := errors.AsType[*mcp.Error](err)
	return ok
}
