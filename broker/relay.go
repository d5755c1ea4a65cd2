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
	scrub   *injector.Scrubber
	own     *mcp.Own // nil: lists are read, or there can be none
	stream  bool     // flushed piece by piece
	written int64
	beat    *beat // nil: of an answer that has none
}

// answerBody relays the body and returns how many bytes the agent was given.
func (b *Broker) answerBody(c *call, resp *http.Response, scrub *injector.Scrubber) (int64, error) {
	r := &c.relay
	r.broker, r.call, r.scrub, r.own = b, c, scrub, c.own(resp)
	parts := inParts(resp, scrub)
	r.stream = isStream(resp) || parts && resp.ContentLength < 0
	b.streams.put(c)
	defer b.streams.remove(c)
	// Set anew before each write, and left set at the end: the server writes the
	// last of the answer after this returns.
	defer r.within()
	switch {
	case r.stream:
		if err := r.flush(); err != nil {
			return 0, err
		}
	case resp.ContentLength < 0: // of a known length nobody uses a part before the whole
		r.beat = newBeat(r)
	}
	buf := b.buffers.Get().(*[bufferSize]byte)
	defer b.buffers.Put(buf)
	defer r.ended()
	err := r.copy(resp.Body, buf[:])
	r.beat.end()
	return r.written, err
}

func (r *relay) copy(body io.Reader, buf []byte) error {
	for {
		into := r.room(buf)
		n, err := body.Read(into)
		if err := r.piece(into[:n], errors.Is(err, io.EOF)); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case isFault(err):
			return err
		case err != nil && isFault(context.Cause(r.call.ctx)):
			return context.Cause(r.call.ctx)
		case err != nil:
			r.broken()
			return fault.Wrap("answer", fault.BadUpstream, "the upstream's answer ended before it was whole", err)
		}
	}
}

// ended leaves nothing that goes on.
func (r *relay) ended() {
	r.beat.end()
	r.scrub.Room(nil)
}

// room returns where the next piece is to be read into.
func (r *relay) room(buf []byte) []byte {
	r.beat.lock()
	defer r.beat.unlock()
	return r.scrub.Room(buf)
}

// piece takes what was read, which is the end of the answer when last is true.
func (r *relay) piece(piece []byte, last bool) error {
	r.beat.lock()
	defer r.beat.unlock()
	if err := r.beat.failed(); err != nil {
		return err
	}
	if !last && len(piece) == 0 {
		return nil
	}
	r.beat.over(true) // what fails below ends it: a beat may wait that would come first
	if !last {
		given := r.scrub.Next(piece)
		r.beat.came()
		err := r.write(given)
		r.beat.over(err != nil)
		return err
	}
	return r.write(r.scrub.Last(piece))
}

// broken gives the agent what came of an answer that is not whole, as a beat would.
func (r *relay) broken() {
	r.beat.lock()
	defer r.beat.unlock()
	r.beat.over(true)
	if r.beat.failed() == nil {
		_ = r.give(r.scrub.Due(r.scrub.Came())) // it ends with an error already
	}
}

// give gives the agent one scrubbed piece, and what of the answer was not sent yet.
func (r *relay) give(piece []byte) error {
	if err := r.write(piece); err != nil || r.stream {
		return err
	}
	return r.flush()
}

// flush sends what was written.
func (r *relay) flush() error {
	r.within()
	err := http.NewResponseController(r.call.w).Flush()
	// A stream may be idle for longer than a write may take.
	r.call.writeBy(time.Time{})
	return err
}

// write gives the agent one scrubbed piece, which may be the last that is fit for it.
func (r *relay) write(piece []byte) error {
	r.broker.noticed(r.call)
	if err := unhurried(r.call.ctx, r.scrub); err != nil {
		return err
	}
	if len(piece) == 0 {
		return unfit(r.scrub)
	}
	if err := r.own.Next(piece); err != nil {
		return unreadable(err)
	}
	if err := r.call.stillAllowed(r.broker.clock()); err != nil {
		return err
	}
	r.within()
	n, err := r.call.w.Write(piece)
	r.written += int64(n)
	if err == nil && r.stream {
		err = r.flush()
	}
	return cmp.Or(err, unfit(r.scrub))
}

// within gives the writes that follow their time.
func (r *relay) within() { r.call.writeBy(time.Now().Add(slowest)) }
