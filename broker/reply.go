package broker

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"
)

// reply is the answer to one request in the broker's own words: one JSON text, or
// a stream of events when the agent is to read something before it.
type reply struct {
	call    *call
	status  int  // 0: nothing was written
	stream  bool // of events
	written int64
}

func newReply(c *call) *reply { return &reply{call: c} }

// whole answers with one message, or with none.
func (r *reply) whole(status int, message []byte) {
	if message != nil {
		r.call.w.Header().Set("Content-Type", "application/json")
	}
	r.head(status)
	n, _ := r.call.w.Write(message) // the agent may be gone: what it was given is on record
	r.written += int64(n)
}

// head begins the answer.
func (r *reply) head(status int) {
	r.call.w.Header().Set("Cache-Control", "no-store")
	r.within()
	r.status = status
	r.call.w.WriteHeader(status)
}

// begin begins the stream of events.
func (r *reply) begin() error {
	if r.stream {
		return nil
	}
	r.stream = true
	h := r.call.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	r.head(http.StatusOK)
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
	err := http.NewResponseController(r.call.w).Flush()
	r.call.writeBy(time.Time{}) // a stream may be idle for longer than a write may take
	return err
}

// last answers the request.
func (r *reply) last(status int, message []byte) error {
	defer r.within() // set at the end: the server writes the last of the answer later
	if r.stream {
		return r.event(message)
	}
	r.whole(status, message)
	return nil
}

// fail answers the request with why it came to nothing. A request that was
// cancelled gets no answer (MCP 2025-11-25, Cancellation), and neither does one
// whose agent is gone.
func (r *reply) fail(err error) {
	defer r.within()
	switch {
	case r.call.r.Context().Err() != nil:
	case r.call.cancelled():
		_ = r.begin()
	case r.stream:
		_ = r.event(refusalOf(err).rpc(r.call))
	default:
		refusalOf(err).challenge(r.call).write(r.call)
	}
}

// cut says why the answer could not be given whole.
func (r *reply) cut(err error) error {
	c := r.call
	switch cause := context.Cause(c.ctx); {
	case err == nil:
		return nil
	case isFault(cause):
		return cause
	case c.r.Context().Err() != nil || r.status != 0 && !isFault(err): // it could not be written
		return c.cut(err)
	}
	return err
}

// cancelled reports whether the agent has cancelled the request.
func (c *call) cancelled() bool { return errors.Is(context.Cause(c.ctx), errCancelled) }

// within gives the writes that follow their time.
func (r *reply) within() { r.call.writeBy(time.Now().Add(slowest)) }
