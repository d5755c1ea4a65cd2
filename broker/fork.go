package broker

import (
	"context"
	"errors"
	"io"
	"net/http"

	"mintmark/injector"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// worded is a message that the broker words itself on behalf of an agent's call:
// for another upstream than its path names, or in another revision.
type worded struct {
	upstream string // registered name
	verb     string // HTTP method; "" is POST
	body     []byte // one JSON-RPC message, for POST
	session  string // the upstream's own session id, or ""
	revision string // of the protocol, for the header; a message that states its own needs none
}

// fork returns a call by c's agent, with c's evidence and under c's id, that
// says m. It is read, judged, recorded and sent as any other: what was worded
// is held to the same strict reading as what was received. It ends when c does;
// the caller ends it sooner by its end.
func (b *Broker) fork(c *call, m worded) (*call, error) {
	f := &call{r: c.r, from: c.from, snap: c.snap, id: c.id, started: c.started, identity: c.identity, trusted: c.trustedAt(),
		name: m.upstream, verb: m.verb, body: m.body, whole: true, session: m.session, header: make(http.Header, 8)}
	f.ctx, f.end = context.WithCancelCause(c.ctx)
	f.header["Accept"] = []string{"application/json, text/event-stream"}
	for _, name := range [...]string{"Traceparent", "Tracestate"} {
		if v := c.r.Header[name]; len(v) == 1 {
			f.header[name] = v
		}
	}
	if m.revision != "" {
		f.header[mcp.HeaderVersion] = []string{m.revision}
	}
	if err := f.read(b.reader); err != nil {
		f.end(nil)
		return nil, fault.Wrap("receive", fault.Internal, "", err)
	}
	return f, nil
}

// read makes the strict reading of what a fork says.
func (c *call) read(reader *mcp.Reader) (err error) {
	switch c.verb {
	case http.MethodGet:
		c.method = "stream"
		return nil
	case http.MethodDelete:
		c.method = "end"
		return nil
	}
	c.verb = http.MethodPost
	if c.msg, err = reader.Read(c.body); err != nil {
		return err
	}
	c.method = c.msg.Method
	c.header["Content-Type"] = []string{"application/json"}
	if c.msg.Version != "" {
		err = mcp.SetHeaders(c.header, &c.msg)
	}
	return err
}

// answered is the answer of a fork, read message by message.
type answered struct {
	call     *call
	resp     *http.Response
	scrub    *injector.Scrubber
	messages *mcp.Messages
	written  int64 // to the agent, of it
}

// asks makes the exchange of a fork. The caller closes what it returns, which
// puts the outcome on record. An error is on record already.
func (b *Broker) asks(f *call) (*answered, error) {
	resp, scrub, err := b.exchange(f) //nolint:bodyclose // answered.close does
	if err != nil {
		b.recordRefusal(f, refusalOf(err))
		f.end(nil)
		return nil, err
	}
	return b.reading(f, resp, scrub), nil
}

// reading returns the answer of f, to be read message by message. Until it is closed
// it is under watch.
func (b *Broker) reading(f *call, resp *http.Response, scrub *injector.Scrubber) *answered {
	kind := mediaType(resp)
	inParts(resp, scrub)
	b.streams.put(f)
	return &answered{call: f, resp: resp, scrub: scrub, messages: mcp.NewMessages(kind, resp.Body, int(b.limits.Answer))}
}

// next returns the next message of the answer, scrubbed and read strictly, and
// io.EOF after the last. One of no kind is a sign of life. The decision must stand
// before each.
func (a *answered) next(b *Broker) (mcp.Answer, error) {
	if a.messages == nil {
		return mcp.Answer{}, io.EOF
	}
	message, err := a.messages.Next()
	if errors.Is(err, io.EOF) {
		return mcp.Answer{}, io.EOF
	}
	if err == nil {
		err = a.call.stillAllowed(b.clock())
	}
	if isFault(err) {
		return mcp.Answer{}, err
	}
	if cause := context.Cause(a.call.ctx); err != nil && isFault(cause) {
		return mcp.Answer{}, cause
	}
	var m mcp.Answer
	if err == nil && len(message) > 0 {
		message = a.scrub.Message(message)
		if err := unhurried(a.call.ctx, a.scrub); err != nil {
			return mcp.Answer{}, a.call.cut(err)
		}
		if err := unfit(a.scrub); err != nil {
			b.noticed(a.call)
			return mcp.Answer{}, err
		}
		m, err = mcp.ReadAnswer(message)
	}
	b.noticed(a.call)
	if err != nil {
		return mcp.Answer{}, masked(a.call.ctx, unreadable(err), a.scrub)
	}
	return m, nil
}

// close ends the exchange and puts on record how it ended; err is nil when the
// answer was read as far as it was wanted.
func (a *answered) close(b *Broker, err error) {
	_ = a.resp.Body.Close()
	b.streams.remove(a.call)
	a.call.end(nil)
	b.outcome(a.call, a.resp.StatusCode, a.written, err)
}
