package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// source is what an upstream says to one request of the stateless revision, in
// the words of that revision, whichever era it speaks itself. So the bridges and
// /mcp have one thing to relay.
type source struct {
	talk
	sent *call // that stands for the exchange

	// streamed reports that the upstream answers by a stream, in which the agent
	// may have to wait for the next message.
	streamed bool
}

// talk is how a source comes by it.
type talk interface {
	// next returns the next message, scrubbed, read strictly and still allowed; one
	// of no kind is a sign of life. The last is the response to the request; where
	// none comes, that is an error.
	next(b *Broker) (said, error)
	// close ends the exchange and puts on record how; err is nil when it was read
	// as far as it was wanted. written is how many bytes the agent was given.
	close(b *Broker, written int64, err error)
}

// said is one message of a source.
type said struct {
	mcp.Answer
	status int // of a response: what the stateless revision sends it under
}

// direct is the answer of a stateless upstream.
type direct struct{ *answered }

// directly sends f to a stateless upstream. An error is on record, and counted.
func (b *Broker) directly(f *call) (source, error) {
	a, err := b.sends(f)
	if err != nil {
		return source{}, err
	}
	streamed := isStream(a.resp) && a.resp.StatusCode == http.StatusOK
	return source{talk: direct{a}, sent: f, streamed: streamed}, nil
}

func (d direct) next(b *Broker) (said, error) {
	m, err := d.answered.next(b)
	switch {
	case errors.Is(err, io.EOF):
		err = unanswered(d.resp.StatusCode)
	case err != nil:
	case m.Kind == mcp.Request:
		err = fault.New("answer", fault.BadUpstream, "the upstream sent a request of its own, which its revision does not have")
	case m.Kind == mcp.Response && !isFor(m, d.call.msg.ID):
		err = fault.New("answer", fault.BadUpstream, "the upstream answered another request than was sent")
	}
	if err != nil {
		return said{}, err
	}
	if m.Kind == mcp.Response {
		_ = d.resp.Body.Close() // the last: its connection does not wait for the outcome
	}
	status := http.StatusOK
	if s := d.resp.StatusCode; m.Failure != nil && s >= http.StatusBadRequest && s < http.StatusInternalServerError {
		status = s
	}
	return said{m, status}, nil
}

func (d direct) close(b *Broker, written int64, err error) {
	d.answered.written = written
	d.answered.close(b, err)
}

// isFor reports whether m answers the request of this id. A failure may have
// none, where a server did not come to read it.
func isFor(m mcp.Answer, id []byte) bool {
	return mcp.SameID(m.ID, id) || m.Failure != nil && (m.ID == nil || string(m.ID) == "null")
}

func unanswered(status int) error {
	return fault.New("answer", fault.BadUpstream, fmt.Sprintf("the upstream's answer (HTTP status %d) ended without a JSON-RPC answer to the call; it may have carried the call out", status))
}

// response returns the response of s, past whatever comes before it.
func response(b *Broker, s source) (said, error) {
	for {
		m, err := s.next(b)
		if err != nil || m.Kind == mcp.Response {
			return m, err
		}
	}
}

// say asks the upstream of br what message says, a request of the stateless
// revision which makes the call that br stands for. Of it an upstream with
// sessions hears what it knows. An error is on record already.
func (b *Broker) say(br *call, message []byte) (source, error) {
	f, err := b.same(br, message)
	if err != nil {
		return source{}, b.stopped(br, err)
	}
	speaks, silent := b.upstreamEra(br)
	if cause := context.Cause(br.ctx); cause != nil {
		f.end(nil)
		return source{}, b.stopped(f, br.leftAt(cause))
	}
	if silent != nil {
		f.end(nil)
		return source{}, b.stopped(f, b.withoutEra(f, silent))
	}
	if speaks == eraUnknown && br.bridged != nil { // it could not be asked, so that the agent's own has to do
		speaks = eraSessions
	}
	if speaks == eraSessions {
		return b.sayInSession(f)
	}
	for name, values := range br.mirrored {
		f.header[name] = values
	}
	return b.directly(f)
}

// sayInSession sends f, which is stateless, in a session that the broker holds.
func (b *Broker) sayInSession(f *call) (source, error) {
	sender, err := mcp.SenderOf(&f.msg)
	if err == nil {
		err = b.decide(f)
	}
	var s source
	if err == nil {
		s, err = b.converse(f, sender)
	}
	if err != nil {
		f.end(nil)
		return source{}, b.stopped(f, err)
	}
	return s, nil
}

// same returns the fork of br that says message, which must make the very same
// call.
func (b *Broker) same(br *call, message []byte) (*call, error) {
	f, err := b.fork(br, worded{upstream: br.name, body: message})
	if err != nil {
		return nil, err
	}
	if !mcp.SameCall(&br.msg, &f.msg) {
		f.end(nil)
		return nil, fault.New("receive", fault.Internal, "")
	}
	f.bridged = br.bridged
	return f, nil
}

// sends makes the exchange of a fork. An error is on record, and counted.
func (b *Broker) sends(f *call) (*answered, error) {
	a, err := b.asks(f)
	if err != nil {
		b.tallied(f, err)
	}
	return a, err
}

// stopped puts on record, and counts, what never became an exchange.
func (b *Broker) stopped(f *call, err error) error {
	b.recordRefusal(f, refusalOf(err))
	b.tallied(f, err)
	return err
}

// tallied counts and logs a fork that came to no answer, as refuse does for a call.
func (b *Broker) tallied(f *call, err error) {
	r, outcome, now := refusalOf(err), "deny", b.clock()
	if f.recorded {
		outcome = "fail"
	}
	b.metrics.ended(f, now, outcome, r.Step)
	b.logger.LogAttrs(f.r.Context(), levelOf(f.r.Context(), err), "call", append(f.attrs(now, outcome, r.Status), errAttrs(r, err)...)...)
}

// leftAt is why c ended before it was answered.
func (c *call) leftAt(cause error) error {
	if isFault(cause) {
		return cause
	}
	return c.cut(cause)
}
