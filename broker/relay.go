package broker

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"mintmark/injector"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// slowest is how long one write to an agent may take. An agent that stops
// reading must not hold an upstream's connection for ever.
const slowest = 30 * time.Second

// relay carries one answer's body to the agent, scrubbed, at the pace it comes.
// The decision must stand before each piece.
type relay struct {
	broker  *Broker
	call    *call
	control *http.ResponseController
	scrub   *injector.Scrubber
	own     *mcp.Own // nil: lists are read, or there can be none
	stream  bool     // flushed piece by piece
	clock   func() time.Time
	written int64
}

// answerBody relays the body and returns how many bytes the agent was given.
func (b *Broker) answerBody(c *call, resp *http.Response, scrub *injector.Scrubber) (int64, error) {
	r := &relay{broker: b, call: c, control: &c.control, scrub: scrub, own: c.own(resp), stream: isStream(resp), clock: b.clock}
	inParts(resp, scrub)
	b.streams.put(c)
	defer b.streams.remove(c)
	if r.stream {
		r.within()
		if err := r.control.Flush(); err != nil {
			return 0, err
		}
		_ = r.control.SetWriteDeadline(time.Time{}) // as below
	}
	// Set anew before each write, and left set at the end: the server writes the
	// last of the answer after this returns.
	defer r.within()
	buf := b.buffers.Get().(*[bufferSize]byte)
	defer b.buffers.Put(buf)
	err := r.copy(resp.Body, buf[:])
	return r.written, err
}

func (r *relay) copy(body io.Reader, buf []byte) error {
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if err := r.write(r.scrub.Next(buf[:n])); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return r.write(r.scrub.Rest())
		case isFault(err):
			return err
		case err != nil && isFault(context.Cause(r.call.ctx)):
			return context.Cause(r.call.ctx)
		case err != nil:
			return fault.Wrap("answer", fault.BadUpstream, "the upstream's answer ended before it was whole", err)
		}
	}
}

// write gives the agent one scrubbed piece, which may be the last that is fit for it.
func (r *relay) write(piece []byte) error {
	r.broker.noticed(r.call)
	if len(piece) == 0 {
		return unfit(r.scrub)
	}
	if err := r.own.Next(piece); err != nil {
		return unreadable(err)
	}
	if err := r.call.stillAllowed(r.clock()); err != nil {
		return err
	}
	r.within()
	n, err := r.call.w.Write(piece)
	r.written += int64(n)
	if err == nil && r.stream {
		err = r.control.Flush()
		// A stream may be idle for longer than a write may take.
		_ = r.control.SetWriteDeadline(time.Time{})
	}
	return cmp.Or(err, unfit(r.scrub))
}

// within gives the writes that follow their time. Not every connection has
// deadlines.
func (r *relay) within() { _ = r.control.SetWriteDeadline(time.Now().Add(slowest)) }
