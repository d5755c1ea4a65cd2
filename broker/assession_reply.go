package broker

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"
)

// reply is the answer to one request in a bridged session: one JSON text, or a
// stream of events when the client is to read something before it.
type reply struct {
	call    *call
	control *http.ResponseController
	begun   bool // as a stream of events
	written int64
}

func newReply(c *call) *reply { return &reply{call: c, control: http.NewResponseController(c.w)} }

// whole answers with one message, or with none.
func (r *reply) whole(status int, message []byte) {
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
func (r *reply) begin() error {
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

// event sends one message as an event.
func (r *reply) event(message []byte) error {
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
	return r.send(append(append([]byte("event: message\ndata: "), line...), "\n\n"...))
}

// alive sends what shows everyone on the way that the stream is not dead.
func (r *reply) alive() error { return r.send([]byte(": waiting\n\n")) }

func (r *reply) send(piece []byte) error {
	r.within()
	n, err := r.call.w.Write(piece)
	r.written += int64(n)
	if err != nil {
		return err
	}
	return r.flush()
}

func (r *reply) flush() error {
	r.within()
	err := r.control.Flush()
	_ = r.control.SetWriteDeadline(time.Time{}) // a stream may be idle for longer than a write may take
	return err
}

// last answers the request.
func (r *reply) last(message []byte) error {
	defer r.within() // set at the end: the server writes the last of the answer later
	if r.begun {
		return r.event(message)
	}
	r.whole(http.StatusOK, message)
	return nil
}

// fail answers the request with why it came to nothing. A request that was
// cancelled gets no answer (MCP 2025-11-25, Cancellation).
func (r *reply) fail(err error) {
	defer r.within()
	switch {
	case r.call.r.Context().Err() != nil:
	case r.call.cancelled():
		_ = r.begin()
	case r.begun:
		_ = r.event(refusalOf(err).rpc(r.call))
	default:
		refusalOf(err).write(r.call)
	}
}

// cancelled reports whether the agent has cancelled the request.
func (c *call) cancelled() bool { return errors.Is(context.Cause(c.ctx), errCancelled) }

func (r *reply) within() { _ = r.control.SetWriteDeadline(time.Now().Add(slowest)) }
