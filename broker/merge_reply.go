package broker

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"
)

// mergedReply is the answer to one call to /mcp: one JSON text, or a stream of
// events when the agent is to read something before it.
type mergedReply struct {
	call    *call
	control *http.ResponseController
	begun   bool // as a stream of events
	written int64
}

func newMergedReply(c *call) *mergedReply {
	return &mergedReply{call: c, control: http.NewResponseController(c.w)}
}

// whole answers with one message, or with none.
func (r *mergedReply) whole(status int, message []byte) {
	h := r.call.w.Header()
	h.Set("Cache-Control", "no-store")
	if message != nil {
		h.Set("Content-Type", "application/json")
	}
	r.within()
	r.call.w.WriteHeader(status)
	n, _ := r.call.w.Write(message) // the agent may be gone: what it was given is on record
	r.written += int64(n)
}

// begin begins the stream of events.
func (r *mergedReply) begin() error {
	if r.begun {
		return nil
	}
	r.begun = true
	h := r.call.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	r.call.w.WriteHeader(http.StatusOK)
	return r.flush()
}

// event sends one message as an event, at once.
func (r *mergedReply) event(message []byte) error {
	if err := r.begin(); err != nil {
		return err
	}
	// A line may end only between the tokens of a JSON text, where a space does.
	line := bytes.Map(func(c rune) rune {
		if c == '\n' || c == '\r' {
			return ' '
		}
		return c
	}, message)
	r.within()
	n, err := r.call.w.Write(append(append([]byte("event: message\ndata: "), line...), "\n\n"...))
	r.written += int64(n)
	if err != nil {
		return err
	}
	return r.flush()
}

// flush sends what was written. A stream may be idle for longer than a write may
// take.
func (r *mergedReply) flush() error {
	r.within()
	err := r.control.Flush()
	_ = r.control.SetWriteDeadline(time.Time{})
	return err
}

// fail answers with why the call came to nothing. A request that was cancelled
// gets no answer (MCP 2025-11-25, Cancellation), and neither does one whose agent
// is gone.
func (r *mergedReply) fail(err error) {
	defer r.within() // set at the end: the server writes the last of the answer later
	refused := refusalOf(err)
	refused.Session = false // an upstream's session is none of the agent's
	switch {
	case r.call.r.Context().Err() != nil:
	case errors.Is(context.Cause(r.call.ctx), errLeft):
		_ = r.begin()
	case r.begun:
		_ = r.event(refused.rpc(r.call))
	default:
		refused.write(r.call)
	}
}

// within gives the writes that follow their time.
func (r *mergedReply) within() { _ = r.control.SetWriteDeadline(time.Now().Add(slowest)) }
